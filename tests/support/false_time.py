"""A time of day of its own for a program: a library to preload, which adds what a file says.

libfaketime does not get along with the allocator of redis-server, and this needs twenty lines.
"""

from __future__ import annotations

import shlex
import shutil
import struct
import subprocess
from pathlib import Path

CAN_BUILD = shutil.which("cc") is not None
WHY_NOT = "no C compiler: the false clock cannot be built"

_SOURCE = """
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <stdlib.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <sys/time.h>
    #include <time.h>
    #include <unistd.h>
    static volatile const long long *offset_s;
    static long long offset(void) {
        if (!offset_s) {
            int file = open(getenv("FALSE_TIME"), O_RDONLY | O_CLOEXEC);
            offset_s = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
            close(file);
        }
        return *offset_s;
    }
    int clock_gettime(clockid_t clock, struct timespec *now) {
        int failed = syscall(SYS_clock_gettime, clock, now);
        if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
        return failed;
    }
    int gettimeofday(struct timeval *now, void *zone) {
        (void)zone;
        struct timespec found;
        clock_gettime(CLOCK_REALTIME, &found);
        now->tv_sec = found.tv_sec;
        now->tv_usec = found.tv_nsec / 1000;
        return 0;
    }
    time_t time(time_t *now) {
        struct timespec found;
        clock_gettime(CLOCK_REALTIME, &found);
        if (now) *now = found.tv_sec;
        return found.tv_sec;
    }
"""


class FalseTime:
    """The time of day of the programs that run under it; their monotonic clocks are left alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file, self._library = directory / "false-time", directory / "false_time.so"
        self.set(0)
        compiling = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", self._library]
        subprocess.run(compiling, input=_SOURCE.encode(), check=True)

    def set(self, offset_s: int) -> None:
        """From now on the time of day is the true one and this, for whoever runs already, too."""
        raw = struct.pack("<q", offset_s)
        if not self._file.exists():
            self._file.write_bytes(raw)
        with self._file.open("r+b", buffering=0) as file:  # in place: it is mapped
            file.write(raw)

    def program(self, program: str) -> Path:
        """A script that becomes `program` under this clock."""
        script = self._directory / f"{Path(program).name}-in-false-time"
        environment = {"FALSE_TIME": self._file, "LD_PRELOAD": self._library}
        assignments = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in environment.items())
        script.write_text(f'#!/bin/sh\n{assignments} exec {shlex.quote(program)} "$@"\n')
        script.chmod(0o700)
        return script
