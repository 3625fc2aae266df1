"""What the same moment of the day (lane 0) and of the week (lane 1) showed: last value and mean, by slot.

With dates, a day and a week are cut into slots of the usual distance between two observations, found by a
majority vote (Boyer & Moore 1981), so gaps do no harm. A period given as a number of observations, or found
(history.find_period), needs no slots: it is a lag.
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import jit

DAY_SLOTS, WEEK_SLOTS = 1440, 2016
"""At most a slot a minute of the day, one in five minutes of the week."""
NUM_SLOTS = DAY_SLOTS + WEEK_SLOTS
DAY_S, WEEK_S = 86_400.0, 604_800.0
MAX_ABS_T_S = 1e15
MEAN_RATE = 0.25  # of a slot's mean; sweep .15, .25: equal
STEP, VOTES, NEWEST, IS_CALENDAR = range(4)
"""Of the clock (4,): usual step in seconds, votes for it, newest t, whether that was a date."""
SIZE, NOW, NEXT = range(3)
"""Of the slots (2, 3): how many, that of the newest and that of the next observation."""


def shapes(num_targets: int, *, is_kept: bool) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of the state; `is_kept` is false for the spec's season "none" or a number."""
    size = NUM_SLOTS if is_kept else 0
    return {
        "clock": ((4,), "f8"),
        "slots": ((2, 3), "i8"),
        "slot_last": ((num_targets, size), "f8"),
        "slot_mean": ((num_targets, size), "f8"),
    }


def init(clock: np.ndarray, slot_last: np.ndarray, slot_mean: np.ndarray) -> None:
    """The state before the first observation."""
    clock[NEWEST] = np.nan
    slot_last[:] = np.nan
    slot_mean[:] = np.nan


@jit
def due(clock):
    """When the next observation is due, in epoch seconds; NaN without timestamps."""
    return clock[NEWEST] + clock[STEP]


@jit
def tick(clock, slots, slot_last, slot_mean, t, is_calendar):
    """Time moves to t (NaN: none given, dated streams go on at their usual step). Returns the time used."""
    if math.isnan(t) and clock[IS_CALENDAR] > 0:
        t = due(clock)
        is_calendar = True
    if abs(t) > MAX_ABS_T_S:
        t = np.nan
    if not math.isnan(t):
        vote(clock, t - clock[NEWEST])
        clock[NEWEST] = t
        clock[IS_CALENDAR] = 1.0 if is_calendar else 0.0
    if slot_last.shape[1] == 0:
        return t
    for lane in range(2):
        length = DAY_S if lane == 0 else WEEK_S
        first = 0 if lane == 0 else DAY_SLOTS
        most = DAY_SLOTS if lane == 0 else WEEK_SLOTS
        size = 0
        if not math.isnan(t) and is_calendar and clock[STEP] > 0:
            exact = length / clock[STEP]
            if exact < most + 1:
                size = int(exact + 0.5)
                if size < 2 or size > most or abs(exact - size) > 0.01 * size:
                    size = 0
        if size != slots[lane, SIZE]:
            slots[lane, SIZE] = size
            slot_last[:, first : first + most] = np.nan
            slot_mean[:, first : first + most] = np.nan
        if size > 0:
            now = int((t % length) / length * size + 0.5) % size
            slots[lane, NOW] = first + now
            slots[lane, NEXT] = first + (now + 1) % size
    return t


@jit
def vote(clock, distance):
    """Boyer and Moore's majority vote on the distance between observations: O(1), unmoved by gaps."""
    if not distance > 0:
        return
    if clock[VOTES] <= 0:
        clock[STEP] = distance
        clock[VOTES] = 1.0
    elif abs(distance - clock[STEP]) <= 0.01 * clock[STEP]:
        clock[VOTES] = min(clock[VOTES] + 1.0, 1000.0)
    else:
        clock[VOTES] -= 1.0


@jit
def store(slots, last, mean, value):
    """Keep one target's value in the slots of now; last, mean are its rows (NUM_SLOTS,)."""
    for lane in range(2):
        if slots[lane, SIZE] > 0:
            k = slots[lane, NOW]
            last[k] = value
            mean[k] = value if math.isnan(mean[k]) else mean[k] + MEAN_RATE * (value - mean[k])
