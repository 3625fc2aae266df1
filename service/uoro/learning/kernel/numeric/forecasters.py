"""The simple and linear forecasters of one target: what each says of the next value, and how it learns.

Nothing here predicts a level from nothing. Linear models are robust least squares (least_squares.py) on
changes in units of the mean absolute change:

    short    8 lags, quick forgetting            long   24 lags, slow forgetting
    log      8 lags of u = asinh((y - median) / spread), forecast back by sinh: medians survive the transform,
             so heavy tails and multiplicative noise become tame
    cross    6 lags, newest change and z-score of up to MAX_CROSS other fields
    stack    the other forecasts as regressors

Short and long also hear the seasonal changes ahead, the distances from seasonal mean, mean and median, and the
change by analogy (history.py).
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.numeric import history, least_squares, seasons
from uoro.learning.kernel.numeric.statistics import (
    COUNT,
    LAST,
    MEAN,
    MEDIAN,
    PREVIOUS,
    SEEN,
    SPREAD,
    clip,
    known,
    spread_of,
    std_of,
    unit_of,
)

NAMES = (
    "naive", "season_change", "season_level", "season_mean", "smoothing_slow", "smoothing_fast", "damped_trend",
    "median", "median_fast", "analogy", "ar_short", "ar_long", "ar_log", "cross", "stack",
)  # fmt: skip
NUM = len(NAMES)
(
    NAIVE, SEASON_CHANGE, SEASON_LEVEL, SEASON_MEAN, SMOOTHING_SLOW, SMOOTHING_FAST, DAMPED_TREND,
    MEDIAN_SLOW, MEDIAN_FAST, ANALOGY, AR_SHORT, AR_LONG, AR_LOG, CROSS, STACK,
) = range(NUM)  # fmt: skip

SHORT_LAGS, LONG_LAGS, LOG_LAGS, CROSS_LAGS = 8, 24, 8, 6
NUM_EXTRA, NUM_LOG_EXTRA, NUM_CROSS_EXTRA = 9, 4, 2
MAX_CROSS = 12  # other fields a target listens to
SHORT_FORGETTING, LONG_FORGETTING, LOG_FORGETTING = 0.995, 0.9997, 0.9995  # sweep .995/.998, .999/.9997, .998
CROSS_FORGETTING, STACK_FORGETTING = 0.9995, 0.998  # sweep .998, .9995, .9998
STACKED = (3, 4, 5, 7, 9, 10, 11, 12, 13, 8, 2)
MAX_LAG, MAX_EXTRA, MAX_LOG = 20.0, 10.0, 12.0
RATE_SLOW, RATE_FAST = 0.3, 0.7  # exponential smoothing
LEVEL_RATE, TREND_RATE, DAMPING = 0.6, 0.15, 0.9  # damped trend (Gardner & McKenzie 1985)
MEDIAN_STEP = 0.1  # of the spread
DEVIATION_RATE = 0.3  # of the distance from the seasonal mean; sweep .3, .5
VOLATILITY_RATE = 0.1
MAX_SCALES, MAX_SPREADS = 50.0, 20.0  # no forecast is further from the last value than the larger of these
NUM_WARM_UP = 12  # values before the fitted forecasters speak

(
    SLOW, FAST, LEVEL, TREND, QUICK_MEDIAN, DAY_DEVIATION, WEEK_DEVIATION, DAY_CHANGE, WEEK_CHANGE,
    VOLATILITY, LOG_NOW, SEASONAL,
) = range(12)  # fmt: skip
NUM_MEMORY = 12
"""Columns of the memory (T, NUM_MEMORY). SEASONAL: seasonal change ahead in scales, NaN if none."""


def shapes(num_fields: int, num_targets: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of the state."""
    cross = CROSS_LAGS + NUM_CROSS_EXTRA + 2 * min(num_fields - 1, MAX_CROSS) if num_fields > 1 else 0
    sizes = {
        "short": SHORT_LAGS + NUM_EXTRA,
        "long": LONG_LAGS + NUM_EXTRA,
        "log": LOG_LAGS + NUM_LOG_EXTRA,
        "cross": cross,
        "stack": len(STACKED) + 1,
    }
    models = {name: ((num_targets, p + least_squares.EXTRA_ROWS if p else 0, p), "f8") for name, p in sizes.items()}
    return {"memory": ((num_targets, NUM_MEMORY), "f8"), **models}


