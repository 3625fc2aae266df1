"""The input vector of the recurrent core, but for its one-hot part.

    [z (F), change (F), seasonal change (T), missing (F), calendar (4) | one-hot of the category fields]

z is the value's distance from the mean in standard deviations; changes are in mean absolute changes.
"""

from __future__ import annotations

import math

from numba import uintp as U

from uoro.learning.kernel.alone.statistics import clip
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric.seasons import DAY_S, WEEK_S
from uoro.learning.kernel.numeric.statistics import COUNT, LAST, MEAN, PREVIOUS, SCALE, VARIANCE, known

MAX_INPUT = 4.0
MIN_VARIANCE = 1e-12  # in squares of the mean absolute change
NUM_CALENDAR = 4


def num_inputs(num_fields: int, num_targets: int, num_one_hot: int = 0) -> int:
    """Length I; the last `num_one_hot` are for category fields, set by the caller."""
    return 3 * num_fields + num_targets + NUM_CALENDAR + num_one_hot


@jit
def write(x, stats, values, ahead, t, is_calendar):
    """Fill x (I,) float32 after the values (F,), NaN where missing, were taken in.

    stats: (F, NUM). ahead: (T,) the seasonal change or NaN. t: epoch seconds that came with the values, or NaN.
    """
    num_fields, num_targets = U(stats.shape[0]), U(ahead.size)
    seasonal = num_fields + num_fields
    missing = seasonal + num_targets
    calendar = missing + num_fields
    for f in range(num_fields):
        scale = stats[f, SCALE] if stats[f, SCALE] > 0 else 1.0
        y = known(stats[f, LAST])
        z = 0.0
        if stats[f, COUNT] > 1:
            z = (y - stats[f, MEAN]) / math.sqrt(max(stats[f, VARIANCE], MIN_VARIANCE * (scale * scale)))
        x[f] = clip(z, MAX_INPUT)
        x[num_fields + f] = clip(known(y - stats[f, PREVIOUS]) / scale, MAX_INPUT)
        if f < num_targets:
            x[seasonal + f] = clip(known(ahead[f] / scale), MAX_INPUT)
        x[missing + f] = 1.0 if math.isnan(values[f]) else 0.0
    for k in range(U(NUM_CALENDAR)):
        x[calendar + k] = 0.0
    if is_calendar and not math.isnan(t):
        day, week = 2.0 * math.pi * (t % DAY_S) / DAY_S, 2.0 * math.pi * (t % WEEK_S) / WEEK_S
        x[calendar] = math.sin(day)
        x[calendar + U(1)] = math.cos(day)
        x[calendar + U(2)] = math.sin(week)
        x[calendar + U(3)] = math.cos(week)
