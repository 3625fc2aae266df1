"""The forecast of a stream's T number targets: forecasters, recurrent readouts, aggregation, intervals.

One observation, in this order (`uoro.learning.learner` tells it):

    score    the pending forecast is `mean`, `bounds`; nothing here moves
    learn    everything that forecast learns from the values; gives ∂ℓ/∂h for the core
             -- the core learns (kernel.core.learn) --
    advance  values and time are taken in; all forecasters but the recurrent ones speak; the core's input is set
             -- the core's state moves (kernel.core.advance) --
    finish   the readouts speak; mixture and interval of the next value

Missing values (NaN) teach nothing: the last known value stands in for them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.kernel import optimizers
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric import aggregation, history, intervals, least_squares, paths, seasons, statistics
from uoro.learning.kernel.numeric import forecasters as fc
from uoro.learning.kernel.numeric import recurrent as rc
from uoro.learning.kernel.numeric.aggregation import FORECAST
from uoro.learning.kernel.numeric.statistics import (
    LAST,
    MEDIAN,
    PREVIOUS,
    SCALE,
    SPREAD,
    known,
    spread_of,
    std_of,
    unit_of,
)

NAMES = (*fc.NAMES, *rc.NAMES)
K = len(NAMES)
NAIVE_PRIOR = 2.0  # sweep 1.5, 3, 10: the smaller the better, but for the first 200 observations
AUTO, NONE = -1, 0
"""Seasons besides a number of observations."""
HEAD_EPSILON = 1e-8


class State(NamedTuple):
    """Views of the parts of one stream's block, in the order of `shapes`."""

    stats: np.ndarray
    past: np.ndarray
    past_z: np.ndarray
    past_change: np.ndarray
    match: np.ndarray
    amdf: np.ndarray
    period: np.ndarray
    place: np.ndarray
    clock: np.ndarray
    slots: np.ndarray
    slot_last: np.ndarray
    slot_mean: np.ndarray
    memory: np.ndarray
    short: np.ndarray
    long: np.ndarray
    log: np.ndarray
    cross: np.ndarray
    stack: np.ndarray
    readout: np.ndarray
    readout_memory: np.ndarray
    stacked: np.ndarray
    corrected: np.ndarray
    memo: np.ndarray
    sides: np.ndarray
    slot_error: np.ndarray
    path: np.ndarray
    path_width: np.ndarray
    path_age: np.ndarray
    log_growth: np.ndarray
    experts: np.ndarray
    mean: np.ndarray
    bounds: np.ndarray
    counts: np.ndarray


LEARNED, RESETS, SEASON, AWAKE = range(4)
"""Of the counts (4,) int64: observations learned from, models reset, the spec's season; AWAKE is unused."""


