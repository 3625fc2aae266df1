"""Which streams need a snapshot, and how much of the log is still needed. Pure: marks and times in, decisions out.

Rules:
1. A stream is due when one of its two generations lacks a change, or is missing, and its interval is over. So one
   that fell silent lets go of the log: its second generation is written anew, and both are the same.
2. A log over its limit makes the streams that pin its oldest records due at once.
3. The log is needed from the first record that the *older* generation of any stream lacks: with the newest
   generation damaged, the older one and the log still give the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_GENERATIONS = 2


@dataclass(slots=True)
class Mark:
    """What is known about one stream's snapshots.

    Attributes:
        born: position of the record that it began with, or the first that could have it.
        changed: position of the newest record that changed it.
        generations: positions of its snapshots, oldest first, at most two.
        written_s: when the newest was written, in seconds of the engine's clock.
        is_set_aside: it is damaged, and its newest generation says so: nothing more is needed for it.
    """

    born: int
    changed: int
    generations: list[int] = field(default_factory=list)
    written_s: float = float("-inf")
    is_set_aside: bool = False

    @property
    def is_behind(self) -> bool:
        """Whether another snapshot would make the stream safer or the log shorter."""
        if self.is_set_aside:
            return False
        return self.needs is not None

    @property
    def needs(self) -> int | None:
        """The first record that it still needs from the log, or None."""
        if self.is_set_aside:
            return None
        if len(self.generations) < MAX_GENERATIONS:
            return self.born
        return self.generations[0] + 1 if self.changed > self.generations[0] else None

    @property
    def newest(self) -> int:
        """Position of the newest generation; 0 if there is none."""
        return max(self.generations, default=0)

    def add(self, position: int, now_s: float) -> None:
        """A snapshot at a position was written."""
        self.generations = [*self.generations, position][-MAX_GENERATIONS:]
        self.written_s = now_s


def due(marks: Mapping[str, Mark], now_s: float, interval_s: float, *, is_log_full: bool) -> list[str]:
    """Streams that need a snapshot now, those that pin the oldest part of the log first."""
    behind = [
        (mark.needs or mark.changed, stream)
        for stream, mark in marks.items()
        if mark.is_behind and (is_log_full or now_s - mark.written_s >= interval_s)
    ]
    return [stream for _, stream in sorted(behind)]


def needed_from(marks: Mapping[str, Mark], end: int) -> int:
    """The lowest position that is still needed; `end` if none is."""
    return min((need for mark in marks.values() if (need := mark.needs) is not None), default=end)
