"""How the kernel is compiled: once per machine, kept in a cache, the interpreter's lock released while it runs.

The arithmetic is IEEE 754's, in the order in which it is written: no reordering, no fusing ("fastmath" is off).
numba may
link either of two compiled copies of a function that several others call, depending on what was loaded first, and with
reordering allowed the copies round differently: a model recovered in another process then differs in its last bits. In
strict arithmetic all copies are the same function.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numba

Compiled = Callable[..., Any]

MAX_FLOAT = 1.7976931348623157e308


def cache_directory() -> Path | None:
    """Where compiled code is kept: a directory named after the kernel's sources and the compiler's version.

    numba notices a change in a function's own file, but not in what it calls, and would go on with old code. So
    every version of the kernel has a directory of its own, in $NUMBA_CACHE_DIR, the user's cache, or the directory
    for temporary files; None if none of them can be written to.
    """
    sources = hashlib.sha256(numba.__version__.encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        sources.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    name = f"kernel-{sources.hexdigest()[:16]}"
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - Path's raises
    candidates = [Path(user_cache, "uoro", name)]
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        candidates.insert(0, Path(chosen, name))
    with contextlib.suppress(OSError):
        candidates.append(Path(tempfile.gettempdir(), f"uoro-{user}-{name}"))
    return next((directory for directory in candidates if _is_own(directory)), None)


def _is_own(directory: Path) -> bool:
    """Whether it is there, now at least, and only we may put code there."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError:
        return False
    is_ours = not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)
    return is_ours and os.access(directory, os.W_OK | os.X_OK)


# Work at import, the only such in the learning: numba reads this setting when it decorates, which is at import too.
CACHE_DIRECTORY = cache_directory()
if CACHE_DIRECTORY is not None:
    numba.config.CACHE_DIR = str(CACHE_DIRECTORY)  # type: ignore[attr-defined]


def jit(function: Compiled) -> Compiled:
    """Compile a function of the kernel."""
    has_cache = CACHE_DIRECTORY is not None
    return cast("Compiled", numba.njit(cache=has_cache, nogil=True, error_model="numpy")(function))


def inlined(function: Compiled) -> Compiled:
    """The same for what is too small to be called."""
    return cast("Compiled", numba.njit(inline="always", error_model="numpy")(function))


@jit
def is_finite(x):
    """Whether x is a number. numba's own isfinite asks whether x - x is 0, which `reassoc` makes true of any sum."""
    return abs(x) <= MAX_FLOAT
