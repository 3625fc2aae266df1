"""Prediction intervals that cover the central 90 % under drift, whatever the distribution of the errors.

The half widths are a local error scale times two tracked quantiles: after each error the quantile that was crossed
moves out, the other moves in, each by the pinball loss's slope (online quantile tracking; Gibbs & Candès 2021,
Angelopoulos et al. 2023). Coverage then holds in the long run by construction; the local scale makes it hold now.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric.statistics import MIN_SCALE

ERROR, LOW, HIGH, COUNT, UNIT = range(5)
NUM = 5
"""Columns of the state (T, NUM): exponentially weighted mean absolute error; lower and upper quantile in such units;
errors seen; the unit that the pending interval used."""

TAIL = 0.05
ERROR_RATE = 0.03
STEP = 0.06
FIRST_QUANTILE = 2.3  # of a heavy-tailed error in units of its mean absolute value
MIN_QUANTILE, MIN_WIDTH = 0.02, 0.2
MAX_ERROR = 10.0  # an outlier counts for at most so many mean errors


def init(errors: np.ndarray) -> None:
    """The state (T, NUM) before the first observation."""
    errors[:] = 0.0
    errors[:, LOW] = -FIRST_QUANTILE
    errors[:, HIGH] = FIRST_QUANTILE


@jit
def learn(errors, values, mean):
    """Take in the errors of the forecast mean (T,) of the first T values; NaN teaches nothing."""
    for i in range(U(mean.size)):
        error = values[i] - mean[i]
        if math.isnan(error):
            continue
        count, unit, scale = errors[i, COUNT], errors[i, UNIT], errors[i, ERROR]
        if count > 0 and unit > 0:
            low, high = errors[i, LOW], errors[i, HIGH]
            relative = error / unit
            # A step grows with the quantile so that heavy tails are reached in a few crossings.
            step = STEP * max(high - low, MIN_WIDTH)
            low -= step * ((1.0 if relative < low else 0.0) - TAIL)
            high += step * ((1.0 if relative > high else 0.0) - TAIL)
            errors[i, LOW], errors[i, HIGH] = min(low, -MIN_QUANTILE), max(high, MIN_QUANTILE)
        count += 1.0
        size = abs(error)
        if scale > 0:
            size = min(size, MAX_ERROR * scale)
        scale += max(1.0 / count, ERROR_RATE) * (size - scale)
        errors[i, COUNT], errors[i, ERROR] = count, 0.0 if scale < MIN_SCALE else scale


@jit
def unit_of(error, count, given, fallback):
    """The unit of the next interval: `given` by the model itself, or (NaN) the mean error; `fallback` before any."""
    unit = fallback
    if count > 0:
        unit = error if math.isnan(given) else given
    return 0.0 if unit < MIN_SCALE else unit
