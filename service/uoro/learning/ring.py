"""The recent results of a stream, as rows of numbers in its block: they survive snapshots and restarts.

`results` says what a row is.
"""

from __future__ import annotations

import math

import numpy as np

from uoro import limits
from uoro.domain import Prediction, Result
from uoro.learning.block import Block, Part
from uoro.learning.categories import CategoryTarget, category_targets
from uoro.learning.encoder import Encoder
from uoro.learning.kernel.rows import ANOMALY, FLAGS, HAS_PREDICTION, IS_CALENDAR, LOSS, NUM_HEAD, SEQ, T
from uoro.learning.numbers import num_number_targets
from uoro.learning.results import TOP, Reader
from uoro.learning.scoring import Forecast
from uoro.learning.spec import StreamSpec


class Ring:
    """The last MAX_RECENT_RESULTS rows and the pending prediction."""

    @staticmethod
    def parts(spec: StreamSpec) -> list[Part]:
        """What the ring takes in a block."""
        width = 3 * num_number_targets(spec) + (2 * TOP + 1) * len(category_targets(spec))
        return [
            Part("ring.rows", (limits.MAX_RECENT_RESULTS, NUM_HEAD + width)),
            Part("ring.pending", (width,)),
        ]

    def __init__(self, block: Block, encoder: Encoder) -> None:
        self.rows = block["ring.rows"]
        self.pending = block["ring.pending"]
        self._encoder = encoder

    @property
    def reader(self) -> Reader:
        """Reads rows with the vocabularies of now."""
        return Reader(self._encoder)

    def propose(self, numbers: Forecast, categories: list[CategoryTarget]) -> None:
        """Write the targets' pending forecasts down as the prediction for the observation to come."""
        end = 3 * len(numbers.mean)
        if end:
            self.pending[:end] = np.stack((numbers.mean, numbers.lower, numbers.upper), axis=1).reshape(-1)
        for target in categories:
            known = target.probabilities[: target.num_known]
            top = np.argsort(-known, kind="stable")[:TOP]
            row = self.pending[end : end + 2 * TOP + 1]
            row[: 2 * TOP] = np.nan
            row[0 : 2 * len(top) : 2] = top
            row[1 : 2 * len(top) : 2] = known[top]
            row[-1] = max(0.0, 1.0 - float(known[top].sum()))
            end += 2 * TOP + 1

    def record(
        self,
        seq: int,
        t: float | None,
        *,
        is_calendar: bool,
        scores: tuple[float, float, float] | None,
        has_prediction: bool,
    ) -> np.ndarray:
        """Keep the outcome of observation `seq` and the prediction that had been made for it; returns its row."""
        row: np.ndarray = self.rows[seq % len(self.rows)]
        row[SEQ] = seq
        row[T] = math.nan if t is None else t
        row[FLAGS] = IS_CALENDAR * is_calendar + HAS_PREDICTION * has_prediction
        row[LOSS : ANOMALY + 1] = scores if scores is not None else math.nan
        row[NUM_HEAD:] = self.pending
        return row

    def result(self, seq: int, newest: int) -> Result | None:
        """The kept result of observation `seq`, or None if it is no longer kept."""
        row = self.rows[seq % len(self.rows)]
        if seq < 1 or row[SEQ] != seq:
            return None
        after = self.pending if seq == newest else self.rows[(seq + 1) % len(self.rows)][NUM_HEAD:]
        return self.reader.result(row.tolist(), after.tolist())

    def prediction(self) -> Prediction:
        """The pending prediction."""
        return self.reader.prediction(self.pending.tolist())
