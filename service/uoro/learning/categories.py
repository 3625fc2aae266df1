"""The forecast of category targets: class probabilities from the recurrent core on top of running frequencies.

A field of size K has K + 1 classes; the last one is "none of the values known so far". With aggregation "boa"
the core's outputs are added to the logarithm of the running frequencies, so that it starts as good as
they are; with "none" its softmax is the whole forecast.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.block import Block, Part
from uoro.learning.encoder import Encoder, category_size, fields_of
from uoro.learning.spec import StreamSpec

PRIOR = 0.5
"""Krichevsky and Trofimov's half a count for every known class, and for "none of them"."""
MIN_PROBABILITY = 1e-9


class CategoryScore(NamedTuple):
    """Losses of one target, in nats."""

    loss: float
    baseline_loss: float


class CategoryTarget:
    """One category target, bound to the block.

    Attributes:
        counts: (K+1,) how often each class came. probabilities: (K+1,) the pending forecast.
    """

    __slots__ = ("counts", "encoder", "field", "is_added", "probabilities", "size")

    @staticmethod
    def parts(name: str, size: int) -> list[Part]:
        """What one category target takes in a block."""
        return [Part(f"categories.{name}.{part}", (size + 1,)) for part in ("counts", "probabilities")]

    def __init__(self, spec: StreamSpec, block: Block, encoder: Encoder, field: int) -> None:
        name = encoder.category_fields[field]
        self.field, self.size, self.encoder = field, encoder.sizes[field], encoder
        self.counts = block[f"categories.{name}.counts"]
        self.probabilities = block[f"categories.{name}.probabilities"]
        self.is_added = spec.aggregation == "boa"

    @property
    def num_known(self) -> int:
        """How many classes have a name so far."""
        return int(self.encoder.num_known[self.field])

    def score(self, index: int) -> CategoryScore:
        """Compare the pending forecast and the running frequencies with the class that came."""
        baseline = self.log_frequencies()[index]
        return CategoryScore(-math.log(max(float(self.probabilities[index]), MIN_PROBABILITY)), -float(baseline))

    def slopes(self, index: int) -> np.ndarray:
        """∂loss/∂output (K+1,): the softmax's probabilities less the class that came."""
        slopes = self.probabilities.copy()
        slopes[index] -= 1.0
        return slopes

    def learn(self, index: int) -> None:
        """Count the class."""
        self.counts[index] += 1.0

    def forecast(self, output: np.ndarray) -> None:
        """Set the pending probabilities from the core's output (K+1,)."""
        logits = np.clip(output.astype(np.float64), -30.0, 30.0)
        if self.is_added:
            logits += self.log_frequencies()
        logits -= logits.max()
        odds = np.exp(logits)
        self.probabilities[:] = odds / odds.sum()

    def log_frequencies(self) -> np.ndarray:
        """(K+1,) logarithm of the running class frequencies; -inf for classes that have no name yet."""
        num_known = self.num_known
        out = np.full(self.size + 1, -np.inf)
        total = self.counts.sum() + PRIOR * (num_known + 1)
        out[:num_known] = np.log((self.counts[:num_known] + PRIOR) / total)
        out[-1] = math.log((self.counts[-1] + PRIOR) / total)
        return out


def category_targets(spec: StreamSpec) -> list[tuple[str, int]]:
    """Name and size of the category fields that are predicted."""
    names = fields_of(spec, "category")
    return [(name, category_size(spec, name)) for name in names if spec.fields[name].role == "target"]
