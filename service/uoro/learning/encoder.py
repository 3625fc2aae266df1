"""Observation -> numbers: known values, running statistics, and the input vector of the recurrent core.

Statistics are exponentially weighted with a rate that starts at 1/n, so they are exact means at first and
follow drift later; they are usable from the second observation on. A missing value is never learned from:
its field keeps its last value, and a mask input says so. The vocabulary of a category field grows as values
appear and lives in the block with everything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from uoro import limits
from uoro.domain import Observation
from uoro.learning.block import Block, Part, bounded, or_zero
from uoro.learning.spec import StreamSpec

MEAN_RATE = 0.002
SCALE_RATE = 0.005
MAX_JUMP = 20.0  # one increment moves the scale by at most so many scales
MIN_SCALE = 1e-60
"""Changes below this count as none: dividing by them would leave the range of numbers."""
MAX_INPUT = 4.0
NUM_CALENDAR = 4
WEEK_S = 604_800.0
DAY_S = 86_400.0


class Encoder:
    """Fields of a stream: F numbers (targets first, then inputs) and C categories (targets first).

    Attributes:
        keeps_statistics: of numbers; with aggregation "boa" the mixture keeps its own.
        last: (F,) newest known value, NaN before the first. previous: (F,) the one before it.
        mean, variance: (F,) of the values. scale: (F,) mean absolute change. count: (F,) values seen.
        category: (C,) index of the newest value; the field's size stands for "none or beyond the vocabulary".
        num_known: (C,) vocabulary size so far. words: per category field, (size, MAX_CATEGORY_BYTES + 2).
    """

    __slots__ = (
        "category",
        "category_fields",
        "count",
        "indices",
        "keeps_statistics",
        "last",
        "mean",
        "num_category_targets",
        "num_known",
        "num_number_targets",
        "number_fields",
        "present",
        "previous",
        "scale",
        "sizes",
        "variance",
        "vocabularies",
        "words",
    )  # fmt: skip

    @staticmethod
    def parts(spec: StreamSpec) -> list[Part]:
        """What the encoder takes in a block."""
        numbers, categories = fields_of(spec, "number"), fields_of(spec, "category")
        num = (len(numbers),)
        return [
            *(Part(f"encoder.{name}", num) for name in ("last", "previous", "mean", "variance", "scale", "count")),
            Part("encoder.present", (len(numbers) + len(categories),), "u1"),
            Part("encoder.category", (len(categories),), "i8"),
            Part("encoder.num_known", (len(categories),), "i8"),
            *(
                Part(f"encoder.words.{name}", (category_size(spec, name), limits.MAX_CATEGORY_BYTES + 2), "u1")
                for name in categories
            ),
        ]

    def __init__(self, spec: StreamSpec, block: Block) -> None:
        self.keeps_statistics = spec.aggregation == "none"
        self.number_fields = fields_of(spec, "number")
        self.category_fields = fields_of(spec, "category")
        self.num_number_targets = sum(spec.fields[name].role == "target" for name in self.number_fields)
        self.num_category_targets = sum(spec.fields[name].role == "target" for name in self.category_fields)
        self.sizes = [category_size(spec, name) for name in self.category_fields]
        self.last = block["encoder.last"]
        self.previous = block["encoder.previous"]
        self.mean = block["encoder.mean"]
        self.variance = block["encoder.variance"]
        self.scale = block["encoder.scale"]
        self.count = block["encoder.count"]
        self.present = block["encoder.present"]
        self.category = block["encoder.category"]
        self.num_known = block["encoder.num_known"]
        self.words = [block[f"encoder.words.{name}"] for name in self.category_fields]
        self.vocabularies: list[list[str]] = []
        self.indices: list[dict[str, int]] = []
        self.reload()

    def init(self) -> None:
        """The state before the first observation."""
        self.last[:] = np.nan
        self.previous[:] = np.nan
        self.category[:] = self.sizes

    def reload(self) -> None:
        """Rebuild the word lists after the block's bytes were overwritten. Raises ValueError if they cannot be."""
        if any(not 0 <= known <= size for known, size in zip(self.num_known, self.sizes, strict=True)):
            raise ValueError("a vocabulary is longer than its field's size")
        self.vocabularies = [
            [_read_word(row) for row in words[:known]] for words, known in zip(self.words, self.num_known, strict=True)
        ]
        self.indices = [{word: i for i, word in enumerate(words)} for words in self.vocabularies]

    @staticmethod
    def num_inputs(spec: StreamSpec) -> int:
        """Length I of the input vector."""
        numbers = fields_of(spec, "number")
        seasonal = sum(spec.fields[name].role == "target" for name in numbers)
        return 3 * len(numbers) + seasonal + num_one_hot(spec) + NUM_CALENDAR

    def read(self, observation: Observation) -> tuple[np.ndarray, list[int | None]]:
        """The numbers (F,), NaN where missing, and per category field the index or None where missing.

        A value beyond the vocabulary has the field's size as its index; nothing is added here.
        """
        numbers = np.array([_number(observation.x.get(name)) for name in self.number_fields], dtype=np.float64)
        categories: list[int | None] = []
        for name, index, size in zip(self.category_fields, self.indices, self.sizes, strict=True):
            word = observation.x.get(name)
            categories.append(None if word is None else index.get(str(word), size))
        return numbers, categories

    def read_numbers(self, observations: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The numbers (N, F) and times (N,) of observations, NaN where missing, and which times are dates (N,)."""
        names = self.number_fields
        values = np.array([[o.x.get(name) for name in names] for o in observations], dtype=np.float64)
        times = np.array([o.t for o in observations], dtype=np.float64)
        dates = np.array([o.is_calendar for o in observations], dtype=np.bool_)
        return values.reshape(len(observations), len(names)), times, dates

    def advance(self, observation: Observation, numbers: np.ndarray, *, learn: bool) -> None:
        """Take the observation in: last values always, statistics and vocabulary when learning."""
        if self.keeps_statistics:
            self._advance_numbers(numbers, learn=learn)
        for i, name in enumerate(self.category_fields):
            word = observation.x.get(name)
            self.present[len(numbers) + i] = word is not None
            self.category[i] = self.sizes[i] if word is None else self._index(i, str(word), learn=learn)

    def _advance_numbers(self, numbers: np.ndarray, *, learn: bool) -> None:
        is_present = ~np.isnan(numbers)
        values = np.where(is_present, numbers, self.last)
        is_first = is_present & (self.count == 0)
        self.previous[:] = np.where(np.isnan(self.last), values, self.last)
        if learn:
            change = np.abs(values - self.previous)
            bounded = np.where(self.scale > 0, np.minimum(change, MAX_JUMP * self.scale), change)
            has_change = is_present & ~is_first
            rate = np.maximum(1.0 / np.maximum(self.count, 1.0), SCALE_RATE)
            self.scale += np.where(has_change, rate * (bounded - self.scale), 0.0)
            self.scale[self.scale < MIN_SCALE] = 0.0
            self.count += is_present
            rate = np.maximum(1.0 / np.maximum(self.count, 1.0), MEAN_RATE)
            deviation = np.where(is_present, values - np.where(is_first, 0.0, self.mean), 0.0)
            self.mean += rate * deviation
            deviation = np.where(is_first, 0.0, deviation)
            self.variance += np.where(is_present, rate * ((1 - rate) * deviation**2 - self.variance), 0.0)
        self.last[:] = values
        self.present[: len(numbers)] = is_present

    def changes(self) -> np.ndarray:
        """(F,) the newest change of every number, in its mean absolute change; 0 where unknown."""
        scale = np.where(self.scale > 0, self.scale, 1.0)
        out: np.ndarray = or_zero(self.last - self.previous) / scale
        return out

    def inputs(self, seasonal: np.ndarray, t: float | None, *, is_calendar: bool) -> np.ndarray:
        """The input vector (I,) float32 after `advance`; `seasonal` (T,) is the seasonal change or NaN."""
        num = len(self.last)
        scale = np.where(self.scale > 0, self.scale, 1.0)
        std = np.sqrt(np.maximum(self.variance, 1e-12 * scale**2))
        std = np.where(std > 0, std, 1.0)
        known = or_zero(self.last)
        is_present = self.present[:num].astype(bool)
        z = np.where(self.count > 1, (known - self.mean) / std, 0.0)
        dense = np.concatenate((z, self.changes(), or_zero(seasonal / scale[: len(seasonal)])))
        parts = [bounded(dense, MAX_INPUT), 1.0 - is_present]
        for i, size in enumerate(self.sizes):
            one_hot = np.zeros(size + 1)
            if self.present[num + i]:
                one_hot[self.category[i]] = 1.0
            parts.append(one_hot)
        calendar = np.zeros(NUM_CALENDAR)
        if t is not None and is_calendar:
            day, week = (2 * math.pi * (t % period) / period for period in (DAY_S, WEEK_S))
            calendar[:] = math.sin(day), math.cos(day), math.sin(week), math.cos(week)
        parts.append(calendar)
        return np.concatenate(parts).astype(np.float32)

    def write_one_hot(self, x: np.ndarray) -> None:
        """Fill the end of an input vector with the newest class of each category field; zeros where missing."""
        at = len(x) - sum(self.sizes) - len(self.sizes)
        x[at:] = 0.0
        for i, size in enumerate(self.sizes):
            if self.present[len(self.number_fields) + i]:
                x[at + self.category[i]] = 1.0
            at += size + 1

    def _index(self, field: int, word: str, *, learn: bool) -> int:
        index = self.indices[field]
        known = index.get(word)
        if known is not None:
            return known
        new = len(index)
        if not learn or new >= self.sizes[field]:
            return self.sizes[field]
        _write_word(self.words[field][new], word)
        index[word] = new
        self.vocabularies[field].append(word)
        self.num_known[field] = new + 1
        return new


def fields_of(spec: StreamSpec, kind: str) -> tuple[str, ...]:
    """Names of the fields of a type, targets first, each in the order of the spec."""
    names = [name for name, field in spec.fields.items() if field.type == kind]
    return tuple(sorted(names, key=lambda name: spec.fields[name].role != "target"))


def num_one_hot(spec: StreamSpec) -> int:
    """Length of the one-hot inputs of all category fields."""
    return sum(category_size(spec, name) + 1 for name in fields_of(spec, "category"))


def category_size(spec: StreamSpec, name: str) -> int:
    """Vocabulary size of a category field."""
    field = spec.fields[name]
    assert field.type == "category"  # noqa: S101 - programmer error
    return field.size


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def _write_word(row: np.ndarray, word: str) -> None:
    encoded = word.encode()
    row[0], row[1] = divmod(len(encoded), 256)
    row[2 : 2 + len(encoded)] = np.frombuffer(encoded, dtype=np.uint8)


def _read_word(row: np.ndarray) -> str:
    length = int(row[0]) * 256 + int(row[1])
    return bytes(row[2 : 2 + length]).decode()
