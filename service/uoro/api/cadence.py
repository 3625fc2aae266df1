"""When the observations to come are due: the clock of a stream, read from the times of its recent ones.

Nothing is invented: a stream whose observations carry no `t`, or too few, has no clock and no forecast in time.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from uoro.api.timestamps import epoch_s
from uoro.domain import Result
from uoro.limits import MAX_HORIZON_STEPS

MIN_GAPS = 2
"""Two observations might be apart by chance."""


@dataclass(frozen=True)
class Cadence:
    """The clock of a stream.

    Attributes:
        newest_s: when its newest observation was, as epoch seconds.
        gap_s: the usual time between two.
    """

    newest_s: float
    gap_s: float

    def steps_until(self, end_s: float) -> int:
        """How many observations are due by then, of those that can be forecast."""
        return int(max(0.0, min((end_s - self.newest_s) / self.gap_s, float(MAX_HORIZON_STEPS))))

    def reaches(self, end_s: float) -> bool:
        """Whether the furthest forecast is due then or later."""
        return self.newest_s + self.gap_s * (MAX_HORIZON_STEPS + 1) > end_s

    def step_at(self, time_s: float) -> int:
        """The observation, 1 for the next one, that is the newest due at a time; 0 if none is yet."""
        return int(max(0.0, min((time_s - self.newest_s) / self.gap_s, float(MAX_HORIZON_STEPS + 1))))


def cadence_of(results: Sequence[Result]) -> Cadence | None:
    """The clock of a stream from its recent results, newest last; None if their times do not tell.

    The gap is the median of those between neighbours; the time of the newest, if it has none, is counted on from the
    last one that has.
    """
    timed = [(result.seq, _seconds(result.t)) for result in results if result.t is not None]
    gaps = [
        after_s - before_s
        for (before, before_s), (after, after_s) in pairwise(timed)
        if after == before + 1 and after_s > before_s
    ]
    if len(gaps) < MIN_GAPS:
        return None
    gap_s = statistics.median(gaps)
    seq, time_s = timed[-1]
    return Cadence(time_s + (results[-1].seq - seq) * gap_s, gap_s)


def _seconds(t: float | str) -> float:
    return epoch_s(t) if isinstance(t, str) else float(t)
