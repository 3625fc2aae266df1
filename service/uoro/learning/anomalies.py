"""One anomaly score of an observation, from the scores of its targets.

Number targets are ranked by `kernel.anomaly`, which looks at the residual, the value, slow drifts and the time of
day and
week together; a category by the loss of its forecast (`evaluation`).
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.block import Block, Part
from uoro.learning.kernel import anomaly, scoring


class Anomalies:
    """The anomaly state of T number targets, bound to a stream's block.

    Attributes:
        state: the arrays that `kernel.anomaly` names.
    """

    @staticmethod
    def parts(num_targets: int) -> list[Part]:
        """What it takes in a block."""
        return anomaly.parts(num_targets)

    def __init__(self, block: Block, num_targets: int) -> None:
        self.state = anomaly.State(*(block[f"anomaly.{name}"] for name in anomaly.State._fields))
        self._scores = np.empty(num_targets)

    def init(self) -> None:
        """The state before the first observation."""
        anomaly.init(*self.state)

    def score(
        self, values: np.ndarray, mean: np.ndarray, lower: np.ndarray, upper: np.ndarray, t: float | None
    ) -> list[float]:
        """Scores in [0, 1] of the values (T,) that came, without the missing ones; then they are learned.

        Args:
            values: what came, NaN where missing.
            mean: (T,) the pending forecast, NaN where there is none.
            lower: (T,) its interval's lower end.
            upper: (T,) its interval's upper end.
            t: epoch seconds of a calendar time, or None.
        """
        time = math.nan if t is None else t
        anomaly.score_all(*self.state, values, mean, lower, upper, time, self._scores)
        return [score for score in self._scores.tolist() if not math.isnan(score)]


def combined(scores: list[float]) -> float:
    """One score of several: the highest, as improbable as it is among so many (Šidák 1967)."""
    return float(scoring.combined(np.array(scores))) if scores else 0.0
