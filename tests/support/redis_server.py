"""A real server on a unix socket in a directory of its own, which tests start, kill and start again."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

REDIS_PROGRAM = shutil.which("redis-server")
WHY_NOT = "no redis-server on this machine (Debian: apt-get install redis-server)"

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
FORGETFUL = ("--appendonly", "no", "--save", "")


class RedisServer:
    """One server program, `options` on its command line; the files in `directory` outlive it."""

    def __init__(self, program: str, directory: Path, options: tuple[str, ...] = DURABLE) -> None:
        self.socket = directory / "redis.sock"
        self.url = "unix://" + quote(str(self.socket))
        self._command = [program, "--port", "0", "--unixsocket", str(self.socket), *options]
        self._command += [
            "--dir",
            str(directory),
            "--set-proc-title",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ]
        self._log = directory / "redis.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def client(self) -> Redis:
        """A client of redis-py, which the caller closes."""
        return Redis(unix_socket_path=str(self.socket), socket_timeout=10)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        give_up = time.monotonic() + 30
        while True:
            try:
                with self.client() as client:
                    client.ping()
            except RedisError:
                assert self._child.poll() is None, self._log.read_text()
                assert time.monotonic() < give_up, self._log.read_text()
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """SIGKILL."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()
        self._child = None

    def stop(self) -> None:
        """SIGTERM, an orderly end."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait()
            self._child = None
