"""What the same moment of the day, or of the week, showed last time.

With calendar timestamps the period is known: a day and a week are cut into slots of the usual distance
between two observations, and each slot keeps the last value seen in it, so gaps do no harm. With a period
given as a number of observations, slots are counted. Without either, nothing is kept.
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.block import Block, Part

MAX_SLOTS = 512
MAX_ABS_T_S = 1e15
"""A time beyond this is no time: differences of such times mean nothing."""
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
LANES = (DAY_S, WEEK_S)


class Seasons:
    """Seasonal memory of T targets; lane 0 is the day (or the given period), lane 1 the week.

    Attributes:
        memory: (2, T, MAX_SLOTS) last value by slot, NaN where none. previous: (2, T) what the slot of the
        newest observation held before it. clock: see below.
    """

    __slots__ = ("clock", "memory", "period", "previous", "slots")

    # clock: usual step in seconds · votes for it · newest t · whether it was a date · number of observations
    STEP, VOTES, NEWEST, IS_CALENDAR, COUNT = range(5)

    @staticmethod
    def parts(num_targets: int, *, is_kept: bool) -> list[Part]:
        """What the seasonal memory takes in a block; `is_kept` is false for the spec's season "none"."""
        return [
            Part("seasons.memory", (2, num_targets, MAX_SLOTS if is_kept else 0)),
            Part("seasons.previous", (2, num_targets)),
            Part("seasons.slots", (2, 2), "i8"),
            Part("seasons.clock", (5,)),
        ]

    def __init__(self, block: Block, season: str | int) -> None:
        self.memory = block["seasons.memory"]
        self.previous = block["seasons.previous"]
        self.slots = block["seasons.slots"]  # per lane: how many, and the newest
        self.clock = block["seasons.clock"]
        self.period = season if isinstance(season, int) else None

    def init(self) -> None:
        """The state before the first observation."""
        self.memory[:] = np.nan
        self.previous[:] = np.nan
        self.clock[self.NEWEST] = np.nan

    @property
    def step_s(self) -> float:
        """The usual distance between two observations in seconds; 0 while unknown."""
        return float(self.clock[self.STEP])

    @property
    def is_calendar(self) -> bool:
        """Whether the newest timestamp was a date."""
        return bool(self.clock[self.IS_CALENDAR])

    @property
    def next_t(self) -> float | None:
        """When the next observation is due, in epoch seconds; None without timestamps."""
        t = float(self.clock[self.NEWEST]) + self.step_s
        return None if math.isnan(t) else t

    def advance(self, values: np.ndarray, is_present: np.ndarray, t: float | None, *, is_calendar: bool) -> None:
        """Take in the values (T,) seen at time t; without one, dated streams go on at their usual step."""
        self.clock[self.COUNT] += 1
        if t is None and self.is_calendar:
            t, is_calendar = self.next_t, True
        elif t is not None and abs(t) > MAX_ABS_T_S:
            t = None
        if t is not None:
            self._vote(t - self.clock[self.NEWEST])
            self.clock[self.NEWEST] = t
            self.clock[self.IS_CALENDAR] = is_calendar
        if self.memory.shape[2] == 0:
            return
        for lane in range(2):
            size = self._size(lane, has_date=t is not None and is_calendar)
            if size != self.slots[lane, 0]:
                self.slots[lane, 0] = size
                self.memory[lane] = np.nan
            if size == 0:
                self.slots[lane, 1] = 0
                self.previous[lane] = np.nan
                continue
            slot = self._slot(lane, size, t)
            self.slots[lane, 1] = slot
            self.previous[lane] = self.memory[lane, :, slot]
            self.memory[lane, :, slot] = np.where(is_present, values, self.previous[lane])

    def upcoming(self) -> np.ndarray:
        """(2, 2, T): the level that each lane's next slot showed last time, and the change that led to it."""
        if self.memory.shape[2] == 0:
            return np.full((2, *self.previous.shape), np.nan)
        level = np.full(self.previous.shape, np.nan)
        for lane in range(2):
            size, newest = self.slots[lane]
            if size:
                level[lane] = self.memory[lane, :, (newest + 1) % size]
        return np.stack([level, level - self.previous])

    def _vote(self, distance: float) -> None:
        """Boyer and Moore's majority vote on the distance between observations: O(1), unmoved by gaps."""
        if not distance > 0:
            return
        if self.clock[self.VOTES] <= 0:
            self.clock[self.STEP], self.clock[self.VOTES] = distance, 1
        elif abs(distance - self.clock[self.STEP]) <= 0.01 * self.clock[self.STEP]:
            self.clock[self.VOTES] = min(self.clock[self.VOTES] + 1, 1000)
        else:
            self.clock[self.VOTES] -= 1

    def _size(self, lane: int, *, has_date: bool) -> int:
        if self.period is not None:
            return self.period if lane == 0 else 0
        if not has_date or self.step_s <= 0:
            return 0
        slots = LANES[lane] / self.step_s
        size = round(slots)
        return size if 2 <= size <= MAX_SLOTS and abs(slots - size) <= 0.01 * size else 0

    def _slot(self, lane: int, size: int, t: float | None) -> int:
        if self.period is not None or t is None:
            return int(self.clock[self.COUNT]) % size
        return int((t % LANES[lane]) / LANES[lane] * size + 0.5) % size
