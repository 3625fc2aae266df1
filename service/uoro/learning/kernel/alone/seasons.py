"""What the same moment of the day, or of the week, showed last time.

With calendar timestamps the period is known: a day and a week are cut into slots of the usual distance between two
observations, and each slot keeps the last value seen in it, so gaps do no harm. With a period given as a number of
observations, slots are counted. Without either, nothing is kept.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric.seasons import DAY_S, IS_CALENDAR, MAX_ABS_T_S, NEWEST, STEP, WEEK_S, due, vote
from uoro.learning.kernel.numeric.statistics import LAST, known

MAX_SLOTS = 512
COUNT = 4
"""Of the clock (5,), observations; before it what `kernel.numeric.seasons` has."""


def shapes(num_targets: int, *, is_kept: bool) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of the state; `is_kept` is false for the spec's season "none"."""
    return {
        "clock": ((5,), "f8"),
        "sizes": ((2,), "i8"),  # slots of each lane: the day (or the given period), and the week
        "memory": ((2, num_targets, MAX_SLOTS if is_kept else 0), "f8"),  # last value by slot, NaN where none
    }


def init(clock: np.ndarray, memory: np.ndarray) -> None:
    """The state before the first observation."""
    clock[NEWEST] = np.nan
    memory[:] = np.nan


@jit
def advance(clock, sizes, memory, period, stats, values, t, is_calendar, ahead):
    """Take in the values seen at t (NaN: none given; dated streams go on at their usual step).

    period: observations, or not above 0. stats: (F, NUM) after the values (F,) were taken in. Sets ahead (T,): the
    change that led to the next slot's value last time, of the day where known, else of the week, else NaN.
    """
    num = U(ahead.size)
    for i in range(num):
        ahead[i] = np.nan
    clock[COUNT] += 1.0
    if math.isnan(t):
        if clock[IS_CALENDAR] > 0:
            t, is_calendar = due(clock), True
    elif abs(t) > MAX_ABS_T_S:
        t = np.nan
    if not math.isnan(t):
        vote(clock, t - clock[NEWEST])
        clock[NEWEST] = t
        clock[IS_CALENDAR] = 1.0 if is_calendar else 0.0
    if memory.shape[2] == 0:
        return
    is_dated = is_calendar and not math.isnan(t)
    # The week first, so that the day has the last word.
    for lane in (1, 0):
        length = DAY_S if lane == 0 else WEEK_S
        size = _size(length, clock[STEP]) if is_dated else 0
        if period > 0:
            size = period if lane == 0 else 0
        if size != sizes[lane]:
            sizes[lane] = size
            memory[lane] = np.nan
        if size == 0:
            continue
        place = int(clock[COUNT]) if period > 0 else int((t % length) / length * size + 0.5)
        slot = U(place % size)
        following = U(0) if slot + U(1) == U(size) else slot + U(1)
        for i in range(num):
            before = memory[lane, i, slot]
            if not math.isnan(values[i]):
                memory[lane, i, slot] = known(stats[i, LAST])
            change = memory[lane, i, following] - before
            if not math.isnan(change):
                ahead[i] = change


@jit
def _size(length, step):
    """Slots of a step in a length, both in seconds; 0 if it does not divide into 2 to MAX_SLOTS."""
    exact = length / step if step > 0 else 0.0
    if not exact < MAX_SLOTS + 1:
        return 0
    size = int(np.rint(exact))
    return size if 2 <= size <= MAX_SLOTS and abs(exact - size) <= 0.01 * size else 0
