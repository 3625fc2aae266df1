"""The forecast of category targets: class probabilities, from what followed in the past and the recurrent core.

A field of size K has K + 1 classes; the last one is "none of the values known so far". With aggregation "boa"
the forecast is `kernel.symbols`', in which the core is one feature among many; with "none" it is the core's softmax.
Either way the core learns from its own softmax, and the naive forecast are the running class frequencies.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.block import Block, Part
from uoro.learning.encoder import Encoder, category_size, fields_of
from uoro.learning.kernel.symbols import state as symbols
from uoro.learning.kernel.symbols.bounds import unsound_part
from uoro.learning.kernel.symbols.learning import learn
from uoro.learning.kernel.symbols.mixture import MISSING, forecast_alone, listen, slopes
from uoro.learning.spec import StreamSpec

MIN_PROBABILITY = 1e-9
EXPERTS = ("mixture", "frequencies")


class CategoryScore(NamedTuple):
    """Losses of one target, in nats."""

    loss: float
    baseline_loss: float


class CategoryTarget:
    """One category target, bound to the block.

    Attributes:
        counts: (K+1,) how often each class came. probabilities: (K+1,) the pending forecast.
        frequencies: (K+1,) the pending naive forecast. log_core: (K+1,) ln of the core's own.
        symbols: the mixture's state; None with aggregation "none".
    """

    __slots__ = (
        "counts", "encoder", "field", "frequencies", "log_core", "probabilities", "size", "symbols"
    )  # fmt: skip

    @staticmethod
    def parts(spec: StreamSpec, name: str, size: int) -> list[Part]:
        """What one category target takes in a block."""
        prefix, num = f"categories.{name}", size + 1
        if spec.aggregation == "boa":
            return [Part(f"{prefix}.probabilities", (num,)), *symbols.parts(prefix, size)]
        return [Part(f"{prefix}.{part}", (num,)) for part in ("probabilities", "counts", "frequencies", "log_core")]

    def __init__(self, spec: StreamSpec, block: Block, encoder: Encoder, field: int) -> None:
        prefix = f"categories.{encoder.category_fields[field]}"
        self.field, self.size, self.encoder = field, encoder.sizes[field], encoder
        self.probabilities = block[f"{prefix}.probabilities"]
        self.symbols: symbols.SymbolState | None = None
        if spec.aggregation == "boa":
            self.symbols = state = symbols.bind(block.views, prefix)
            self.counts = state.tallies[symbols.COUNT]
            self.frequencies = state.experts[symbols.FREQUENCIES]
            self.log_core = state.dense[symbols.RECURRENT - symbols.BASE]
        else:
            self.counts, self.frequencies, self.log_core = (
                block[f"{prefix}.{part}"] for part in ("counts", "frequencies", "log_core")
            )

    def init(self) -> None:
        """The state before the first observation."""
        if self.symbols is not None:
            symbols.init(self.symbols)

    @property
    def num_known(self) -> int:
        """How many classes have a name so far."""
        return int(self.encoder.num_known[self.field])

    def weights(self) -> dict[str, float]:
        """How much each expert is believed."""
        return {} if self.symbols is None else dict(zip(EXPERTS, self.symbols.credits.tolist(), strict=True))

    def score(self, index: int) -> CategoryScore:
        """Compare the pending forecast and the running frequencies with the class that came."""
        said, naive = float(self.probabilities[index]), float(self.frequencies[index])
        return CategoryScore(-math.log(max(said, MIN_PROBABILITY)), -math.log(max(naive, MIN_PROBABILITY)))

    def slopes(self, index: int) -> np.ndarray:
        """∂loss/∂output (K+1,) of the core: its probabilities less the class that came."""
        out = np.empty(self.size + 1)
        slopes(self.log_core, self.num_known, index, out)
        return out

    def learn(self, index: int) -> None:
        """Learn from the class that came."""
        if self.symbols is None:
            self.counts[index] += 1.0
        else:
            learn(self.symbols, index)

    def advance(self, output: np.ndarray) -> None:
        """After the encoder has advanced: take its class in, and forecast with the core's output (K+1,)."""
        if self.symbols is None:
            forecast_alone(
                self.counts, self.num_known, output, self.log_core, self.frequencies, self.probabilities
            )  # fmt: skip
            return
        newest = int(self.encoder.category[self.field]) if self.encoder.present[self.field] else MISSING
        listen(self.symbols, newest, self.num_known, output, self.probabilities)

    def unsound_part(self) -> str | None:
        """Name of a part of a state from outside that cannot be gone on from."""
        return None if self.symbols is None else unsound_part(self.symbols, self.num_known)


def category_targets(spec: StreamSpec) -> list[tuple[str, int]]:
    """Name and size of the category fields that are predicted."""
    names = fields_of(spec, "category")
    return [(name, category_size(spec, name)) for name in names if spec.fields[name].role == "target"]
