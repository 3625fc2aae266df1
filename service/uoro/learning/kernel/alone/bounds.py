"""Whether a state is one that the kernel could have come to: asked of states that came from outside. Not compiled."""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.alone import intervals, seasons
from uoro.learning.kernel.alone.forecast import State
from uoro.learning.kernel.numeric import statistics
from uoro.learning.kernel.numeric.seasons import NEWEST

MAX_COUNT = 2**53


def unsound_part(state: State) -> str | None:
    """Name of the first part that is not sound, or None. That nothing is infinite is known already."""
    stats, errors, clock = state.stats, state.errors, state.clock
    told = np.delete(clock, NEWEST)
    checks = {
        "stats": not np.isnan(stats[:, statistics.MEAN]).any() and _are_sizes(stats[:, statistics.VARIANCE :]),
        "errors": not np.isnan(errors).any() and _are_sizes(np.delete(errors, [intervals.LOW, intervals.HIGH], 1)),
        "clock": not np.isnan(told).any() and bool(0 <= clock[seasons.COUNT] <= MAX_COUNT),
        "sizes": bool(((state.sizes >= 0) & (state.sizes <= seasons.MAX_SLOTS)).all()),
    }
    return next((name for name, is_sound in checks.items() if not is_sound), None)


def _are_sizes(values: np.ndarray) -> bool:
    """NaN is none."""
    return bool((values >= 0).all())