def shapes(
    num_fields: int, num_targets: int, hidden: int, season: int = AUTO
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of all parts."""
    return {
        "stats": ((num_fields, statistics.NUM), "f8"),
        **history.shapes(num_targets),
        **seasons.shapes(num_targets, is_kept=season == AUTO),
        **fc.shapes(num_fields, num_targets),
        **rc.shapes(num_targets, hidden),
        **intervals.shapes(num_targets),
        **paths.shapes(num_targets),
        "experts": ((num_targets, aggregation.NUM_ROWS, K), "f8"),
        "mean": ((num_targets,), "f8"),
        "bounds": ((num_targets, 2), "f8"),
        "counts": ((4,), "i8"),
    }


def log_prior() -> np.ndarray:
    """(K,) logarithm of the weights before the first observation."""
    prior = np.ones(K)
    prior[fc.NAIVE] = NAIVE_PRIOR
    return np.log(prior / prior.sum())


LOG_PRIOR = log_prior()


def init(s: State, season: int = AUTO) -> None:
    """The state before the first observation, over zeroed memory."""
    statistics.init(s.stats)
    history.init(s.place)
    seasons.init(s.clock, s.slot_last, s.slot_mean)
    for models in (s.short, s.long, s.log, s.cross, s.stack, s.stacked, s.corrected):
        least_squares.init(models)
    intervals.init(s.memo, s.sides, s.slot_error)
    paths.init(s.log_growth)
    aggregation.init(s.experts, LOG_PRIOR)
    s.mean[:] = np.nan
    s.bounds[:] = np.nan
    s.counts[SEASON] = season
    if season > 0:
        s.period[:] = season


@jit
def learn(s, values, h, slopes):
    """Learn from the values (F,) of the newest observation; sets slopes (H,) float32, ∂ℓ/∂h of the core.

    Returns whether there was anything to learn.
    """
    num_targets = s.mean.size
    slopes[:] = np.float32(0.0)
    paths.learn(s.path, s.path_width, s.path_age, s.log_growth, values[:num_targets])
    rate, eps = optimizers.schedule(optimizers.ADAM, rc.HEAD_RATE, 0.0, HEAD_EPSILON, s.counts[LEARNED] + 1)
    is_awake = np.empty(K, np.bool_)
    has_learned = False
    for i in range(num_targets):
        row = s.stats[i]
        value = values[i]
        if math.isnan(value) or math.isnan(row[LAST]):
            continue
        intervals.learn(s.memo[i], s.sides[i], s.slot_error[i], value, s.mean[i], s.bounds[i, 0], s.bounds[i, 1])
        if not row[SCALE] > 0:
            continue
        has_learned = True
        wake(s, i, is_awake)
        error = s.mean[i] - value
        slope = (1.0 if error > 0 else (-1.0 if error < 0 else 0.0)) / row[SCALE]
        aggregation.learn(s.experts[i], s.mean[i], slope, LOG_PRIOR, is_awake)
        s.counts[RESETS] += fc.learn(s.memory[i], row, value, s.short[i], s.long[i], s.log[i], s.cross[i], s.stack[i])
        s.counts[RESETS] += rc.learn(
            slopes, value, s.experts[i, FORECAST], row, s.readout_memory[i], s.readout[i], s.stacked[i],
            s.corrected[i], h, 1.0 / num_targets, rate, eps,
        )  # fmt: skip
    s.counts[LEARNED] += int(has_learned)
    return has_learned


@jit
def advance(s, values, t, is_calendar, is_learning, x):
    """Take the values (F,) seen at t (NaN: no time) in; all but the recurrent forecasters speak; fill x (I,)."""
    num_targets = s.mean.size
    statistics.advance(s.stats, values, is_learning)
    t = seasons.tick(s.clock, s.slots, s.slot_last, s.slot_mean, t, is_calendar)
    is_dated = s.clock[seasons.IS_CALENDAR] > 0
    at = history.push(s.past, s.past_z, s.past_change, s.place)
    num = min(s.place[history.COUNT], history.L)
    is_awake = np.empty(K, np.bool_)
    for i in range(num_targets):
        row = s.stats[i]
        y = known(row[LAST])
        s.past[i, at] = y
        s.past_z[i, at] = statistics.clip((y - row[2]) / std_of(row), history.MAX_Z)
        s.past_change[i, at] = statistics.clip(known(row[LAST] - row[PREVIOUS]) / unit_of(row), history.MAX_Z)
        rate = max(1.0 / s.place[history.COUNT], history.AMDF_RATE)
        history.compare(s.past_z[i, at:], s.past_change[i, at:], s.match[i], s.amdf[i], num, rate)
        if s.counts[SEASON] == AUTO and s.place[history.COUNT] % history.PERIOD_EVERY == 0:
            s.period[i] = 0 if s.slots[0, seasons.SIZE] > 0 else history.find_period(s.amdf[i], num)
        fc.remember(s.memory[i], row, s.slots, s.slot_last[i], s.slot_mean[i], y)
    for i in range(num_targets):
        fc.forecast(
            s.experts[i, FORECAST], s.memory[i], s.stats, i, s.slots, s.slot_last[i], s.slot_mean[i],
            s.past[i, at:], s.past_change[i, at:], s.match[i], s.period[i], num,
            s.short[i], s.long[i], s.log[i], s.cross[i], s.stack[i],
        )  # fmt: skip
        wake(s, i, is_awake)
        y = known(s.stats[i, LAST])
        s.readout_memory[i, rc.MIXED] = aggregation.mix(s.experts[i], y, is_awake, fc.NUM)
    rc.inputs(x, s.stats, num_targets, s.experts[:, FORECAST], s.memory, s.readout_memory, t, is_dated)


@jit
def finish(s, h):
    """With the core's new state h (H,) float32: the readouts, the mixture and the interval of the next value."""
    is_awake = np.empty(K, np.bool_)
    for i in range(s.mean.size):
        row = s.stats[i]
        if math.isnan(row[LAST]):
            s.mean[i] = np.nan
            s.bounds[i] = np.nan
            continue
        y = row[LAST]
        f = s.experts[i, FORECAST]
        error = least_squares.error_of(s.long[i])
        rc.forecast(f, row, s.readout_memory[i], s.readout[i, 0], s.stacked[i], s.corrected[i], h, error)
        wake(s, i, is_awake)
        s.mean[i] = aggregation.mix(s.experts[i], y, is_awake, K)
        size = s.slots[0, seasons.SIZE]
        slot = -1
        if size > 0:
            slot = s.slots[0, seasons.NEXT]
            if size > intervals.NUM_DAY_SLOTS:
                slot = slot * intervals.NUM_DAY_SLOTS // size
        change = abs(y - row[PREVIOUS]) / unit_of(row)
        place = abs(y - row[MEDIAN]) / spread_of(row)
        fallback = row[SCALE] if row[SCALE] > 0 else 0.1 * abs(y)
        s.bounds[i, 0], s.bounds[i, 1] = intervals.forecast(
            s.memo[i], s.sides[i], s.slot_error[i], s.mean[i], fallback, slot, change, place,
            s.memory[i, fc.QUICK_MEDIAN], row[SPREAD],
        )  # fmt: skip


@jit
def wake(s, i, is_awake):
    """Which experts of target i speak for the pending forecast."""
    for k in range(K):
        is_awake[k] = fc.is_awake(k, s.stats[i], s.memory[i], s.cross.size > 0)


@jit
def widen(s, half, i, h):
    """Half width of target i's interval h steps ahead, from that of one step ahead."""
    wide = half * paths.factor(s.log_growth[i], h)
    if h > paths.LENGTH:
        within = half * paths.factor(s.log_growth[i], paths.LENGTH)
        wide = min(wide, max(within, 3.0 * std_of(s.stats[i])))
    return max(wide, half)
