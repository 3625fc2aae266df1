"""Values that lie on a grid: counts, tenths of a millimetre, cents.

The absolute error of a forecast is least at a median, and the median of values on a grid lies on the grid. So the
forecast is rounded to the fewest decimals that all values so far were written with, where that has helped.
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.block import Block, Part

MAX_DECIMALS = 6
MAX_ROUNDED = 1e9
"""Values of this size and beyond are taken for continuous."""
DISCOUNT = 0.998
PRIOR = 2.0
"""Mean absolute changes that rounding has to have saved before it is used."""


class Grid:
    """The grid of T targets.

    Attributes:
        decimals: (T,) decimals seen so far; beyond MAX_DECIMALS there is no grid.
        gain: (T,) discounted loss that rounding would have saved, in mean absolute changes.
        plain: (T,) the pending forecast before rounding.
    """

    __slots__ = ("decimals", "gain", "is_rounding", "plain")

    @staticmethod
    def parts(num_targets: int) -> list[Part]:
        """What the grid takes in a block."""
        num = (num_targets,)
        return [Part("grid.decimals", num, "i8"), Part("grid.gain", num), Part("grid.plain", num)]

    def __init__(self, block: Block, *, is_rounding: bool) -> None:
        self.is_rounding = is_rounding
        self.decimals = block["grid.decimals"]
        self.gain = block["grid.gain"]
        self.plain = block["grid.plain"]

    def learn(self, values: np.ndarray, scale: np.ndarray) -> None:
        """Compare the pending forecast, rounded and plain, with the values (T,); NaN teaches nothing."""
        if not self.is_rounding:
            return
        for i, (value, plain, unit) in enumerate(
            zip(values.tolist(), self.plain.tolist(), scale.tolist(), strict=True)
        ):
            if math.isnan(value):
                continue
            decimals = int(self.decimals[i])
            if decimals <= MAX_DECIMALS and unit > 0:
                saved = abs(value - plain) - abs(value - self._round(plain, decimals))
                bounded = min(max(saved / unit, -1.0), 1.0)
                self.gain[i] = DISCOUNT * self.gain[i] + bounded
            while decimals <= MAX_DECIMALS and self._round(value, decimals) != value:
                decimals += 1
            self.decimals[i] = decimals

    def forecast(self, mean: np.ndarray) -> np.ndarray:
        """The forecast (T,), rounded where that has helped."""
        self.plain[:] = mean
        if not self.is_rounding:
            return mean
        return np.array(
            [
                self._round(value, int(decimals)) if decimals <= MAX_DECIMALS and gain > PRIOR else value
                for value, decimals, gain in zip(mean.tolist(), self.decimals.tolist(), self.gain.tolist(), strict=True)
            ]
        )

    @staticmethod
    def _round(value: float, decimals: int) -> float:
        return round(value, decimals) if abs(value) < MAX_ROUNDED else value
