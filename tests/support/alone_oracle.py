"""The forecast of numbers by the recurrent core alone, said once more with numpy, all fields of a step at once.

It is how the service computed it before it was compiled, and the judge of `uoro.learning.kernel.alone`. The core itself
is not in it: its outputs are given.
"""

from __future__ import annotations

import math

import losses_oracle as losses
import numpy as np

MEAN_RATE, SCALE_RATE = 0.002, 0.005
MAX_JUMP, MIN_SCALE, MAX_INPUT = 20.0, 1e-60, 4.0
MAX_RESIDUAL, MAX_TARGET = 20.0, 50.0
DAY_S, WEEK_S = 86_400.0, 604_800.0
MAX_ABS_T_S = 1e15


def or_zero(values: np.ndarray) -> np.ndarray:
    """The values, 0 where NaN."""
    return np.where(np.isnan(values), 0.0, values)


def bounded(values: np.ndarray, limit: float) -> np.ndarray:
    """The values within ±limit."""
    return np.minimum(np.maximum(values, -limit), limit)


class Statistics:
    """last, previous, mean, variance, scale (mean absolute change) and count (F,) of the number fields."""

    def __init__(self, num: int) -> None:
        self.mean, self.variance, self.scale, self.count = np.zeros((4, num))
        self.last, self.previous = np.full((2, num), np.nan)
        self.is_present = np.zeros(num, bool)

    def advance(self, numbers: np.ndarray, *, learn: bool) -> None:
        """Take the numbers (F,) in, NaN where missing."""
        is_present = ~np.isnan(numbers)
        values = np.where(is_present, numbers, self.last)
        is_first = is_present & (self.count == 0)
        self.previous = np.where(np.isnan(self.last), values, self.last)
        if learn:
            change = np.abs(values - self.previous)
            held = np.where(self.scale > 0, np.minimum(change, MAX_JUMP * self.scale), change)
            rate = np.maximum(1.0 / np.maximum(self.count, 1.0), SCALE_RATE)
            self.scale += np.where(is_present & ~is_first, rate * (held - self.scale), 0.0)
            self.scale[self.scale < MIN_SCALE] = 0.0
            self.count += is_present
            rate = np.maximum(1.0 / np.maximum(self.count, 1.0), MEAN_RATE)
            deviation = np.where(is_present, values - np.where(is_first, 0.0, self.mean), 0.0)
            self.mean += rate * deviation
            deviation = np.where(is_first, 0.0, deviation)
            self.variance += np.where(is_present, rate * ((1 - rate) * deviation**2 - self.variance), 0.0)
        self.last, self.is_present = values, is_present

    def inputs(self, seasonal: np.ndarray, t: float | None, *, is_calendar: bool) -> np.ndarray:
        """The core's input without category fields, float32; `seasonal` (T,) is the seasonal change or NaN."""
        scale = np.where(self.scale > 0, self.scale, 1.0)
        std = np.sqrt(np.maximum(self.variance, 1e-12 * scale**2))
        z = np.where(self.count > 1, (or_zero(self.last) - self.mean) / std, 0.0)
        changes = or_zero(self.last - self.previous) / scale
        dense = np.concatenate((z, changes, or_zero(seasonal / scale[: len(seasonal)])))
        calendar = np.zeros(4)
        if t is not None and is_calendar:
            day, week = (2 * math.pi * (t % period) / period for period in (DAY_S, WEEK_S))
            calendar[:] = math.sin(day), math.cos(day), math.sin(week), math.cos(week)
        return np.concatenate((bounded(dense, MAX_INPUT), 1.0 - self.is_present, calendar)).astype(np.float32)


