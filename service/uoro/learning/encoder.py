"""Observation -> numbers: the values of number fields, the indices of category fields, and their one-hot inputs.

The vocabulary of a category field grows as values appear and lives in the block with everything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from uoro import limits
from uoro.domain import Observation
from uoro.learning.block import Block, Part
from uoro.learning.spec import StreamSpec


class Encoder:
    """Fields of a stream: F numbers (targets first, then inputs) and C categories (targets first).

    Attributes:
        present: (C,) whether the newest observation had a value.
        category: (C,) index of the newest value; the field's size stands for "none or beyond the vocabulary".
        num_known: (C,) vocabulary size so far. words: per category field, (size, MAX_CATEGORY_BYTES + 2).
    """

    __slots__ = (
        "category",
        "category_fields",
        "indices",
        "num_category_targets",
        "num_known",
        "num_number_targets",
        "number_fields",
        "present",
        "sizes",
        "vocabularies",
        "words",
    )  # fmt: skip

    @staticmethod
    def parts(spec: StreamSpec) -> list[Part]:
        """What the encoder takes in a block."""
        categories = fields_of(spec, "category")
        return [
            Part("encoder.present", (len(categories),), "u1"),
            Part("encoder.category", (len(categories),), "i8"),
            Part("encoder.num_known", (len(categories),), "i8"),
            *(
                Part(f"encoder.words.{name}", (category_size(spec, name), limits.MAX_CATEGORY_BYTES + 2), "u1")
                for name in categories
            ),
        ]

    def __init__(self, spec: StreamSpec, block: Block) -> None:
        self.number_fields = fields_of(spec, "number")
        self.category_fields = fields_of(spec, "category")
        self.num_number_targets = sum(spec.fields[name].role == "target" for name in self.number_fields)
        self.num_category_targets = sum(spec.fields[name].role == "target" for name in self.category_fields)
        self.sizes = [category_size(spec, name) for name in self.category_fields]
        self.present = block["encoder.present"]
        self.category = block["encoder.category"]
        self.num_known = block["encoder.num_known"]
        self.words = [block[f"encoder.words.{name}"] for name in self.category_fields]
        self.vocabularies: list[list[str]] = []
        self.indices: list[dict[str, int]] = []
        self.reload()

    def init(self) -> None:
        """The state before the first observation."""
        self.category[:] = self.sizes

    def reload(self) -> None:
        """Rebuild the word lists after the block's bytes were overwritten. Raises ValueError if they cannot be."""
        if any(not 0 <= known <= size for known, size in zip(self.num_known, self.sizes, strict=True)):
            raise ValueError("a vocabulary is longer than its field's size")
        self.vocabularies = [
            [_read_word(row) for row in words[:known]] for words, known in zip(self.words, self.num_known, strict=True)
        ]
        self.indices = [{word: i for i, word in enumerate(words)} for words in self.vocabularies]

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

    def advance(self, observation: Observation, *, learn: bool) -> None:
        """Take the observation's categories in: newest values always, the vocabulary when learning."""
        for i, name in enumerate(self.category_fields):
            word = observation.x.get(name)
            self.present[i] = word is not None
            self.category[i] = self.sizes[i] if word is None else self._index(i, str(word), learn=learn)

    def write_one_hot(self, x: np.ndarray) -> None:
        """Fill the end of an input vector with the newest class of each category field; zeros where missing."""
        at = len(x) - sum(self.sizes) - len(self.sizes)
        x[at:] = 0.0
        for i, size in enumerate(self.sizes):
            if self.present[i]:
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
