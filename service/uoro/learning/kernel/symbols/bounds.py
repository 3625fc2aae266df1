"""What the compiled functions of a target rely on without looking: asked of states that came from outside.

They index arrays by what other arrays hold, and compiled code does not check an index.
"""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.symbols.contexts import CHECK_SHIFT, LATEST, MAX_COUNT, NUM_CHECKS
from uoro.learning.kernel.symbols.matches import MAX_LENGTH
from uoro.learning.kernel.symbols.state import (
    BASE,
    KNOWN,
    LENGTH,
    MATCH,
    NUM_FEATURES,
    NUM_KINDS,
    NUM_LENGTHS,
    NUM_MATCHES,
    NUM_ORDERS,
    NUM_TOTALS,
    POINTER,
    POSITION,
    RESETS,
    STEP,
    SymbolState,
    num_places,
)  # fmt: skip

MAX_NUM = 2**53
"""Of steps, positions and sums of counts: as far as float64 counts exactly."""


def unsound_part(state: SymbolState, known: int) -> str | None:
    """Name of the first array that holds what it cannot have come to, `known` values having a name; else None."""
    size = state.tallies.shape[1] - 1
    cursor, chosen, numbers = state.cursor, state.chosen, state.numbers
    pointers, lengths = cursor[POINTER : POINTER + NUM_MATCHES], cursor[LENGTH : LENGTH + NUM_MATCHES]
    are_sound = {
        "pool": np.all((state.pool == 0) | ((state.pool & MAX_COUNT > 0) & (state.pool >> CHECK_SHIFT > 0))),
        "history": np.all(state.history <= size),
        "cursor": cursor[KNOWN] == known
        and all(0 <= cursor[place] <= MAX_NUM for place in (POSITION, STEP, RESETS))
        and _within(pointers, 0, cursor[POSITION])
        and _within(lengths, 0, MAX_LENGTH),
        "tallies": _within(state.tallies, 0, MAX_NUM),
        "novelty": _within(state.novelty, 0, MAX_NUM),
        "hits": _within(state.hits, 0, MAX_NUM) and np.all(state.hits[..., 1] > 0),
        "mean_squares": _within(state.mean_squares, 0, np.inf),
        "credits": _within(state.credits, 0, 1 + 1e-9) and state.credits.sum() > 0.5,
        "windows": _within(state.windows, 0, num_places(size) - 1),
        "checks": _within(state.checks, 0, NUM_CHECKS),
        "numbers": _within(numbers[:, 0], 0, known + 1) and _within(numbers[:, 1], 0, MAX_COUNT * (size + 1)),
        "symbols": np.all(state.symbols <= size),
        "entries": np.all(state.entries <= LATEST + MAX_COUNT),
        "chosen": _within(chosen[:MATCH], 0, NUM_TOTALS * NUM_KINDS - 1)
        and _within(chosen[MATCH:BASE], 0, NUM_LENGTHS - 1)
        and not chosen[BASE:NUM_FEATURES].any()
        and 0 <= chosen[NUM_FEATURES] <= NUM_ORDERS
        and 0 <= chosen[NUM_FEATURES + 1] <= size,
        "experts": _within(state.experts, 0, 1 + 1e-9),
    }
    return next((name for name, is_sound in are_sound.items() if not is_sound), None)


def _within(values: np.ndarray, low: float, high: float) -> bool:
    return bool(np.all((values >= low) & (values <= high)))
