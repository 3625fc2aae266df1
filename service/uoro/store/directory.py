"""The embedded server's home: its files, and proof of who uses them.

Two locks of the operating system (`flock`), which end with their holders whatever ends those:

- `uoro.lock` in the directory the user named: one service at a time.
- `server.lock` in the `store` directory below it: its descriptor is inherited by the server, so it is held
  exactly as long as a server lives on these files, even one whose service was killed.

The server's files sit in a directory of their own, mode 0700, so that nothing the user named is changed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

from uoro.errors import InvalidSettings

MAX_SOCKET_PATH_BYTES = 100
MAX_LOG_BYTES = 2**20

_SHORT_PLACE = "/tmp"  # noqa: S108 - only private directories are made in it
_SHORT_DIRECTORY_PREFIX = "uoro-"


class ServerDirectory:
    """The files of one embedded server.

    Raises:
        InvalidSettings: the directory cannot be made.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.path = self.data_dir / "store"
        self.config = self.path / "server.conf"
        self.pid_file = self.path / "server.pid"
        self.log = self.path / "server.log"
        self._socket_note = self.path / "server.socket"
        self._lock: int | None = None
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise InvalidSettings(f"the data directory {self.data_dir} is not usable: {error.strerror}.") from error

    def lock(self) -> None:
        """Take the directory for this service. Raises InvalidSettings if another one has it."""
        lock = os.open(self.data_dir / "uoro.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise InvalidSettings(
                f"the data directory {self.data_dir} is in use by another server (pid {holder}); "
                "stop that one, or set UORO_DATA_DIR to another directory."
            ) from error
        try:
            os.ftruncate(lock, 0)
            os.write(lock, b"%d\n" % os.getpid())
        except OSError as error:
            os.close(lock)
            raise InvalidSettings(f"the data directory {self.data_dir} is not usable: {error.strerror}.") from error
        self._lock = lock

    def unlock(self) -> None:
        """Let go of the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def lock_for_server(self) -> int | None:
        """A descriptor for a new server to inherit, or None while a server lives on these files."""
        lock = os.open(self.path / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock

    def has_server(self) -> bool:
        """Whether a server lives on these files."""
        lock = self.lock_for_server()
        if lock is None:
            return True
        os.close(lock)
        return False

    def socket(self) -> Path:
        """Where the server listens: here, or in a short private directory where this path is too long.

        The short one is noted, so that a later service finds the same; one that is not private is not used.
        """
        here = self.path / "server.sock"
        if len(os.fsencode(here)) <= MAX_SOCKET_PATH_BYTES:
            return here
        if self._socket_note.exists():
            noted = Path(self._socket_note.read_text())
            if _is_private(noted.parent):
                return noted
        # mkdtemp makes it private; the default place may itself be too long
        short = Path(tempfile.mkdtemp(prefix=_SHORT_DIRECTORY_PREFIX, dir=_SHORT_PLACE)) / "server.sock"
        self._socket_note.write_text(str(short))
        return short

    def tidy(self, socket: Path) -> None:
        """Remove what an ended server left, and its short directory."""
        socket.unlink(missing_ok=True)
        self.pid_file.unlink(missing_ok=True)
        if socket.parent != self.path:
            shutil.rmtree(socket.parent, ignore_errors=True)
            self._socket_note.unlink(missing_ok=True)

    def rotate_log(self) -> None:
        """Set an over-long log aside; one predecessor is kept."""
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def last_log_lines(self, num_lines: int = 5) -> str:
        """The end of the server's log, on one line."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 4096))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return "no log"
        return " | ".join(line.strip() for line in lines[-num_lines:] if line.strip())


def _is_private(directory: Path) -> bool:
    try:
        status = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700 and status.st_uid == os.geteuid()
