"""The recurrent core among the forecasters: its inputs, its four readouts, and what they ask of it.

The core (GRU, H units, one for all T targets) reads values, changes and what the other forecasters say; so it
learns when to believe whom and what they all miss. Its state h is read out four times per target:

    residual   long autoregression + unit · (V₀ h)         Adam, Huber loss
    mixture    mixture of all others + unit · (V₁ h)       Adam, Huber loss
    stacked    least squares on [h, the forecasts]         the best single forecaster on most streams
    corrected  mixture + unit · least squares on h

Least squares finds a readout in tens of observations where gradient steps need thousands. ∂ℓ/∂h for the
core's own learning (UORO family) is the sum over targets of the two Huber losses and READOUT_SHARE of the
stacked one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uintp as U

from uoro.learning.kernel import optimizers
from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.numeric import forecasters as fc
from uoro.learning.kernel.numeric import least_squares
from uoro.learning.kernel.numeric.statistics import COUNT, LAST, MEAN, PREVIOUS, clip, known, std_of, unit_of

NAMES = ("recurrent_residual", "recurrent_mixture", "recurrent_stacked", "recurrent_corrected")
RESIDUAL, MIXTURE, STACKED, CORRECTED = range(fc.NUM, fc.NUM + 4)
NUM_HEADS = 2
NUM_PER_TARGET, NUM_PER_INPUT, NUM_CALENDAR = 13, 2, 4
HEARD = (11, 12, 13, 9, 3, 5, 7)  # forecasts next to h in the stacked readout
FORGETTING = 0.998
MAX_INPUT, MAX_OUTPUT, MAX_TARGET = 4.0, 20.0, 50.0
HUBER = 0.5  # in units of the base forecast's own mean error; sweep .25, .5, 1: equal
READOUT_SHARE = 0.3  # sweep 0, .3, 1: equal
HEAD_RATE = 3e-3
UNIT_RANGE = (0.05, 2.0)  # in scales; estimated from three errors it once gave 100 times the naive error
NUM_FIXED_UNIT = 20
ERROR_RATE = 0.02
OUTPUT, UNIT, RES, MIXED, MIXED_ERROR = 0, 2, 4, 6, 7
NUM_MEMORY = 8
"""Columns of the memory (T, NUM_MEMORY): two outputs, two units, two last residuals, the mixture, its error."""


def num_inputs(num_fields: int, num_targets: int, num_one_hot: int = 0) -> int:
    """Length I of the core's input; the last `num_one_hot` are for category fields, set by the caller."""
    return NUM_PER_TARGET * num_targets + NUM_PER_INPUT * (num_fields - num_targets) + NUM_CALENDAR + num_one_hot