class Intervals:
    """Error scale, two tracked quantiles, errors seen, and the unit of the pending interval (T,)."""

    def __init__(self, num: int) -> None:
        self.scale, self.count, self.unit = np.zeros((3, num))
        self.low, self.high = np.full(num, -2.3), np.full(num, 2.3)

    def learn(self, error: np.ndarray) -> None:
        """Take in the errors (T,); NaN teaches nothing."""
        is_learned = ~np.isnan(error)
        error = np.where(is_learned, error, 0.0)
        relative = error / np.where(self.unit > 0, self.unit, 1.0)
        can_track = is_learned & (self.unit > 0) & (self.count > 0)
        step = 0.06 * np.maximum(self.high - self.low, 0.2)
        self.low -= np.where(can_track, step * ((relative < self.low) - 0.05), 0.0)
        self.high += np.where(can_track, step * ((relative > self.high) - 0.05), 0.0)
        np.minimum(self.low, -0.02, out=self.low)
        np.maximum(self.high, 0.02, out=self.high)
        self.count += is_learned
        rate = np.maximum(1.0 / np.maximum(self.count, 1.0), 0.03)
        magnitude = np.abs(error)
        held = np.where(self.scale > 0, np.minimum(magnitude, 10 * self.scale), magnitude)
        self.scale += np.where(is_learned, rate * (held - self.scale), 0.0)
        self.scale[self.scale < MIN_SCALE] = 0.0

    def bounds(self, mean: np.ndarray, fallback: np.ndarray, given: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """(T,) lower and upper around the mean."""
        self.unit = np.where(self.count > 0, self.scale if given is None else given, fallback)
        self.unit[self.unit < MIN_SCALE] = 0.0
        return mean + self.low * self.unit, mean + self.high * self.unit


class Seasons:
    """The last value of each slot of the day and of the week, or of a given period; a dict a lane and target."""

    def __init__(self, num: int, season: str | int) -> None:
        self.num, self.season = num, season
        self.step_s = self.votes = self.count = 0.0
        self.newest, self.is_calendar = math.nan, False
        self.sizes = [0, 0]
        self.memory: list[list[dict[int, float]]] = [[{} for _ in range(num)] for _ in range(2)]

    @property
    def next_t(self) -> float | None:
        """When the next observation is due."""
        t = self.newest + self.step_s
        return None if math.isnan(t) else t

    def advance(self, values: np.ndarray, is_present: np.ndarray, t: float | None, *, is_calendar: bool) -> np.ndarray:
        """Take in the values (T,) seen at t. Returns the change (T,) that the next slot brought last time, or NaN."""
        self.count += 1
        if t is None and self.is_calendar:
            t, is_calendar = self.next_t, True
        elif t is not None and abs(t) > MAX_ABS_T_S:
            t = None
        if t is not None:
            self._vote(t - self.newest)
            self.newest, self.is_calendar = t, is_calendar
        changes = np.full((2, self.num), np.nan)
        for lane, length in enumerate((DAY_S, WEEK_S)):
            size = self._size(lane, length, has_date=t is not None and is_calendar)
            if size != self.sizes[lane]:
                self.sizes[lane] = size
                self.memory[lane] = [{} for _ in range(self.num)]
            if size == 0:
                continue
            slot = int(self.count) % size
            if self.season == "auto" and t is not None:
                slot = int((t % length) / length * size + 0.5) % size
            for i in range(self.num):
                memory = self.memory[lane][i]
                before = memory.get(slot, math.nan)
                if is_present[i]:
                    memory[slot] = float(values[i])
                changes[lane, i] = memory.get((slot + 1) % size, math.nan) - before
        return np.where(np.isnan(changes[0]), changes[1], changes[0])

    def _vote(self, distance: float) -> None:
        if not distance > 0:
            return
        if self.votes <= 0:
            self.step_s, self.votes = distance, 1
        elif abs(distance - self.step_s) <= 0.01 * self.step_s:
            self.votes = min(self.votes + 1, 1000)
        else:
            self.votes -= 1

    def _size(self, lane: int, length: float, *, has_date: bool) -> int:
        if self.season == "none":
            return 0
        if isinstance(self.season, int):
            return self.season if lane == 0 else 0
        if not has_date or self.step_s <= 0:
            return 0
        size = round(length / self.step_s)
        return size if 2 <= size <= 512 and abs(length / self.step_s - size) <= 0.01 * size else 0


class Oracle:
    """F number fields, the first T of them targets.

    Attributes:
        mean, lower, upper: (T,) the pending forecast; NaN where nothing can be said yet.
    """

    def __init__(self, num_fields: int, num: int, loss: str, season: str | int) -> None:
        self.num, self.loss = num, loss
        self.outputs_each = 2 if loss == "gaussian" else 1
        self.statistics, self.intervals = Statistics(num_fields), Intervals(num)
        self.seasons = Seasons(num, season)
        self.unit = np.zeros(num)
        self.mean, self.lower, self.upper = np.full((3, num), np.nan)

    def score(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Loss, naive loss and coverage (T,) of the values (T,) that came."""
        last, scale = self.statistics.last[: self.num], self.statistics.scale[: self.num]
        said = self.mean, self.lower, self.upper
        return losses.score(self.loss, values, said, last, scale, is_alone=self.num == 1)

    def slopes(self, values: np.ndarray, output: np.ndarray) -> np.ndarray:
        """∂loss/∂output (T·outputs_each,), zero for missing values."""
        unit = np.where(self.unit > 0, self.unit, 1.0)
        target = bounded((values - or_zero(self.statistics.last[: self.num])) / unit, MAX_TARGET)
        slopes = np.zeros((self.num, self.outputs_each))
        for i, raw in enumerate(output.reshape(self.num, self.outputs_each)):
            if not math.isnan(target[i]) and self.unit[i] > 0:
                slopes[i] = losses.LOSSES[self.loss](raw.astype(np.float64), float(target[i]))[1]
        return slopes.reshape(-1)

    def learn(self, values: np.ndarray) -> None:
        """Let the intervals learn from the values (T,)."""
        self.intervals.learn(values - self.mean)

    def advance(self, numbers: np.ndarray, t: float | None, *, is_calendar: bool, learn: bool) -> np.ndarray:
        """Take the numbers (F,) in. Returns the core's input."""
        self.statistics.advance(numbers, learn=learn)
        known, is_present = or_zero(self.statistics.last[: self.num]), self.statistics.is_present[: self.num]
        seasonal = self.seasons.advance(known, is_present, t, is_calendar=is_calendar)
        return self.statistics.inputs(seasonal, t, is_calendar=is_calendar)

    def forecast(self, output: np.ndarray) -> None:
        """Set the pending forecast from the core's output."""
        last, scale = self.statistics.last[: self.num], self.statistics.scale[: self.num]
        values, raw = or_zero(last), output.reshape(self.num, self.outputs_each).astype(np.float64)
        self.unit = scale.copy()
        mean = values + self.unit * bounded(raw[:, 0], MAX_RESIDUAL)
        mean = np.where(np.isfinite(mean), mean, values)
        given = None
        if self.outputs_each == 2:
            std = self.unit * np.exp(0.5 * bounded(raw[:, 1], losses.MAX_LOG_VARIANCE))
            given = std / losses.MEAN_ABS_TO_STD
        fallback = np.where(scale > 0, scale, 0.1 * np.abs(values))
        lower, upper = self.intervals.bounds(mean, fallback, given)
        self.mean, self.lower, self.upper = (np.where(np.isnan(last), np.nan, said) for said in (mean, lower, upper))

    def widen(self, step: int) -> None:
        """Make the pending interval that of `step` steps ahead."""
        most = 2 * np.sqrt(np.maximum(self.statistics.variance[: self.num], 0.0))
        for bound, sign in ((self.lower, -1.0), (self.upper, 1.0)):
            width = np.abs(bound - self.mean)
            bound[:] = self.mean + sign * np.maximum(width, np.minimum(width * math.sqrt(step), most))
