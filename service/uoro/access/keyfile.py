"""The file that holds the keys: readable JSON, written whole or not at all.

Rules:
1. A change reads, changes and writes under a lock, so that two changes at once both take effect.
2. A new file is written and flushed beside the old one and takes its place in one step: a reader sees the old
   or the new, and a crash leaves at most a file that the next change removes.
3. It is readable by its owner alone, and keeps its owner when root changes it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from uoro import limits
from uoro.access.key import Key
from uoro.errors import InvalidKeyFile

Keys = tuple[Key, ...]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    keys: Keys = ()


VERSION = 1
_DECODER = msgspec.json.Decoder(_File)


def parse(content: bytes) -> Keys:
    """The keys of a file's content. Raises InvalidKeyFile."""
    if len(content) > limits.MAX_KEY_FILE_BYTES:
        raise InvalidKeyFile(f"a key file may have {limits.MAX_KEY_FILE_BYTES} bytes")
    try:
        file = _DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidKeyFile(f"it does not hold keys: {error}") from error
    if file.version != VERSION:
        raise InvalidKeyFile(f"its version is {file.version}, and this service reads version {VERSION}")
    if fault := _fault(file.keys):
        raise InvalidKeyFile(fault)
    return file.keys


def encode(keys: Keys) -> bytes:
    """Keys as a file's content; `parse` is its inverse."""
    return msgspec.json.format(msgspec.json.encode(_File(VERSION, keys)), indent=2) + b"\n"


def read_keys(path: Path) -> Keys:
    """The keys of a file. Raises InvalidKeyFile with one sentence that names the file."""
    try:
        with path.open("rb") as file:
            content = file.read(limits.MAX_KEY_FILE_BYTES + 1)
        return parse(content)
    except OSError as error:
        raise InvalidKeyFile(f"the key file {path} cannot be read: {error.strerror}.") from error
    except InvalidKeyFile as error:
        raise InvalidKeyFile(f"the key file {path} is not usable: {error}.") from error


def add_key(path: Path, key: Key) -> None:
    """Put a key into a file, which is made if there is none. Raises InvalidKeyFile, OSError."""
    path = path.resolve()  # behind a link the file is replaced, not the link
    with _locked(path):
        _replace(path, (*(read_keys(path) if path.exists() else ()), key))


def remove_keys(path: Path, is_meant: Callable[[Key], bool]) -> Keys:
    """Take the keys that are meant out of a file; returns them. Raises InvalidKeyFile, OSError."""
    path = path.resolve()
    with _locked(path):
        keys = read_keys(path)
        removed = tuple(key for key in keys if is_meant(key))
        if removed:
            _replace(path, tuple(key for key in keys if key not in removed))
        return removed


def _fault(keys: Keys) -> str | None:
    """Why keys cannot be in one file; None if they can."""
    if len(keys) > limits.MAX_KEYS:
        return f"a key file may hold {limits.MAX_KEYS} keys"
    for kind, values in (("id", [key.id for key in keys]), ("name", [key.name for key in keys])):
        (value, num), *_ = Counter(values).most_common(1) or [("", 0)]
        if num > 1:
            return f"two keys have the {kind} {value!r}"
    return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The only change at this moment. The lock is a file of its own, since the other one is replaced."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, keys: Keys) -> None:
    if fault := _fault(keys):
        raise InvalidKeyFile(f"it cannot be added: {fault}.")
    for left in path.parent.glob(f".{path.name}.*.new"):
        left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as file:
            _keep_owner(path, file.fileno())
            file.write(encode(keys))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _keep_owner(path: Path, descriptor: int) -> None:
    with suppress(FileNotFoundError, PermissionError):
        old = path.stat()
        if old.st_uid != os.geteuid():
            os.fchown(descriptor, old.st_uid, old.st_gid)
