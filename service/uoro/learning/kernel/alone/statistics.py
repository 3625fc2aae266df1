"""Running statistics of the F number fields of a stream (targets first).

Exponentially weighted with a rate that starts at 1/n, so they are exact means at first and follow drift later; they
are usable from the second observation on. A missing value is never learned from: its field keeps its last value.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.jit import jit

LAST, PREVIOUS, MEAN, VARIANCE, SCALE, COUNT = range(6)
NUM = 6
"""Columns of the state (F, NUM), float64: newest known value and the one before it, NaN before the first; mean and
variance of the values; mean absolute change; values learned from."""

MEAN_RATE = 0.002
SCALE_RATE = 0.005
MAX_JUMP = 20.0  # one increment moves the scale by at most so many scales
MIN_SCALE = 1e-60
"""Changes below this count as none: dividing by them would leave the range of numbers."""


def init(stats: np.ndarray) -> None:
    """The state (F, NUM) before the first observation."""
    stats[:] = 0.0
    stats[:, LAST] = np.nan
    stats[:, PREVIOUS] = np.nan


@jit
def known(value):
    """The value, 0 where it is missing."""
    return 0.0 if math.isnan(value) else value


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
