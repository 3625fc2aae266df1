"""Prediction intervals that cover the central 90 % under drift, whatever the distribution of the errors.

The half widths are a local error scale times two tracked quantiles: after each error the quantile
that was crossed moves out, the other moves in, each by the pinball loss's slope (online quantile
tracking; Gibbs & Candès 2021, Angelopoulos et al. 2023). Coverage then holds in the long run by
construction; the local scale makes it hold now.
"""

from __future__ import annotations

import numpy as np

from uoro.learning.block import Block, Part
from uoro.learning.encoder import MIN_SCALE

TAIL = 0.05
SCALE_RATE = 0.03
STEP = 0.06
FIRST_QUANTILE = 2.3  # of a heavy-tailed error in units of its mean absolute value


class Intervals:
    """Interval state of T targets.

    Attributes:
        scale: (T,) exponentially weighted mean absolute error. quantiles: (2, T) lower and upper, in units of
        the scale. count: (T,) errors seen. unit: (T,) the scale that the pending interval used.
    """

    __slots__ = ("count", "quantiles", "scale", "unit")

    @staticmethod
    def parts(num_targets: int) -> list[Part]:
        """What the intervals take in a block."""
        return [
            Part("intervals.scale", (num_targets,)),
            Part("intervals.quantiles", (2, num_targets)),
            Part("intervals.count", (num_targets,)),
            Part("intervals.unit", (num_targets,)),
        ]

    def __init__(self, block: Block) -> None:
        self.scale = block["intervals.scale"]
        self.quantiles = block["intervals.quantiles"]
        self.count = block["intervals.count"]
        self.unit = block["intervals.unit"]

    def init(self) -> None:
        """The state before the first observation."""
        self.quantiles[0] = -FIRST_QUANTILE
        self.quantiles[1] = FIRST_QUANTILE

    def learn(self, error: np.ndarray) -> None:
        """Take in the errors (T,) value - mean; NaN teaches nothing."""
        is_learned = ~np.isnan(error)
        error = np.where(is_learned, error, 0.0)
        relative = error / np.where(self.unit > 0, self.unit, 1.0)
        can_track = is_learned & (self.unit > 0) & (self.count > 0)
        low, high = self.quantiles
        # A step grows with the quantile so that heavy tails are reached in a few crossings.
        step = STEP * np.maximum(high - low, 0.2)
        low -= np.where(can_track, step * ((relative < low) - TAIL), 0.0)
        high += np.where(can_track, step * ((relative > high) - TAIL), 0.0)
        np.minimum(low, -0.02, out=low)
        np.maximum(high, 0.02, out=high)
        self.count += is_learned
        rate = np.maximum(1.0 / np.maximum(self.count, 1.0), SCALE_RATE)
        magnitude = np.abs(error)
        bounded = np.where(self.scale > 0, np.minimum(magnitude, 10 * self.scale), magnitude)
        self.scale += np.where(is_learned, rate * (bounded - self.scale), 0.0)
        self.scale[self.scale < MIN_SCALE] = 0.0

    def bounds(
        self, mean: np.ndarray, fallback: np.ndarray, given: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(T,) lower and upper around the mean.

        Args:
            mean: (T,) the forecast.
            fallback: (T,) the scale before any error is known.
            given: (T,) a scale that the model itself predicts, used in place of the running one.
        """
        self.unit[:] = np.where(self.count > 0, self.scale if given is None else given, fallback)
        self.unit[self.unit < MIN_SCALE] = 0.0
        return mean + self.quantiles[0] * self.unit, mean + self.quantiles[1] * self.unit
