"""A server program whose every flush of a file takes its time: a library to preload, and a script that does."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

WHY_NOT = "no C compiler: the slow flush cannot be built"
CAN_BUILD = shutil.which("cc") is not None

_SOURCE = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <unistd.h>
    static int slowly(const char *name, int file) {{
        usleep({delay_us});
        return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
    }}
    int fdatasync(int file) {{ return slowly("fdatasync", file); }}
    int fsync(int file) {{ return slowly("fsync", file); }}
"""


def with_slow_flushes(program: str, directory: Path, delay_s: float) -> Path:
    """A script in `directory` that becomes `program`, each of whose flushes takes `delay_s` longer."""
    library, script = directory / "slow_flush.so", directory / "slow-server"
    source = _SOURCE.format(delay_us=round(delay_s * 1e6)).encode()
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"], input=source, check=True)
    script.write_text(f'#!/bin/sh\nLD_PRELOAD={shlex.quote(str(library))} exec {shlex.quote(program)} "$@"\n')
    script.chmod(0o700)
    return script