@jit
def remember(memory, row, slots, slot_last, slot_mean, value):
    """Take one target's newest value into smoothing and seasonal memories."""
    memory[DAY_CHANGE] = np.nan
    memory[WEEK_CHANGE] = np.nan
    if slot_last.size > 0:
        for lane in range(2):
            if slots[lane, seasons.SIZE] > 0:
                now, ahead = slots[lane, seasons.NOW], slots[lane, seasons.NEXT]
                memory[DAY_CHANGE + lane] = slot_last[ahead] - slot_last[now]
                if not math.isnan(slot_mean[now]):
                    deviation = value - slot_mean[now]
                    memory[DAY_DEVIATION + lane] += DEVIATION_RATE * (deviation - memory[DAY_DEVIATION + lane])
        if row[SEEN] > 0:
            seasons.store(slots, slot_last, slot_mean, value)
    if row[COUNT] <= 1:
        memory[SLOW] = value
        memory[FAST] = value
        memory[LEVEL] = value
        memory[TREND] = 0.0
        memory[QUICK_MEDIAN] = value
        return
    memory[SLOW] += RATE_SLOW * (value - memory[SLOW])
    memory[FAST] += RATE_FAST * (value - memory[FAST])
    trend = DAMPING * memory[TREND]
    level = memory[LEVEL] + trend
    level += LEVEL_RATE * (value - level)
    memory[TREND] = trend + TREND_RATE * (level - memory[LEVEL] - trend)
    memory[LEVEL] = level
    memory[QUICK_MEDIAN] += clip(value - memory[QUICK_MEDIAN], MEDIAN_STEP * row[SPREAD])
    change = min(abs(known(row[LAST] - row[PREVIOUS])) / unit_of(row), 10.0)
    memory[VOLATILITY] += VOLATILITY_RATE * (change - memory[VOLATILITY])


@jit
def forecast(
    f, memory, stats, i, slots, slot_last, slot_mean, past, change, match, period, num, short, long, log, cross, stack
):
    """Set the forecasts f (≥ NUM,) of target i in the user's units, and the regressors of its models.

    memory (NUM_MEMORY,), stats (F, statistics.NUM), slot_last, slot_mean (NUM_SLOTS or 0,); past, change rows
    that start at the newest value, match (L,), num lags known; the models' matrices.
    """
    row = stats[i]
    y = known(row[LAST])
    unit = unit_of(row)
    nan = np.nan
    day, day_mean, day_now, week, week_mean = nan, nan, nan, nan, nan
    if slot_last.size > 0:
        if slots[0, seasons.SIZE] > 0:
            ahead = slots[0, seasons.NEXT]
            day, day_mean, day_now = slot_last[ahead], slot_mean[ahead], slot_mean[slots[0, seasons.NOW]]
        if slots[1, seasons.SIZE] > 0:
            week, week_mean = slot_last[slots[1, seasons.NEXT]], slot_mean[slots[1, seasons.NEXT]]
    day_change, week_change = memory[DAY_CHANGE], memory[WEEK_CHANGE]
    if slots[0, seasons.SIZE] == 0 and period > 1 and period + 1 < num:
        day = past[period - 1]
        day_change = day - past[period]
    seasonal = week_change if math.isnan(day_change) else day_change
    memory[SEASONAL] = seasonal / unit
    f[NAIVE] = y
    f[SEASON_CHANGE] = y + known(seasonal)
    f[SEASON_LEVEL] = week if not math.isnan(week) else (day if not math.isnan(day) else y)
    f[SEASON_MEAN] = y
    if not math.isnan(week_mean):
        f[SEASON_MEAN] = week_mean + memory[WEEK_DEVIATION]
    elif not math.isnan(day_mean):
        f[SEASON_MEAN] = day_mean + memory[DAY_DEVIATION]
    f[SMOOTHING_SLOW] = memory[SLOW]
    f[SMOOTHING_FAST] = memory[FAST]
    f[DAMPED_TREND] = memory[LEVEL] + DAMPING * memory[TREND]
    f[MEDIAN_SLOW] = row[MEDIAN]
    f[MEDIAN_FAST] = memory[QUICK_MEDIAN]
    similar = history.analogy(change, match, num) if num > NUM_WARM_UP else 0.0
    f[ANALOGY] = y + similar * unit

    x, x_long = least_squares.regressors(short), least_squares.regressors(long)
    for j in range(LONG_LAGS):
        x_long[j] = clip((past[j] - past[j + 1]) / unit, MAX_LAG) if j + 1 < num else 0.0
    x[:SHORT_LAGS] = x_long[:SHORT_LAGS]
    extra = x[SHORT_LAGS:]
    extra[0] = 1.0
    extra[1] = clip((row[MEAN] - y) / unit, MAX_EXTRA)
    extra[2] = clip(known(day_change) / unit, MAX_EXTRA)
    extra[3] = clip(known(week_change) / unit, MAX_EXTRA)
    extra[4] = clip(known(day_mean - day_now) / unit, MAX_EXTRA)
    extra[5] = clip(known(day_now - y) / unit, MAX_EXTRA)
    extra[6] = clip(known(week_mean - y) / unit, MAX_EXTRA)
    extra[7] = clip(similar, MAX_EXTRA)
    extra[8] = clip((row[MEDIAN] - y) / unit, MAX_EXTRA)
    x_long[LONG_LAGS:] = extra
    f[AR_SHORT] = y + least_squares.predict(short) * unit
    f[AR_LONG] = y + least_squares.predict(long) * unit
    _forecast_log(f, memory, row, y, past, num, day, week_mean if not math.isnan(week_mean) else day_mean, log)
    f[CROSS] = y
    if cross.size > 0:
        _hear(least_squares.regressors(cross), x_long, extra[1], stats, i)
        f[CROSS] = y + least_squares.predict(cross) * unit
    for k in range(STACK):
        f[k] = within(f[k], row, y)
    x = least_squares.regressors(stack)
    for j in range(len(STACKED)):
        x[j] = clip((f[STACKED[j]] - y) / unit, MAX_LAG)
    x[len(STACKED)] = 1.0
    f[STACK] = within(y + least_squares.predict(stack) * unit, row, y)


