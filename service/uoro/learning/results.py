"""The results of a run of observations as rows of numbers, read as values only where somebody asks.

The head of a row is `kernel.rows`'. A prediction is, per number target, mean, lower, upper; per category target, ten
(class, probability) pairs and the mass of the rest. NaN is None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import overload

import numpy as np

from uoro import limits
from uoro.domain import CategoryPrediction, NumberPrediction, Prediction, Result
from uoro.learning.encoder import Encoder
from uoro.learning.kernel.rows import HAS_PREDICTION, IS_CALENDAR, LOSS, NUM_HEAD

TOP = limits.TOP_CATEGORIES
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_DATE_S, MAX_DATE_S = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999; what lies beyond goes back as epoch seconds."""


class Reader:
    """Reads rows as values: it knows the targets' names and the words of their vocabularies.

    Vocabularies only grow, so that a row can be read at any time after it was written.
    """

    __slots__ = ("category_names", "number_names", "vocabularies")

    def __init__(self, encoder: Encoder) -> None:
        self.number_names = encoder.number_fields[: encoder.num_number_targets]
        self.category_names = encoder.category_fields[: encoder.num_category_targets]
        self.vocabularies = encoder.vocabularies

    def prediction(self, numbers: list[float]) -> Prediction:
        """The prediction that a row's numbers stand for; fields without a first value are left out."""
        prediction: Prediction = {}
        end = 0
        for name in self.number_names:
            mean, lower, upper = numbers[end : end + 3]
            if not math.isnan(mean):
                prediction[name] = NumberPrediction(mean, lower, upper)
            end += 3
        for name, words in zip(self.category_names, self.vocabularies, strict=False):
            pairs = zip(numbers[end : end + 2 * TOP : 2], numbers[end + 1 : end + 2 * TOP : 2], strict=True)
            probabilities = {words[int(index)]: p for index, p in pairs if not math.isnan(index)}
            prediction[name] = CategoryPrediction(probabilities, numbers[end + 2 * TOP])
            end += 2 * TOP + 1
        return prediction

    def result(self, row: list[float], after: list[float]) -> Result:
        """The result in a row; `after` is the prediction for the observation that follows."""
        seq, t, flags, loss, baseline_loss, anomaly = row[:NUM_HEAD]
        return Result(
            seq=int(seq),
            t=timestamp(t, is_calendar=bool(int(flags) & IS_CALENDAR)),
            prediction=self.prediction(row[NUM_HEAD:]) if int(flags) & HAS_PREDICTION else None,
            loss=_number(loss),
            baseline_loss=_number(baseline_loss),
            anomaly=_number(anomaly),
            next=self.prediction(after),
        )


class Results(Sequence[Result]):
    """What N observations in a row led to.

    Attributes:
        rows: (N + 1, width) a row for each observation; the last holds only the prediction for the next one.
    """

    __slots__ = ("_reader", "rows")

    def __init__(self, reader: Reader, rows: np.ndarray) -> None:
        self._reader = reader
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows) - 1

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        i = index % len(self)
        row, after = self.rows[i : i + 2].tolist()
        return self._reader.result(row, after[NUM_HEAD:])

    def part(self, first: int, num: int) -> Results:
        """So many of them in a row."""
        return Results(self._reader, self.rows[first : first + num + 1])

    def newest(self) -> Result:
        """The last one."""
        row, after = self.rows[-2:].tolist()
        return self._reader.result(row, after[NUM_HEAD:])

    @property
    def losses(self) -> np.ndarray:
        """(N,) loss of each observation's prediction, NaN where there was none."""
        losses: np.ndarray = self.rows[:-1, LOSS]
        return losses


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
