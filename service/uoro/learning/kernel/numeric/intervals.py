"""Intervals for the central 90 % that are sharp now and cover in the long run.

Six ways to say how large an error is now (the candidates): its slow and its fast running mean, the mean in
the same slot of the day, the mean after changes as large as the last one, the mean at values as far from the
median as this one, and, apart from the forecast, the spread of the values around their fast median. In each
unit both quantiles are tracked by the pinball loss's slope, with a step in proportion to their distance,

    q ← q - STEP (q₊ - q₋) (1[e < q u] - α)                     (Gibbs & Candès 2021, eq. 4; Koenker)          (1)

BOA mixes the candidates' bounds on the pinball loss, each side by itself, and a last factor per side keeps
coverage whatever happens:   c ← c exp(CALIBRATION (1[missed] - α)).                                           (2)
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric import aggregation
from uoro.learning.kernel.numeric.aggregation import FORECAST, WEIGHT

NUM = 6
SLOW, FAST, SEASON, CHANGE, PLACE, VALUE = range(NUM)
"""The candidates."""
QUANTILE = aggregation.NUM_ROWS
NUM_ROWS = QUANTILE + 1
"""Rows of one side's (NUM_ROWS, NUM): those of the aggregation, then the tracked quantiles."""
TAIL = 0.05
FIRST_QUANTILE = 2.3  # of a heavy-tailed error in units of its mean absolute value
STEP = 0.03  # sweep .02, .04, .08: interval score -0.5 % … +1.5 %
CALIBRATION = 0.02  # sweep 0, .02, .05, .1: score +0, +.5, +1, +2 %; coverage of the worst stream better
SLOW_RATE, FAST_RATE, BIN_RATE, SLOT_RATE = 0.01, 0.12, 0.03, 0.15
MIN_QUANTILE, MIN_WIDTH = 0.02, 0.2
FACTOR_RANGE = (0.3, 5.0)
MAX_ERROR = 10.0  # an outlier counts for at most so many mean errors
NUM_BINS = 10
NUM_DAY_SLOTS = 512
COUNT, ERROR, QUICK, CHANGE_BIN, PLACE_BIN, SLOT, LOW_FACTOR, HIGH_FACTOR, LOW, HIGH, CENTER = range(11)
UNITS = 11
CHANGE_BINS = UNITS + NUM
PLACE_BINS = CHANGE_BINS + NUM_BINS
WIDTH = PLACE_BINS + NUM_BINS
"""Columns of the memo (T, WIDTH): COUNT errors seen, running means ERROR and QUICK, what the pending interval
used, then the units of the candidates and the mean errors by bin."""
LOG_PRIOR = np.full(NUM, math.log(1.0 / NUM))
AWAKE = np.ones(NUM, np.bool_)


