"""The forecast of category targets: class probabilities from n-grams and the recurrent core, mixed.

A field of size K has K + 1 classes; the last one is "none of the values known so far". With aggregation "boa"
the core's outputs are added to the logarithm of the n-grams' mixture, so that it starts as good as they
are, and it is one more expert beside them. Experts are mixed by Bayes' rule with a fixed share (Herbster & Warmuth
1998), the aggregation whose regret is least for this loss. With "none" the core's softmax is the whole forecast.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.block import Block, Part, bounded
from uoro.learning.encoder import Encoder, category_size, fields_of
from uoro.learning.ngrams import MAX_ORDER, Ngrams
from uoro.learning.spec import StreamSpec

PRIOR = 0.5
"""Krichevsky and Trofimov's half a count for every known class, and for "none of them"."""
MIN_PROBABILITY = 1e-9
MAX_LOGIT = 30.0
SHARE = 0.002
"""What of the weights is dealt out evenly at each step, so that any expert can come back."""
EXPERTS = ("frequencies", *(f"order_{order}" for order in range(1, MAX_ORDER + 1)), "recurrent")


class CategoryScore(NamedTuple):
    """Losses of one target, in nats."""

    loss: float
    baseline_loss: float


class CategoryTarget:
    """One category target, bound to the block.

    Attributes:
        counts: (K+1,) how often each class came. probabilities: (K+1,) the pending forecast.
        experts: (E, K+1) pending forecasts of the experts, rows in the order of EXPERTS; the last is the core's.
        weights: (E,) their weights.
    """

    __slots__ = ("counts", "encoder", "experts", "field", "ngrams", "probabilities", "size", "weights")

    @staticmethod
    def parts(spec: StreamSpec, name: str, size: int) -> list[Part]:
        """What one category target takes in a block."""
        prefix = f"categories.{name}"
        is_mixed = spec.aggregation == "boa"
        num_experts = len(EXPERTS) if is_mixed else 1
        return [
            *(Part(f"{prefix}.{part}", (size + 1,)) for part in ("counts", "probabilities")),
            Part(f"{prefix}.experts", (num_experts, size + 1)),
            Part(f"{prefix}.weights", (num_experts,)),
            *(Ngrams.parts(prefix, size) if is_mixed else ()),
        ]

    def __init__(self, spec: StreamSpec, block: Block, encoder: Encoder, field: int) -> None:
        prefix = f"categories.{encoder.category_fields[field]}"
        self.field, self.size, self.encoder = field, encoder.sizes[field], encoder
        self.counts = block[f"{prefix}.counts"]
        self.probabilities = block[f"{prefix}.probabilities"]
        self.experts = block[f"{prefix}.experts"]
        self.weights = block[f"{prefix}.weights"]
        self.ngrams = Ngrams(block, prefix, self.size) if spec.aggregation == "boa" else None

    def init(self) -> None:
        """The state before the first observation."""
        self.weights[:] = 1.0 / len(self.weights)
        if self.ngrams is not None:
            self.ngrams.init()

    @property
    def num_known(self) -> int:
        """How many classes have a name so far."""
        return int(self.encoder.num_known[self.field])

    def score(self, index: int) -> CategoryScore:
        """Compare the pending forecast and the running frequencies with the class that came."""
        baseline = self.frequencies()[index]
        return CategoryScore(
            -math.log(max(float(self.probabilities[index]), MIN_PROBABILITY)), -math.log(float(baseline))
        )

    def slopes(self, index: int) -> np.ndarray:
        """∂loss/∂output (K+1,) of the core: its probabilities less the class that came."""
        slopes: np.ndarray = self.experts[-1].copy()
        slopes[index] -= 1.0
        return slopes

    def learn(self, index: int) -> None:
        """Weigh the experts by what they gave the class, and count it."""
        self.counts[index] += 1.0
        if self.ngrams is None:
            return
        weights = self.weights * np.maximum(self.experts[:, index], MIN_PROBABILITY)
        self.weights[:] = (1.0 - SHARE) * (weights / weights.sum()) + SHARE / len(weights)
        self.ngrams.learn(index)

    def advance(self) -> None:
        """After the encoder has advanced: take its class in."""
        if self.ngrams is not None:
            self.ngrams.advance(int(self.encoder.category[self.field]))

    def forecast(self, output: np.ndarray) -> None:
        """Set the pending probabilities from the core's output (K+1,)."""
        logits = bounded(output.astype(np.float64), MAX_LOGIT)
        frequencies = self.frequencies()
        if self.ngrams is None:
            # A class without a name cannot be meant.
            odds = np.exp(logits - logits.max()) * (frequencies > 0)
            self.experts[-1] = self.probabilities[:] = odds / odds.sum()
            return
        simple, weights = self.experts[:-1], self.weights[:-1]
        simple[:] = self.ngrams.probabilities(frequencies)
        mixed = weights @ simple / weights.sum()
        odds = mixed * np.exp(logits - logits.max())
        self.experts[-1] = odds / odds.sum()
        probabilities = self.weights @ self.experts
        self.probabilities[:] = probabilities / probabilities.sum()

    def frequencies(self) -> np.ndarray:
        """(K+1,) the running class frequencies; 0 for classes that have no name yet."""
        num_known = self.num_known
        out = np.zeros(self.size + 1)
        out[:num_known] = self.counts[:num_known] + PRIOR
        out[-1] = self.counts[-1] + PRIOR
        out /= self.counts.sum() + PRIOR * (num_known + 1)
        return out


def category_targets(spec: StreamSpec) -> list[tuple[str, int]]:
    """Name and size of the category fields that are predicted."""
    names = fields_of(spec, "category")
    return [(name, category_size(spec, name)) for name in names if spec.fields[name].role == "target"]
