"""A service as its users run it: `uoro serve` in a process of its own, to be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

READY_TIMEOUT_S = 240.0


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class LiveService:
    """`uoro serve` on a data directory.

    Args:
        data_dir: of the embedded server, and where the log of the process goes.
        settings: more UORO_ settings, without the prefix.
        command: what to run in place of `uoro serve`.
    """

    def __init__(
        self, data_dir: Path, settings: dict[str, str] | None = None, command: list[str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir / "service.log"
        given = {"DATA_DIR": str(data_dir), "PORT": str(self.port), "AUTO_CREATE": "true", **(settings or {})}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("UORO_")}
        self._env = {**inherited, **{f"UORO_{name}": value for name, value in given.items()}}
        self._command = command or [sys.executable, "-c", "from uoro.cli import main; main()", "serve"]
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running service."""
        assert self._running is not None
        return self._running.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command, env=self._env, cwd=self.data_dir, stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return once /readyz says 200; fail with the end of the log if that takes too long."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                assert self._running is not None
                if self._running.poll() is not None:
                    break
            time.sleep(0.05)
        raise AssertionError(f"the service is not ready:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """Kill -9 of the service alone; its embedded server stays."""
        assert self._running is not None
        self._running.send_signal(signal.SIGKILL)
        self._running.wait()

    def kill_redis(self) -> None:
        """Kill -9 of the embedded server."""
        pid_file = self.data_dir / "store" / "server.pid"
        with suppress(psutil.NoSuchProcess, ValueError, FileNotFoundError):  # not back from the last kill yet
            psutil.Process(int(pid_file.read_text())).kill()

    def wait(self) -> int:
        """The exit code, once it has ended by itself."""
        assert self._running is not None
        return self._running.wait(timeout=60)

    def stop(self) -> int:
        """SIGTERM and wait; returns the exit code."""
        assert self._running is not None
        if self._running.poll() is None:
            self._running.send_signal(signal.SIGTERM)
        return self._running.wait(timeout=60)

    def end(self) -> None:
        """Whatever happened, leave no process behind."""
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
            self._running.wait()
        self.kill_redis()