def shapes(num_targets: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of the state."""
    return {
        "memo": ((num_targets, WIDTH), "f8"),
        "sides": ((num_targets, 2, NUM_ROWS, NUM), "f8"),
        "slot_error": ((num_targets, NUM_DAY_SLOTS), "f8"),
    }


def init(memo: np.ndarray, sides: np.ndarray, slot_error: np.ndarray) -> None:
    """The state before the first observation."""
    memo[:] = 0.0
    memo[:, LOW_FACTOR] = memo[:, HIGH_FACTOR] = 1.0
    memo[:, SLOT] = -1.0
    sides[:] = 0.0
    sides[:, :, WEIGHT] = 1.0 / NUM
    sides[:, 0, QUANTILE] = -FIRST_QUANTILE
    sides[:, 1, QUANTILE] = FIRST_QUANTILE
    slot_error[:] = np.nan


@jit
def _bin(ratio):
    """Two bins an octave."""
    place = math.floor(2.0 * math.log2(min(max(ratio, 1e-6), 1e6))) + NUM_BINS // 2
    return min(max(place, 0), NUM_BINS - 1)


@jit
def forecast(memo, sides, slot_error, mean, fallback, slot, change, place, center, spread):
    """The pending interval of one target.

    memo (WIDTH,), sides (2, NUM_ROWS, NUM), slot_error (NUM_DAY_SLOTS,). fallback: unit before any error.
    slot: of the day that comes, or -1. change: size of the last change in scales. place: distance of the
    value from the median in spreads. center, spread: of the values. Returns lower, upper.
    """
    unit = memo[ERROR] if memo[COUNT] > 0 else fallback
    memo[CHANGE_BIN] = _bin(change)
    memo[PLACE_BIN] = _bin(place)
    memo[SLOT] = slot
    memo[CENTER] = center
    units = memo[UNITS:CHANGE_BINS]
    units[:] = unit
    if memo[COUNT] > 0:
        units[FAST] = memo[QUICK]
    if slot >= 0 and not math.isnan(slot_error[slot]):
        units[SEASON] = 0.5 * (slot_error[slot] + unit)
    by_change = memo[CHANGE_BINS + int(memo[CHANGE_BIN])]
    by_place = memo[PLACE_BINS + int(memo[PLACE_BIN])]
    if by_change > 0:
        units[CHANGE] = by_change
    if by_place > 0:
        units[PLACE] = by_place
    for j in range(NUM):
        units[j] = max(units[j], 0.02 * unit)
    units[VALUE] = spread
    for side in range(2):
        a = sides[side]
        for j in range(NUM):
            base = center if j == VALUE else mean
            a[FORECAST, j] = base + a[QUANTILE, j] * units[j]
        memo[LOW + side] = aggregation.mix(a, mean, AWAKE, NUM)
    lower = mean + min((memo[LOW] - mean) * memo[LOW_FACTOR], 0.0)
    upper = mean + max((memo[HIGH] - mean) * memo[HIGH_FACTOR], 0.0)
    return lower, upper


@jit
def learn(memo, sides, slot_error, value, mean, lower, upper):
    """Judge the pending interval by the value that came and learn; eq. (1), (2)."""
    size = abs(value - mean)
    num = memo[COUNT]
    units = memo[UNITS:CHANGE_BINS]
    if num > 0 and units[SLOW] > 0:
        for side in range(2):
            tail = TAIL if side == 0 else 1.0 - TAIL
            a = sides[side]
            bound = memo[LOW + side]
            slope = ((1.0 if value < bound else 0.0) - tail) / units[SLOW]
            aggregation.learn(a[:QUANTILE], bound, slope, LOG_PRIOR, AWAKE)
            for j in range(NUM):
                if units[j] > 0:
                    error = value - (memo[CENTER] if j == VALUE else mean)
                    quantile = a[QUANTILE, j]
                    width = max(sides[1, QUANTILE, j] - sides[0, QUANTILE, j], MIN_WIDTH)
                    is_below = 1.0 if error < quantile * units[j] else 0.0
                    a[QUANTILE, j] = quantile - STEP * width * (is_below - tail)
        for j in range(NUM):
            sides[0, QUANTILE, j] = min(sides[0, QUANTILE, j], -MIN_QUANTILE)
            sides[1, QUANTILE, j] = max(sides[1, QUANTILE, j], MIN_QUANTILE)
        for side in range(2):
            is_missed = value < lower if side == 0 else value > upper
            factor = memo[LOW_FACTOR + side] * math.exp(CALIBRATION * ((1.0 if is_missed else 0.0) - TAIL))
            memo[LOW_FACTOR + side] = min(max(factor, FACTOR_RANGE[0]), FACTOR_RANGE[1])
    if memo[ERROR] > 0:
        size = min(size, MAX_ERROR * memo[ERROR])
    memo[COUNT] = num + 1.0
    memo[ERROR] += max(1.0 / (num + 1.0), SLOW_RATE) * (size - memo[ERROR])
    memo[QUICK] += max(1.0 / (num + 1.0), FAST_RATE) * (size - memo[QUICK])
    for which in range(2):
        k = (CHANGE_BINS if which == 0 else PLACE_BINS) + int(memo[CHANGE_BIN + which])
        if memo[k] <= 0:
            memo[k] = memo[ERROR]
        memo[k] += BIN_RATE * (size - memo[k])
    slot = int(memo[SLOT])
    if slot >= 0:
        old = slot_error[slot]
        slot_error[slot] = size if math.isnan(old) else old + SLOT_RATE * (size - old)
