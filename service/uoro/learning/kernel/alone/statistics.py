"""Running statistics of the F number fields of a stream (targets first).

Exponentially weighted with a rate that starts at 1/n, so they are exact means at first and follow drift later; they
are usable from the second observation on. A missing value is never learned from: its field keeps its last value.
"""

from __future__ import annotations

import math

from numba import uintp as U

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric.statistics import (
    COUNT,
    LAST,
    MAX_JUMP,
    MEAN,
    MEAN_RATE,
    MIN_SCALE,
    PREVIOUS,
    SCALE,
    SCALE_RATE,
    VARIANCE,
)

NUM = 6
"""Columns of the state (F, NUM), float64: the first of `kernel.numeric.statistics`."""


@jit
def clip(value, bound):
    """The value within ± bound; NaN stays NaN."""
    if value > bound:
        return bound
    return max(value, -bound)


@jit
def advance(stats, values, is_learning):
    """Take the values (F,) in, NaN where missing: last values always, statistics when learning."""
    for f in range(U(stats.shape[0])):
        value, last = values[f], stats[f, LAST]
        if math.isnan(value):
            stats[f, PREVIOUS] = last
            continue
        previous = value if math.isnan(last) else last
        stats[f, PREVIOUS], stats[f, LAST] = previous, value
        if not is_learning:
            continue
        count = stats[f, COUNT]
        stats[f, COUNT] = count + 1.0
        if count == 0:
            stats[f, MEAN] = value
            stats[f, VARIANCE] = 0.0
            continue
        scale, change = stats[f, SCALE], abs(value - previous)
        if scale > 0:
            change = min(change, MAX_JUMP * scale)
        scale += max(1.0 / count, SCALE_RATE) * (change - scale)
        stats[f, SCALE] = 0.0 if scale < MIN_SCALE else scale
        rate = max(1.0 / (count + 1.0), MEAN_RATE)
        deviation = value - stats[f, MEAN]
        stats[f, MEAN] += rate * deviation
        variance = stats[f, VARIANCE]
        stats[f, VARIANCE] = variance + rate * ((1.0 - rate) * (deviation * deviation) - variance)
