"""What speaks for each symbol: the features of `mixture`, from counts, repeats, decayed frequencies and the core.

Base: continuation counts of order 0 with absolute discounting, f = ln p_0(v); p_0(K) is the rate at which
new values came. An order o interpolates with the next lower one (Ney, Essen & Kneser 1994),

    p_o(v) = (max(c(v) - d, 0) + d·u·p_{o-1}(v)) / n       n = Σc, u = how many c > 0                    (1)
    f_o(v) = ln p_o(v)/p_{o-1}(v) - ln d·u/n = ln(1 + (c(v) - d) / (d·u·p_{o-1}(v))),  0 where c(v) = 0    (2)

so Σ f_o over the orders, on top of the base, is the Kneser-Ney forecast itself. The other contexts use (2) with p_0
below them. A match says "s came then": f(s) = ln(1 + q / ((1 - q)·p_6(s))), q = how often matches of that length
held. Decayed frequencies F of three horizons: f(v) = ln(1 + F(v) / (p_0(v)·(1/2 + ΣF/20))). The recurrent core:
f(v) = its ln softmax.
"""

from __future__ import annotations

import math

from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.symbols.buckets import confidence, length_bucket
from uoro.learning.kernel.symbols.contexts import MAX_COUNT, gather, locate, newest
from uoro.learning.kernel.symbols.state import (
    BASE,
    CONTINUATION,
    FREQUENCY,
    LENGTH,
    MATCH,
    NEW,
    NUM_CONTEXTS,
    NUM_DECAYED,
    NUM_FEATURES,
    NUM_MATCHES,
    NUM_ORDERS,
    POINTER,
    POSITION,
    RECURRENT,
    SEEN,
)  # fmt: skip

DISCOUNT = 0.75
"""Sweep .6 … .85: within 0.2 %, the weights make up for it."""
MAX_NOVELTY, MIN_NOVELTY = 0.5, 1e-6
TINY = 1e-9
MAX_HOLD = 0.9999
MIN_LOG = -40.0


@jit
def order_zero(tallies, novelty, known, size, out):
    """p_0: (1) over equal chances, and the rate of new values."""
    total = 0.0
    for v in range(known):
        total += tallies[CONTINUATION, v]
    total = max(total, 1.0)
    new = min(max((novelty[NEW] + 0.5) / (novelty[SEEN] + 1.0), MIN_NOVELTY), MAX_NOVELTY) if known > 0 else 1.0
    for v in range(known):
        p = (max(tallies[CONTINUATION, v] - DISCOUNT, 0.0) + DISCOUNT) / total
        out[v] = (1.0 - new) * max(p, TINY)
    out[size] = new


@jit
def set_dense(state, core, known, size, base):
    """Features of every symbol: ln p_0, the decayed frequencies, the core."""
    dense, tallies = state.dense, state.tallies
    for v in range(known):
        dense[0, v] = math.log(base[v])
    dense[0, size] = math.log(base[size])
    for d in range(NUM_DECAYED):
        mass = 0.0
        for v in range(known):
            mass += tallies[FREQUENCY + d, v]
        scale = 1.0 / (0.5 + 0.05 * mass)
        for v in range(known):
            dense[1 + d, v] = math.log(1.0 + scale * tallies[FREQUENCY + d, v] / base[v])
        dense[1 + d, size] = 0.0
    log_softmax(core, known, size, dense[RECURRENT - BASE])


@jit
def log_softmax(logits, known, size, out):
    """ln of the core's own probabilities; equal chances, which is no opinion, where its logits are not finite."""
    top = float(logits[size])
    for v in range(known):
        top = max(top, float(logits[v]))
    total = math.exp(logits[size] - top)
    for v in range(known):
        total += math.exp(logits[v] - top)
    shift = top + math.log(total)
    if is_finite(shift):
        for v in range(known):
            out[v] = max(logits[v] - shift, MIN_LOG)
        out[size] = max(logits[size] - shift, MIN_LOG)
    else:
        out[:known] = -math.log(known + 1.0)
        out[size] = -math.log(known + 1.0)


@jit
def find_contexts(state, known, size):
    """Look every context up, and choose the features' buckets."""
    cursor, chosen, numbers = state.cursor, state.chosen, state.numbers
    locate(state.history, cursor, state.pool.size - size - 1, state.windows, state.checks)
    highest = 0
    for i in range(NUM_CONTEXTS):
        num, n = gather(state.pool, known, size, state.windows[i, 0], state.windows[i, 1], state.checks[i],
                        state.symbols[i], state.entries[i])  # fmt: skip
        numbers[i, 0] = num
        numbers[i, 1] = n
        chosen[i] = confidence(n, num)
        if num > 0 and i < NUM_ORDERS:
            highest = i + 1
    for match in range(NUM_MATCHES):
        chosen[MATCH + match] = length_bucket(cursor[LENGTH + match])
    chosen[BASE:NUM_FEATURES] = 0
    chosen[NUM_FEATURES] = highest
    chosen[NUM_FEATURES + 1] = newest(state.history, cursor[POSITION], 1)


@jit
def set_values(state, i, lower):
    """(2) of a context's symbols."""
    num = state.numbers[i, 0]
    for j in range(num):
        c = state.entries[i, j] & MAX_COUNT
        state.values[i, j] = math.log(1.0 + (c - DISCOUNT) / (DISCOUNT * num * lower[state.symbols[i, j]]))


@jit
def interpolate(state, i, known, size, lower):
    """(1): from p_{o-1} to p_o, in place."""
    num, n = state.numbers[i, 0], state.numbers[i, 1]
    if num == 0:
        return
    share = DISCOUNT * num / n
    for v in range(known):
        lower[v] *= share
    lower[size] *= share
    for j in range(num):
        lower[state.symbols[i, j]] += ((state.entries[i, j] & MAX_COUNT) - DISCOUNT) / n


@jit
def set_matches(state, size, lower):
    """What each match foretells."""
    for match in range(NUM_MATCHES):
        i = MATCH + match
        state.values[i, 0] = 0.0
        state.symbols[i, 0] = size
        if state.cursor[LENGTH + match] > 0:
            s = newest(state.history, state.cursor[POINTER + match], 0)
            hits = state.hits[match, state.chosen[i]]
            q = min(hits[0] / hits[1], MAX_HOLD)
            state.symbols[i, 0] = s
            state.values[i, 0] = math.log(1.0 + q / ((1.0 - q) * max(lower[s], TINY)))
