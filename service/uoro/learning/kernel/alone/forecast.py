"""The forecast of a stream's T number targets by the core alone: the change from the last value.

One observation, in this order (`uoro.learning.learner` tells it):

    score    the pending forecast is `mean`, `lower`, `upper`; nothing here moves
    slopes   ∂ℓ/∂output for the core
             -- the core learns (kernel.core.learn) --
    learn    the intervals learn from the error
    advance  values and time are taken in; the core's input is set
             -- the core's state moves (kernel.core.advance) --
    forecast the next value and its interval, from the core's output

The core forecasts in units of the mean absolute change. Missing values (NaN) teach nothing: the last known value
stands in for them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import uintp as U

from uoro.learning.kernel import scoring
from uoro.learning.kernel.alone import inputs, intervals, losses, seasons, statistics
from uoro.learning.kernel.alone.intervals import ERROR, HIGH, LOW, UNIT
from uoro.learning.kernel.alone.statistics import clip
from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.numeric import statistics as columns
from uoro.learning.kernel.numeric.statistics import LAST, SCALE, VARIANCE, known

MAX_RESIDUAL = 20.0
MAX_TARGET = 50.0
FIRST_WIDTH = 0.1  # of the value, before any change or error is known


class State(NamedTuple):
    """Views of the parts of one stream's block, in the order of `shapes`."""

    stats: np.ndarray
    errors: np.ndarray
    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    clock: np.ndarray
    sizes: np.ndarray
    memory: np.ndarray


def shapes(num_fields: int, num_targets: int, *, has_season: bool) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of all parts; `has_season` is false for the spec's season "none"."""
    return {
        "stats": ((num_fields, statistics.NUM), "f8"),
        "errors": ((num_targets, intervals.NUM), "f8"),
        **dict.fromkeys(("mean", "lower", "upper"), ((num_targets,), "f8")),
        **seasons.shapes(num_targets, is_kept=has_season),
    }


def init(s: State) -> None:
    """The state before the first observation, over zeroed memory."""
    columns.init(s.stats)
    intervals.init(s.errors)
    seasons.init(s.clock, s.memory)
    for said in (s.mean, s.lower, s.upper):
        said[:] = np.nan


@jit
def score(s, kind, is_alone, values, losses, baselines):
    """`kernel.scoring.score` of the pending forecast."""
    last, scale = s.stats[:, LAST], s.stats[:, SCALE]
    return scoring.score(kind, is_alone, values, s.mean, s.lower, s.upper, last, scale, losses, baselines)


@jit
def slopes(s, kind, values, output, out):
    """Set out, ∂loss/∂output of the core for the values (F,), zero for missing ones.

    Output and out are (T,), for scoring.GAUSSIAN (2 T,): location and log variance of each target.
    """
    stats = s.stats
    for i in range(U(s.mean.size)):
        scale, value = stats[i, SCALE], values[i]
        is_known = scale > 0 and not math.isnan(value)
        target = clip((value - known(stats[i, LAST])) / scale, MAX_TARGET) if is_known else 0.0
        if kind == scoring.GAUSSIAN:
            at, by_location, by_variance = i + i, 0.0, 0.0
            if is_known:
                raw, log_variance = np.float64(output[at]), np.float64(output[at + U(1)])
                by_location, by_variance = losses.gaussian(raw, log_variance, target)
            out[at], out[at + U(1)] = by_location, by_variance
        elif not is_known:
            out[i] = 0.0
        elif kind == scoring.SQUARED:
            out[i] = losses.squared(np.float64(output[i]), target)
        else:
            out[i] = losses.huber(np.float64(output[i]), target)


@jit
def learn(s, values):
    """Let the intervals learn from the values (F,) of the newest observation."""
    intervals.learn(s.errors, values, s.mean)


@jit
def advance(s, season, values, t, is_calendar, is_learning, ahead, x):
    """Take the values (F,) seen at t (NaN: no time) in, and fill the core's input x (I,) but for its one-hot part.

    season: observations, or not above 0 where the calendar tells. ahead (T,) is a workspace.
    """
    stats = s.stats
    statistics.advance(stats, values, is_learning)
    seasons.advance(s.clock, s.sizes, s.memory, season, stats, values, t, is_calendar, ahead)
    inputs.write(x, stats, values, ahead, t, is_calendar)


@jit
def forecast(s, kind, output):
    """Set the pending forecast from the core's output, as in `slopes`."""
    stats, errors, mean, lower, upper = s.stats, s.errors, s.mean, s.lower, s.upper
    for i in range(U(mean.size)):
        last, scale = stats[i, LAST], stats[i, SCALE]
        y, given = known(last), np.nan
        at = i + i if kind == scoring.GAUSSIAN else i
        if kind == scoring.GAUSSIAN:
            # In units of the mean absolute error, which is what the tracked quantiles multiply.
            log_variance = clip(np.float64(output[at + U(1)]), losses.MAX_LOG_VARIANCE)
            given = scale * math.exp(0.5 * log_variance) / scoring.MEAN_ABS_TO_STD
        fallback = scale if scale > 0 else FIRST_WIDTH * abs(y)
        unit = intervals.unit_of(errors[i, ERROR], errors[i, intervals.COUNT], given, fallback)
        errors[i, UNIT] = unit
        center = y + scale * clip(np.float64(output[at]), MAX_RESIDUAL)
        if not is_finite(center):
            center = y
        if math.isnan(last):
            # Of a field that has not shown a value yet nothing is said.
            center = np.nan
        mean[i] = center
        lower[i], upper[i] = center + errors[i, LOW] * unit, center + errors[i, HIGH] * unit


@jit
def widen(s, step):
    """Make the pending interval that of `step` steps ahead: errors of a random walk, up to the spread.

    A forecast h steps ahead errs like √h single steps at worst, and never by more than the values themselves are
    spread around their mean.
    """
    stats, mean, lower, upper = s.stats, s.mean, s.lower, s.upper
    growth = math.sqrt(step)
    for i in range(U(mean.size)):
        center, most = mean[i], 2.0 * math.sqrt(max(stats[i, VARIANCE], 0.0))
        below, above = abs(lower[i] - center), abs(upper[i] - center)
        lower[i] = center - max(below, min(below * growth, most))
        upper[i] = center + max(above, min(above * growth, most))
