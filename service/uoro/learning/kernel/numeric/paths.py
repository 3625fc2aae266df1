"""How intervals widen with the horizon, learned from the model's own multi-step forecasts.

Every EVERY observations the model is run LENGTH steps ahead on a copy of its state, and that path is held
against what comes. Of the ratio of the error h steps ahead to the half width one step ahead the 90 % quantile
is tracked by octave halves of h,

    log g_b ← log g_b + STEP (1[|y - path_h| > g_b · half width] - 2·TAIL)                                      (1)

from g = √h, a random walk's. `factor` gives g for any h ≥ 1, never falling with h.
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric.intervals import TAIL

EVERY, LENGTH = 64, 32
STEP = 0.1
NUM_BUCKETS = 11  # int(2 log2 h) for h = 1 … 32
AGE = 0
"""Of the age (1,) int64: step of the path that the next observation is, 0 if there is none."""


def shapes(num_targets: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of the state."""
    return {
        "path": ((LENGTH, num_targets), "f8"),
        "path_width": ((num_targets,), "f8"),
        "path_age": ((1,), "i8"),
        "log_growth": ((num_targets, NUM_BUCKETS), "f8"),
    }


def init(log_growth: np.ndarray) -> None:
    """The state before the first observation: errors grow as those of a random walk."""
    log_growth[:] = 0.25 * math.log(2.0) * np.arange(NUM_BUCKETS)


@jit
def start(path, path_width, path_age, means, half_width):
    """Follow a new path: means (LENGTH, T), half_width (T,) of the one-step interval."""
    path[:] = means
    path_width[:] = half_width
    path_age[AGE] = 1


@jit
def learn(path, path_width, path_age, log_growth, values):
    """Hold the path against the values (T,) that came; NaN teaches nothing."""
    age = path_age[AGE]
    if age == 0:
        return
    bucket = int(2.0 * math.log2(age) + 1e-9)
    if age > 1:
        for i in range(values.size):
            if not math.isnan(values[i]) and path_width[i] > 0:
                is_missed = abs(values[i] - path[age - 1, i]) > math.exp(log_growth[i, bucket]) * path_width[i]
                change = STEP * ((1.0 if is_missed else 0.0) - 2.0 * TAIL)
                log_growth[i, bucket] = min(max(log_growth[i, bucket] + change, 0.0), 10.0)
    path_age[AGE] = age + 1 if age < LENGTH else 0


@jit
def factor(log_growth, h):
    """g of one target, log_growth (NUM_BUCKETS,), h ≥ 1 steps ahead; beyond LENGTH it grows as √h."""
    bucket = min(int(2.0 * math.log2(h) + 1e-9), NUM_BUCKETS - 1)
    best = 0.0
    for b in range(2, bucket + 1):
        best = max(best, log_growth[b])
    return math.exp(best) * (math.sqrt(h / LENGTH) if h > LENGTH else 1.0)
