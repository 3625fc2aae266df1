"""What a forecast of numbers was worth, against the naive one: `uoro.learning.scoring`, compiled."""

from __future__ import annotations

import math

from numba import uintp as U

from uoro.learning.kernel.jit import jit

HUBER, SQUARED, GAUSSIAN = range(3)
"""Kinds of loss."""
NORMAL_90 = 1.6448536269514722
MEAN_ABS_TO_STD = math.sqrt(math.pi / 2)
MAX_SCALED_LOSS = 20.0
"""Of several targets, one value's loss counts for at most so many mean absolute changes."""
MAX_Z = 1e3

_SQRT_2 = math.sqrt(2.0)
_INV_SQRT_PI = 1.0 / math.sqrt(math.pi)
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)


@jit
def crps(mean, std, value):
    """Continuous ranked probability score of a normal distribution (Gneiting & Raftery 2007, eq. 21).

    CRPS = σ (z (2Φ(z) - 1) + 2φ(z) - 1/√π); for σ = 0 it is the absolute error. A missing value gives NaN.
    """
    distance = abs(value - mean)
    if not std > 0:
        return distance
    # Far out in the tail z·erf(z) is |z|; there the score is the distance less σ/√π, whatever z is held to.
    z = distance / std
    z = min(z, MAX_Z)
    density = math.exp(-0.5 * z * z) * _INV_SQRT_2PI
    return std * (z * math.erf(z / _SQRT_2) + 2.0 * density - _INV_SQRT_PI) + (distance - z * std)


@jit
def score(kind, is_alone, values, mean, lower, upper, last, scale, losses, baselines, is_covered):
    """Compare the pending forecast mean, lower, upper (T,) and the naive one, last (T,), with the first T values.

    scale (T,) is the mean absolute change. Sets losses, baselines and is_covered (T,); NaN and False where the value
    is missing. `is_alone`: losses are in the user's units, neither measured in changes nor bounded.
    """
    for i in range(U(mean.size)):
        value, center, low, high, naive = values[i], mean[i], lower[i], upper[i], last[i]
        if kind == GAUSSIAN:
            loss = crps(center, (high - low) / (2.0 * NORMAL_90), value)
            baseline = crps(naive, scale[i] * MEAN_ABS_TO_STD, value)
        elif kind == SQUARED:
            loss, baseline = (value - center) * (value - center), (value - naive) * (value - naive)
        else:
            loss, baseline = abs(value - center), abs(value - naive)
        if not is_alone:
            width = scale[i] if scale[i] > 0 else 1.0
            most = MAX_SCALED_LOSS
            if kind == SQUARED:
                width, most = width * width, most * most
            # NaN is not above the bound.
            loss, baseline = loss / width, baseline / width
            loss = min(loss, most)
            baseline = min(baseline, most)
        losses[i], baselines[i] = loss, baseline
        is_covered[i] = low <= value <= high
