"""What one category target of K values knows: its arrays, their sizes and first values.

Index K stands for "none of the values known so far". All sizes depend on K alone, so the state is fixed from
the first symbol on: 0.09 MiB for K = 8, 0.99 MiB for K = 128, 3.4 MiB for K = 1024 (`state_bytes`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.block import Part

# Features of the mixture, in this order.
NUM_ORDERS = 6
"""Orders 1 … 6; a longer repeat is the matches' business (sweep 5 … 8: equal within 0.1 %)."""
NUM_SPARSE = 4
WORD = NUM_ORDERS + NUM_SPARSE
NUM_CONTEXTS = WORD + 1
"""Orders, contexts with gaps, the word."""
MATCH = NUM_CONTEXTS
NUM_MATCHES = 2
BASE = MATCH + NUM_MATCHES
DECAYED = BASE + 1
NUM_DECAYED = 3
RECURRENT = DECAYED + NUM_DECAYED
NUM_FEATURES = RECURRENT + 1
NUM_DENSE = NUM_FEATURES - BASE
"""Features from BASE on have a value for every symbol, those before for few."""

NUM_TOTALS, NUM_KINDS, NUM_LENGTHS = 10, 5, 16
NUM_STATES = NUM_TOTALS * NUM_KINDS * 4

# Places in `cursor`.
POSITION, KNOWN, STEP, WORD_HASH, RESETS, POINTER, LENGTH = 0, 1, 2, 3, 4, 5, 7
NUM_CURSOR = LENGTH + NUM_MATCHES
# Rows of `tallies`.
CONTINUATION, SEPARATOR, COUNT, FREQUENCY = 0, 1, 2, 3
NUM_TALLIES = FREQUENCY + NUM_DECAYED
# Places in `novelty`.
NEW, SEEN = 0, 1
# Rows of `experts`.
MIXTURE, FREQUENCIES = 0, 1
NUM_EXPERTS = 2

PLACES_EACH, PLACES_EACH_BEYOND = 2944, 1200
"""Places of the pool for each of the first 128 values, and for each one more: bounded by 1 MiB and 4 MiB."""
MIN_PLACES = 1 << 13
HISTORY_EACH, MIN_HISTORY, MAX_HISTORY = 512, 1 << 12, 1 << 16
SLOTS_SHARE = 8
"""The match table has one slot for so many places of the history."""


ADVANCING = ("history", "table", "cursor")
"""What moves with every symbol, learned from or not."""
PENDING = (
    "windows", "checks", "numbers", "symbols", "entries", "values", "dense", "weights", "chosen", "experts"
)  # fmt: skip
"""What belongs to the pending forecast."""


class SymbolState(NamedTuple):
    """The arrays of one target; `parts` says their shapes. M contexts, F features, D dense ones, C = K + 1.

    Learned:
        pool: what followed each context (contexts.py). history: the newest symbols, a ring. table: where a
        run of symbols stood last. cursor: see the places above. tallies: counts by symbol. novelty: decayed
        counts of new values and of all. hits: by match and its length, how often it held, of how many.
        by_confidence, by_order, by_symbol: the mixture's weights. biases: by context and state of a symbol.
        mean_squares: of each feature's gradient. credits: the experts' weights (E,).
    Of the pending forecast:
        windows, checks: where each context lies. numbers: how many symbols it knows and their counts' sum.
        symbols, entries, values: those symbols, their pool entries' low bits and feature values.
        dense: values of the dense features. weights: of the features. chosen: bucket of each feature, then
        the highest order with a known context, then the newest symbol. experts: (E, C) their forecasts.
    """

    pool: np.ndarray
    history: np.ndarray
    table: np.ndarray
    cursor: np.ndarray
    tallies: np.ndarray
    novelty: np.ndarray
    hits: np.ndarray
    by_confidence: np.ndarray
    by_order: np.ndarray
    by_symbol: np.ndarray
    biases: np.ndarray
    mean_squares: np.ndarray
    credits: np.ndarray
    windows: np.ndarray
    checks: np.ndarray
    numbers: np.ndarray
    symbols: np.ndarray
    entries: np.ndarray
    values: np.ndarray
    dense: np.ndarray
    weights: np.ndarray
    chosen: np.ndarray
    experts: np.ndarray


def parts(prefix: str, size: int) -> list[Part]:
    """The arrays of a target of `size` values, in the order of `SymbolState`."""
    num = size + 1
    length = history_length(size)
    shapes = {
        "pool": ((num_places(size) + num,), "u2"),
        "history": ((length,), "u2"),
        "table": ((NUM_MATCHES, length // SLOTS_SHARE), "u4"),
        "cursor": ((NUM_CURSOR,), "i8"),
        "tallies": ((NUM_TALLIES, num), "f8"),
        "novelty": ((2,), "f8"),
        "hits": ((NUM_MATCHES, NUM_LENGTHS, 2), "f8"),
        "by_confidence": ((NUM_FEATURES, NUM_TOTALS * NUM_KINDS), "f8"),
        "by_order": ((NUM_ORDERS + 1, NUM_FEATURES), "f8"),
        "by_symbol": ((num, NUM_FEATURES), "f8"),
        "biases": ((NUM_CONTEXTS, NUM_STATES), "f8"),
        "mean_squares": ((NUM_FEATURES,), "f8"),
        "credits": ((NUM_EXPERTS,), "f8"),
        "windows": ((NUM_CONTEXTS, 2), "i8"),
        "checks": ((NUM_CONTEXTS,), "i8"),
        "numbers": ((NUM_CONTEXTS, 2), "i8"),
        "symbols": ((BASE, num), "u2"),
        "entries": ((NUM_CONTEXTS, num), "u1"),
        "values": ((BASE, num), "f8"),
        "dense": ((NUM_DENSE, num), "f8"),
        "weights": ((NUM_FEATURES,), "f8"),
        "chosen": ((NUM_FEATURES + 2,), "i8"),
        "experts": ((NUM_EXPERTS, num), "f8"),
    }
    return [Part(f"{prefix}.{name}", shape, dtype) for name, (shape, dtype) in shapes.items()]


def bind(views: dict[str, np.ndarray], prefix: str) -> SymbolState:
    """The state whose arrays are the block's views."""
    return SymbolState(*(views[f"{prefix}.{name}"] for name in SymbolState._fields))


def init(state: SymbolState) -> None:
    """The state before the first symbol, written into zeroed arrays."""
    state.history[:] = state.tallies.shape[1] - 1
    state.hits[:, :, 0] = 0.5
    state.hits[:, :, 1] = 1.0
    state.mean_squares[:] = 1.0
    state.credits[:] = 1.0 / NUM_EXPERTS


def num_places(size: int) -> int:
    """Length of the pool, without the last window."""
    return max(MIN_PLACES, PLACES_EACH * min(size, 128) + PLACES_EACH_BEYOND * max(size - 128, 0))


def history_length(size: int) -> int:
    """Length of the history, a power of two."""
    wanted = min(max(HISTORY_EACH * size, MIN_HISTORY), MAX_HISTORY)
    return 1 << (wanted.bit_length() - 1)


def state_bytes(size: int) -> int:
    """Bytes of the state of a target of `size` values."""
    return sum(math.prod(part.shape) * np.dtype(part.dtype).itemsize for part in parts("", size))