def shapes(num_targets: int, hidden: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of the state."""
    size, small = hidden + 1 + len(HEARD), hidden + 1
    return {
        "readout": ((num_targets, 3, NUM_HEADS, hidden + 1), "f4"),  # weights, Adam's mean and square
        "readout_memory": ((num_targets, NUM_MEMORY), "f8"),
        "stacked": ((num_targets, size + least_squares.EXTRA_ROWS, size), "f8"),
        "corrected": ((num_targets, small + least_squares.EXTRA_ROWS, small), "f8"),
    }


@jit
def inputs(x, stats, num_targets, f, memory, readout_memory, t, is_calendar):
    """Fill x (I,) float32 for the core's next step; f (T, ≥ NUM) the forecasts of the others."""
    p = 0
    for i in range(num_targets):
        row, own = stats[i], readout_memory[i]
        y, unit = known(row[LAST]), unit_of(row)
        x[p] = clip((y - row[MEAN]) / std_of(row), MAX_INPUT)
        x[p + 1] = clip(known(y - row[PREVIOUS]) / unit, MAX_INPUT)
        x[p + 2] = clip(known(memory[i, fc.SEASONAL]), MAX_INPUT)
        x[p + 3] = clip((f[i, fc.AR_LONG] - y) / unit, MAX_INPUT)
        x[p + 4] = clip(own[RES], MAX_INPUT)
        x[p + 5] = clip((f[i, fc.ANALOGY] - y) / unit, MAX_INPUT)
        x[p + 6] = clip((f[i, fc.AR_LOG] - y) / unit, MAX_INPUT)
        x[p + 7] = clip((f[i, fc.MEDIAN_FAST] - y) / unit, MAX_INPUT)
        x[p + 8] = clip((f[i, fc.SEASON_MEAN] - y) / unit, MAX_INPUT)
        x[p + 9] = clip((f[i, fc.CROSS] - y) / unit, MAX_INPUT)
        x[p + 10] = clip((own[MIXED] - y) / unit, MAX_INPUT)
        x[p + 11] = clip(own[RES + 1], MAX_INPUT)
        x[p + 12] = clip(memory[i, fc.VOLATILITY], MAX_INPUT)
        p += NUM_PER_TARGET
    for i in range(num_targets, stats.shape[0]):
        row = stats[i]
        x[p] = clip(known(row[LAST] - row[MEAN]) / std_of(row), MAX_INPUT)
        x[p + 1] = clip(known(row[LAST] - row[PREVIOUS]) / unit_of(row), MAX_INPUT)
        p += NUM_PER_INPUT
    for k in range(NUM_CALENDAR):
        x[p + k] = 0.0
    if is_calendar and not math.isnan(t):
        day, week = 2.0 * math.pi * (t % 86_400.0) / 86_400.0, 2.0 * math.pi * (t % 604_800.0) / 604_800.0
        x[p] = math.sin(day)
        x[p + 1] = math.cos(day)
        x[p + 2] = math.sin(week)
        x[p + 3] = math.cos(week)
    for k in range(p):
        if not is_finite(x[k]):
            x[k] = 0.0


@jit
def forecast(f, row, own, weights, stacked, corrected, h, long_error):
    """Set the four forecasts of one target from the core's state h (H,) float32; f (K,), own (NUM_MEMORY,)."""
    hidden = h.size
    y, unit = known(row[LAST]), unit_of(row)
    is_early = row[COUNT] <= NUM_FIXED_UNIT
    for k in range(NUM_HEADS):
        error = long_error if k == 0 else own[MIXED_ERROR]
        own[UNIT + k] = unit * (1.0 if is_early else min(max(error, UNIT_RANGE[0]), UNIT_RANGE[1]))
        acc = float(weights[k, hidden])
        for u in range(hidden):
            acc += float(weights[k, u]) * float(h[u])
        own[OUTPUT + k] = acc
    f[RESIDUAL] = f[fc.AR_LONG] + own[UNIT] * clip(own[OUTPUT], MAX_OUTPUT)
    f[MIXTURE] = own[MIXED] + own[UNIT + 1] * clip(own[OUTPUT + 1], MAX_OUTPUT)
    x, small = least_squares.regressors(stacked), least_squares.regressors(corrected)
    for u in range(hidden):
        x[u] = h[u]
        small[u] = h[u]
    x[hidden] = 1.0
    small[hidden] = 1.0
    for j in range(len(HEARD)):
        x[hidden + 1 + j] = clip((f[HEARD[j]] - y) / unit, MAX_OUTPUT)
    f[STACKED] = y + unit * clip(least_squares.predict(stacked), MAX_OUTPUT)
    f[CORRECTED] = own[MIXED] + own[UNIT + 1] * clip(least_squares.predict(corrected), MAX_OUTPUT)
    for k in range(RESIDUAL, CORRECTED + 1):
        f[k] = fc.within(f[k], row, y)


@jit
def learn(slopes, value, f, row, own, readout, stacked, corrected, h, share, rate, eps):
    """Let one target's readouts learn from its value; adds share · ∂ℓ/∂h to slopes (H,) float32.

    readout (3, NUM_HEADS, H + 1); share is 1/T. Returns how many models had to be reset.
    """
    hidden = h.size
    y, unit = known(row[LAST]), unit_of(row)
    grad = np.empty(hidden + 1, np.float32)
    own[RES] = (value - f[fc.AR_LONG]) / own[UNIT]
    own[RES + 1] = (value - own[MIXED]) / own[UNIT + 1]
    error = abs(value - own[MIXED]) / unit
    if own[MIXED_ERROR] > 0:
        error = min(error, 10.0 * own[MIXED_ERROR])
    own[MIXED_ERROR] += max(1.0 / max(row[COUNT], 1.0), ERROR_RATE) * (error - own[MIXED_ERROR])
    target = clip((value - y) / unit, 1e3)
    error = least_squares.predict(stacked) - target
    bound = max(least_squares.error_of(stacked), 1e-9)
    slope = np.float32(READOUT_SHARE * share * clip(error / bound, 1.0))
    theta = stacked[stacked.shape[1]]
    for u in range(hidden):
        slopes[u] += slope * np.float32(clip(theta[u] / bound, 10.0))
    for k in range(NUM_HEADS):
        slope = np.float32(share * clip(own[OUTPUT + k] - clip(own[RES + k], MAX_TARGET), HUBER))
        for u in range(hidden):
            slopes[u] += slope * readout[0, k, u]
            grad[u] = slope * h[u]
        grad[hidden] = slope
        optimizers.move(optimizers.ADAM, readout[0, k], U(0), grad, readout[1, k], readout[2, k], rate, eps)
    resets = int(least_squares.learn(stacked, target, FORGETTING))
    resets += int(least_squares.learn(corrected, clip(own[RES + 1], MAX_TARGET), FORGETTING))
    return resets
