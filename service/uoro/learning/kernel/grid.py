"""Values that lie on a grid: counts, tenths of a millimetre, cents.

The absolute error of a forecast is least at a median, and the median of values on a grid lies on the grid. So the
forecast is rounded to the fewest decimals that all values so far were written with, where that has helped.
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import jit

MAX_DECIMALS = 6
MAX_ROUNDED = 1e9
"""Values of this size and beyond are taken for continuous."""
DISCOUNT = 0.998
PRIOR = 2.0
"""Mean absolute changes that rounding has to have saved before it is used."""
POWERS = 10.0 ** np.arange(MAX_DECIMALS + 1)


@jit
def rounded(value, decimals):
    """The nearest number of so many decimals; a quotient of two exact numbers, so it is the one that was written."""
    return np.rint(value * POWERS[decimals]) / POWERS[decimals] if abs(value) < MAX_ROUNDED else value


@jit
def learn(decimals, gain, plain, values, scale):
    """Compare the pending forecast plain (T,), rounded and not, with the values (T,); NaN teaches nothing.

    decimals (T,) int64 seen so far, beyond MAX_DECIMALS there is no grid; gain (T,) the discounted loss that rounding
    would have saved, in mean absolute changes; scale (T,) these.
    """
    for i in range(values.size):
        value, unit, seen = values[i], scale[i], decimals[i]
        if math.isnan(value):
            continue
        if seen <= MAX_DECIMALS and unit > 0.0:
            saved = abs(value - plain[i]) - abs(value - rounded(plain[i], seen))
            gain[i] = DISCOUNT * gain[i] + min(max(saved / unit, -1.0), 1.0)
        while seen <= MAX_DECIMALS and rounded(value, seen) != value:
            seen += 1
        decimals[i] = seen


@jit
def forecast(decimals, gain, plain, mean):
    """Round the forecasts mean (T,) in place where that has helped; plain keeps them as they were."""
    for i in range(mean.size):
        plain[i] = mean[i]
        if decimals[i] <= MAX_DECIMALS and gain[i] > PRIOR:
            mean[i] = rounded(mean[i], decimals[i])
