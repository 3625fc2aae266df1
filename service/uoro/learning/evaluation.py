"""How well a stream is predicted: streaming losses against the naive forecast, coverage, and anomaly."""

from __future__ import annotations

import math

from uoro.learning.block import Block, Part
from uoro.learning.kernel import scoring

NUM_BINS = 128
FIRST_BIN_LOG2 = -24.0
BINS_PER_OCTAVE = 3.0
ANOMALY_DISCOUNT = 0.9995


class Evaluation:
    """Sums of loss, baseline loss and coverage: row 0 recent (exponential), row 1 since the first observation.

    Attributes:
        sums: (2, 3) loss, baseline loss, number of losses. covered: (2, 2) covered intervals, all intervals.
        histogram: (NUM_BINS,) recent losses by size, logarithmic. anomaly: (1,) the newest score, or NaN.
    """

    __slots__ = ("anomaly", "covered", "histogram", "sums")

    @staticmethod
    def parts() -> list[Part]:
        """What the evaluation takes in a block."""
        return [
            Part("evaluation.sums", (2, 3)),
            Part("evaluation.covered", (2, 2)),
            Part("evaluation.histogram", (NUM_BINS,)),
            Part("evaluation.anomaly", (1,)),
        ]

    def __init__(self, block: Block) -> None:
        self.sums = block["evaluation.sums"]
        self.covered = block["evaluation.covered"]
        self.histogram = block["evaluation.histogram"]
        self.anomaly = block["evaluation.anomaly"]

    def init(self) -> None:
        """The state before the first observation."""
        self.anomaly[0] = math.nan

    def add(self, loss: float, baseline_loss: float, anomaly: float) -> None:
        """Take in one loss, that of the naive prediction for the same observation, and its anomaly."""
        scoring.add(self.sums, loss, baseline_loss)
        self.anomaly[0] = anomaly

    def rank(self, loss: float) -> float:
        """The anomaly of a category's loss, in [0, 1]: 1 less its tail probability under the recent losses."""
        place = (math.log2(max(loss, 1e-12)) - FIRST_BIN_LOG2) * BINS_PER_OCTAVE
        place = min(max(place, 0.0), NUM_BINS - 1.0)
        bin_index = int(place)
        total = float(self.histogram.sum())
        # Mass above, with the part of the loss's own bin that lies above it; one imagined larger loss as prior.
        above = float(self.histogram[bin_index + 1 :].sum())
        above += float(self.histogram[bin_index]) * (bin_index + 1 - place)
        anomaly = max(0.0, 1.0 - (above + 1.0) / (total + 1.0)) if total > 0 else 0.0
        self.histogram *= ANOMALY_DISCOUNT
        self.histogram[bin_index] += 1.0
        return anomaly

    def cover(self, num_covered: int, num_intervals: int) -> None:
        """Take in how many intervals held the value that came."""
        scoring.cover(self.covered, num_covered, num_intervals)

    def coverage(self) -> float | None:
        """Share of recent intervals that held their value."""
        held, all_ = self.covered[0]
        return float(held / all_) if all_ else None

    def means(self, row: int) -> tuple[float | None, float | None, float | None]:
        """Mean loss, mean baseline loss and skill of the recent (0) or total (1) window."""
        loss, baseline, num = self.sums[row].tolist()
        if not num:
            return None, None, None
        skill = 1.0 - loss / baseline if baseline > 0 else (0.0 if loss == 0 else None)
        return loss / num, baseline / num, skill