@jit
def within(value, row, y):
    """A forecast that is finite and not absurdly far from the last value y."""
    if not is_finite(value):
        return y
    return y + clip(value - y, max(MAX_SCALES * unit_of(row), MAX_SPREADS * row[SPREAD]))


@jit
def _forecast_log(f, memory, row, y, past, num, day, mean, log):
    middle, spread = row[MEDIAN], spread_of(row)
    x = least_squares.regressors(log)
    now = math.asinh((y - middle) / spread)
    newer = now
    for j in range(LOG_LAGS):
        x[j] = 0.0
        if j + 1 < num:
            older = math.asinh((past[j + 1] - middle) / spread)
            x[j] = newer - older
            newer = older
    x[LOG_LAGS] = 1.0
    x[LOG_LAGS + 1] = now
    x[LOG_LAGS + 2] = 0.0 if math.isnan(day) else math.asinh((day - middle) / spread) - now
    x[LOG_LAGS + 3] = 0.0 if math.isnan(mean) else math.asinh((mean - middle) / spread) - now
    memory[LOG_NOW] = now
    f[AR_LOG] = middle + spread * math.sinh(clip(now + least_squares.predict(log), MAX_LOG))


@jit
def _hear(x, lags, deviation, stats, i):
    x[:CROSS_LAGS] = lags[:CROSS_LAGS]
    x[CROSS_LAGS] = 1.0
    x[CROSS_LAGS + 1] = deviation
    p = CROSS_LAGS + NUM_CROSS_EXTRA
    for g in range(stats.shape[0]):
        if g != i and p + 1 < x.size:
            other = stats[g]
            x[p] = clip(known(other[LAST] - other[PREVIOUS]) / unit_of(other), MAX_LAG)
            x[p + 1] = clip(known(other[LAST] - other[MEAN]) / std_of(other), MAX_EXTRA)
            p += 2


@jit
def learn(memory, row, value, short, long, log, cross, stack):
    """Let the models of one target learn from its value. Returns how many had to be reset."""
    target = clip((value - known(row[LAST])) / unit_of(row), 1e3)
    u = math.asinh((value - row[MEDIAN]) / spread_of(row))
    resets = int(least_squares.learn(short, target, SHORT_FORGETTING))
    resets += int(least_squares.learn(long, target, LONG_FORGETTING))
    resets += int(least_squares.learn(log, u - memory[LOG_NOW], LOG_FORGETTING))
    resets += int(least_squares.learn(stack, target, STACK_FORGETTING))
    if cross.size > 0:
        resets += int(least_squares.learn(cross, target, CROSS_FORGETTING))
    return resets


@jit
def is_awake(k, row, memory, has_cross):
    """Whether forecaster k has something of its own to say."""
    if SEASON_CHANGE <= k <= SEASON_MEAN:
        return not math.isnan(memory[SEASONAL])
    if k == CROSS and not has_cross:
        return False
    return k < ANALOGY or row[COUNT] > NUM_WARM_UP
