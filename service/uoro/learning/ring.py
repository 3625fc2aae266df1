"""The recent results of a stream, as rows of numbers in its block: they survive snapshots and restarts.

A row is [seq, t, flags, loss, baseline loss, anomaly | prediction]. A prediction is, per number target, mean,
lower, upper; per category target, ten (class, probability) pairs and the mass of the rest. NaN is None.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np

from uoro import limits
from uoro.domain import CategoryPrediction, NumberPrediction, Prediction, Result
from uoro.learning.block import Block, Part
from uoro.learning.categories import CategoryTarget, category_targets
from uoro.learning.encoder import Encoder
from uoro.learning.mixture import num_number_targets
from uoro.learning.scoring import Forecast
from uoro.learning.spec import StreamSpec

SEQ, T, FLAGS, LOSS, BASELINE_LOSS, ANOMALY, NUM_HEAD = range(7)
IS_CALENDAR, HAS_PREDICTION = 1, 2
TOP = limits.TOP_CATEGORIES
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_DATE_S, MAX_DATE_S = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999; what lies beyond goes back as epoch seconds."""


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
        self.encoder = encoder

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
    ) -> None:
        """Keep the outcome of observation `seq` and the prediction that had been made for it."""
        row = self.rows[seq % len(self.rows)]
        row[SEQ] = seq
        row[T] = math.nan if t is None else t
        row[FLAGS] = IS_CALENDAR * is_calendar + HAS_PREDICTION * has_prediction
        row[LOSS : ANOMALY + 1] = scores if scores is not None else math.nan
        row[NUM_HEAD:] = self.pending

    def result(self, seq: int, newest: int) -> Result | None:
        """The kept result of observation `seq`, or None if it is no longer kept."""
        row = self.rows[seq % len(self.rows)]
        if seq < 1 or row[SEQ] != seq:
            return None
        after = self.pending if seq == newest else self.rows[(seq + 1) % len(self.rows)][NUM_HEAD:]
        flags = int(row[FLAGS])
        return Result(
            seq=seq,
            t=timestamp(row[T], is_calendar=bool(flags & IS_CALENDAR)),
            prediction=self.read(row[NUM_HEAD:]) if flags & HAS_PREDICTION else None,
            loss=_number(row[LOSS]),
            baseline_loss=_number(row[BASELINE_LOSS]),
            anomaly=_number(row[ANOMALY]),
            next=self.read(after),
        )

    def read(self, values: np.ndarray) -> Prediction:
        """The prediction that a row's numbers stand for; fields without a first value are left out."""
        prediction: Prediction = {}
        encoder, end = self.encoder, 0
        numbers = values.tolist()
        for name in encoder.number_fields[: encoder.num_number_targets]:
            mean, lower, upper = numbers[end : end + 3]
            if not math.isnan(mean):
                prediction[name] = NumberPrediction(mean, lower, upper)
            end += 3
        for i, name in enumerate(encoder.category_fields[: encoder.num_category_targets]):
            words = encoder.vocabularies[i]
            pairs = zip(numbers[end : end + 2 * TOP : 2], numbers[end + 1 : end + 2 * TOP : 2], strict=True)
            probabilities = {words[int(index)]: p for index, p in pairs if not math.isnan(index)}
            prediction[name] = CategoryPrediction(probabilities, numbers[end + 2 * TOP])
            end += 2 * TOP + 1
        return prediction


def timestamp(t: float, *, is_calendar: bool) -> float | str | None:
    """A timestamp in the form it came: epoch seconds, or RFC 3339 in UTC; None for NaN."""
    if math.isnan(t):
        return None
    if not is_calendar or not MIN_DATE_S <= t <= MAX_DATE_S:
        return float(t)
    # From the epoch on by addition: the platform's own conversion has a shorter range.
    return (EPOCH + timedelta(seconds=float(t))).isoformat().replace("+00:00", "Z")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
