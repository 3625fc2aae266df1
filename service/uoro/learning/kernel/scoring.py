"""What a pending forecast of numbers was worth, against the naive one, and the running account of it.

The loss is the absolute error, of the kind SQUARED the squared error, of GAUSSIAN the CRPS of the normal distribution
that the interval stands for. It is in the user's units when the target is the stream's only one; several targets are
each measured in their mean absolute change, to weigh alike, and none counts for more than MAX_SCALED_LOSS of these.
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import jit

HUBER, SQUARED, GAUSSIAN = range(3)
"""Kinds of loss."""
KINDS = {"huber": HUBER, "squared": SQUARED, "gaussian": GAUSSIAN}

NORMAL_90 = 1.6448536269514722
MEAN_ABS_TO_STD = math.sqrt(math.pi / 2)
MAX_SCALED_LOSS = 20.0
WINDOW = 1000
"""Effective length of the recent window, in observations."""
MAX_Z = 1e3

ROOT_2 = math.sqrt(2.0)
INVERSE_ROOT_PI = 1.0 / math.sqrt(math.pi)
INVERSE_ROOT_2_PI = 1.0 / math.sqrt(2.0 * math.pi)


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
    density = math.exp(-0.5 * z * z) * INVERSE_ROOT_2_PI
    return std * (z * math.erf(z / ROOT_2) + 2.0 * density - INVERSE_ROOT_PI) + (distance - z * std)


@jit
def score(kind, is_alone, values, mean, lower, upper, last, scale, losses, baselines):
    """Set losses and baselines (T,), NaN where there is nothing to compare; returns how many intervals held.

    values (≥ T,) that came; mean, lower, upper (T,) the pending forecast; last (T,) the naive one; scale (T,).
    """
    num_covered = 0
    for i in range(mean.size):
        value = values[i]
        if kind == SQUARED:
            loss, baseline = (value - mean[i]) ** 2, (value - last[i]) ** 2
        elif kind == GAUSSIAN:
            loss = crps(mean[i], (upper[i] - lower[i]) / (2.0 * NORMAL_90), value)
            baseline = crps(last[i], scale[i] * MEAN_ABS_TO_STD, value)
        else:
            loss, baseline = abs(value - mean[i]), abs(value - last[i])
        if not is_alone:
            width, most = scale[i] if scale[i] > 0.0 else 1.0, MAX_SCALED_LOSS
            if kind == SQUARED:
                width, most = width**2, most**2
            loss, baseline = loss / width, baseline / width
            # The comparison is false of NaN, which stays.
            loss = most if loss > most else loss  # noqa: FURB136 - see above
            baseline = most if baseline > most else baseline  # noqa: FURB136
        losses[i], baselines[i] = loss, baseline
        if not math.isnan(loss) and lower[i] <= value <= upper[i]:
            num_covered += 1
    return num_covered


@jit
def cover(covered, num_covered, num_intervals):
    """Take in, into covered (2, 2), how many intervals held the value that came."""
    for j, new in enumerate((num_covered, num_intervals)):
        covered[0, j] = covered[0, j] * (1.0 - 1.0 / WINDOW) + new
        covered[1, j] += new


@jit
def add(sums, loss, baseline_loss):
    """Take in, into sums (2, 3), one loss and that of the naive prediction for the same observation."""
    for j, new in enumerate((loss, baseline_loss, 1.0)):
        sums[0, j] = sums[0, j] * (1.0 - 1.0 / WINDOW) + new
        sums[1, j] += new


@jit
def combined(scores):
    """One anomaly score of several (n,), NaN where missing: the highest, as improbable as it is among so many.

    Šidák 1967; NaN if all are missing.
    """
    highest, num = np.nan, 0
    for score_ in scores:
        if not math.isnan(score_):
            highest = score_ if num == 0 else max(highest, score_)
            num += 1
    improbable = highest
    for _ in range(1, num):
        improbable *= highest
    return improbable
