"""Running statistics of the F number fields of a stream (targets first).

All rates start at 1/n, so that a statistic is an exact mean at first and follows drift later; each is robust:
one value moves a scale by at most MAX_JUMP scales, the mean by at most MAX_JUMP standard deviations.

    scale  s ← s + max(1/n, SCALE_RATE) (min(|Δy|, MAX_JUMP s) - s)            mean absolute change
    median m ← m + clip(y - m, ± max(1/n, MEDIAN_STEP) spread)                 (stochastic sign step)
    spread   ← mean |y - m|, like the scale
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import jit

LAST, PREVIOUS, MEAN, VARIANCE, SCALE, COUNT, MEDIAN, SPREAD, SEEN = range(9)
NUM = 9
"""Columns of the state (F, NUM), float64. SEEN: 1 if the newest observation had a value."""

MEAN_RATE = 0.002  # memory of 500 values; as in the first prototype
SCALE_RATE = 0.005  # memory of 200 changes
MEDIAN_STEP = 0.01  # of the spread; a fast median lives in smoothing.py
MAX_JUMP = 20.0  # an outlier counts for at most so many scales
MIN_SCALE = 1e-60  # changes below this are none: dividing by them would leave the range of numbers


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
    """The value within ± bound."""
    return min(max(value, -bound), bound)


@jit
def unit_of(row):
    """The scale of one field, 1 while no change has been seen."""
    return row[SCALE] if row[SCALE] > 0 else 1.0


@jit
def std_of(row):
    """The standard deviation of one field, 1 while it is unknown."""
    return math.sqrt(row[VARIANCE]) if row[VARIANCE] > 1e-24 * row[SCALE] ** 2 and row[VARIANCE] > 0 else 1.0


@jit
def spread_of(row):
    """The mean absolute distance from the median, 1 while it is unknown."""
    return row[SPREAD] if row[SPREAD] > 0 else 1.0


@jit
def advance(stats, values, learn):
    """Take the values (F,) in, NaN where missing: last values always, statistics when learning."""
    for f in range(stats.shape[0]):
        row = stats[f]
        value = values[f]
        row[SEEN] = 0.0 if math.isnan(value) else 1.0
        if math.isnan(value):
            row[PREVIOUS] = row[LAST]
            continue
        row[PREVIOUS] = value if math.isnan(row[LAST]) else row[LAST]
        row[LAST] = value
        if learn:
            _learn(row, value)


@jit
def _learn(row, value):
    n = row[COUNT]
    row[COUNT] = n + 1.0
    if n == 0:
        row[MEAN] = value
        row[MEDIAN] = value
        return
    change = abs(value - row[PREVIOUS])
    if row[SCALE] > 0:
        change = min(change, MAX_JUMP * row[SCALE])
    row[SCALE] += max(1.0 / n, SCALE_RATE) * (change - row[SCALE])
    if row[SCALE] < MIN_SCALE:
        row[SCALE] = 0.0
    rate = max(1.0 / (n + 1.0), MEAN_RATE)
    deviation = value - row[MEAN]
    if row[VARIANCE] > 0:
        deviation = clip(deviation, MAX_JUMP * math.sqrt(row[VARIANCE]))
    row[MEAN] += rate * deviation
    row[VARIANCE] += rate * ((1.0 - rate) * deviation * deviation - row[VARIANCE])
    distance = abs(value - row[MEDIAN])
    if row[SPREAD] > 0:
        distance = min(distance, MAX_JUMP * row[SPREAD])
    row[SPREAD] += max(1.0 / n, SCALE_RATE) * (distance - row[SPREAD])
    if row[SPREAD] < MIN_SCALE:
        row[SPREAD] = 0.0
    row[MEDIAN] += clip(value - row[MEDIAN], max(1.0 / (n + 1.0), MEDIAN_STEP) * row[SPREAD])
