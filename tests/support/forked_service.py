"""A live service whose lives are forked from a nest that has imported and compiled everything.

A start then takes a few tenths of a second instead of two, which makes hundreds of kills affordable. Each life is a
process of its own that runs what `uoro serve` runs; SIGKILL ends it like any other.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

from live_service import LiveService


class Nest:
    """A process that forks services, waits for them, and takes the last one with it when it ends."""

    def __init__(self, env: dict[str, str], directory: Path, log: Path) -> None:
        with log.open("ab") as file:
            self._child = subprocess.Popen(
                [sys.executable, __file__],
                env=env,
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
            )

    def ask(self, word: str) -> int | None:
        """The nest's answer to "fork" (a pid), "wait" or "poll" (an exit code, None while it lives)."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(word.encode() + b"\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline().decode().strip()
        assert answer, "the nest has ended"
        return None if answer == "alive" else int(answer)

    def close(self) -> None:
        """End the nest, and the service that is still alive."""
        self._child.communicate()
        self._child.wait()


class Life:
    """One forked service, as far as LiveService asks a child."""

    def __init__(self, nest: Nest) -> None:
        self._nest = nest
        pid = nest.ask("fork")
        assert pid is not None
        self.pid = pid

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        code = self._nest.ask("wait")
        assert code is not None
        return code

    def poll(self) -> int | None:
        return self._nest.ask("poll")


class ForkedService(LiveService):
    """See the module."""

    _nest: Nest | None = None

    def start(self, *, wait: bool = True) -> None:
        if self._nest is None:
            self._nest = Nest(self._env, self.data_dir, self.log)
        self._running = Life(self._nest)  # type: ignore[assignment]
        if wait:
            self.wait_ready()

    def end(self) -> None:
        if self._nest is not None:
            self._nest.close()
        self._running = None
        self.kill_redis()


def main() -> None:
    """The nest: one answer on standard output to each line of standard input."""
    from uoro.app import serve  # noqa: PLC0415 - the class above needs nothing of it
    from uoro.learning.trial import try_out  # noqa: PLC0415
    from uoro.settings import Settings  # noqa: PLC0415

    try_out()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    pid, code = 0, None
    for line in sys.stdin.buffer:
        if line == b"fork\n":
            pid, code = os.fork(), None
            if pid == 0:
                _live(answers)
                os._exit(serve(Settings.load()))
            _tell(answers, pid)
            continue
        if code is None:
            found, status = os.waitpid(pid, 0 if line == b"wait\n" else os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if found else None
        _tell(answers, "alive" if code is None else code)
    if pid and code is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _live(answers: BinaryIO) -> None:
    """Let go of what belongs to the nest."""
    answers.close()
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _tell(answers: BinaryIO, answer: object) -> None:
    answers.write(f"{answer}\n".encode())
    answers.flush()


if __name__ == "__main__":
    main()
