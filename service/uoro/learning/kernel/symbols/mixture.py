"""The forecast of one category target: features by symbol, mixed in the exponent.

For the known symbols v and "none of them" (index K) the mixture is a softmax over sums of features,

    p(v) = exp z(v) / Σ exp z,    z(v) = Σ_i w_i f_i(v) + Σ_i b_i[state of v in context i]               (1)

w_i is a sum of three, each looked up in a table of its own: by the feature's confidence (n and u of its
context, length of its match), by the highest order that knows its context, and by the newest symbol, as
PAQ's mixers choose their weights (Mahoney 2005), but for the whole alphabet at once. It starts at 1 for the base
and every order, which is the Kneser-Ney forecast (features.py), at PRIOR for matches and core, and else at 0.

What is said is this mixture and the naive forecast, each by its credit (learning.py): where nothing can be
learned from the past, the naive forecast is the better one.
"""

from __future__ import annotations

import math

from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.symbols.buckets import state_of
from uoro.learning.kernel.symbols.features import (
    find_contexts,
    interpolate,
    log_softmax,
    order_zero,
    set_dense,
    set_matches,
    set_values,
)
from uoro.learning.kernel.symbols.matches import advance
from uoro.learning.kernel.symbols.state import (
    BASE,
    COUNT,
    FREQUENCIES,
    KNOWN,
    MATCH,
    MIXTURE,
    NUM_CONTEXTS,
    NUM_EXPERTS,
    NUM_FEATURES,
    NUM_ORDERS,
    RECURRENT,
    RESETS,
)  # fmt: skip

MIN_PROBABILITY = 1e-6
"""Every symbol keeps at least this much of the mixture."""
HALF_COUNT = 0.5
MATCH_PRIOR, CORE_PRIOR = 0.3, 0.15
"""First weights; 0 … 0.5 is the same within 0.01 %."""
MISSING = -1


@jit
def listen(state, symbol, known, core, probabilities):
    """Take the newest symbol in, MISSING for none, and forecast the next: one call instead of two."""
    if symbol != MISSING:
        advance(state, symbol, known)
    forecast(state, core, probabilities)


@jit
def forecast(state, core, probabilities):
    """Set `probabilities` (K+1,) of the next symbol; `core` (K+1,) are the core's logits.

    Fills the state's arrays of the pending forecast; nothing that was learned moves.
    """
    size = probabilities.size - 1
    known = state.cursor[KNOWN]
    state.experts[:] = 0.0
    lower = state.experts[MIXTURE]  # p_{o-1}, until it becomes z and then p
    order_zero(state.tallies, state.novelty, known, size, lower)
    set_dense(state, core, known, size, lower)
    find_contexts(state, known, size)
    highest, last = state.chosen[NUM_FEATURES], state.chosen[NUM_FEATURES + 1]
    for i in range(NUM_FEATURES):
        state.weights[i] = (prior_weight(i) + state.by_confidence[i, state.chosen[i]]
                            + state.by_order[highest, i] + state.by_symbol[last, i])  # fmt: skip
    for i in range(NUM_ORDERS, NUM_CONTEXTS):
        set_values(state, i, lower)
    for i in range(NUM_ORDERS):
        set_values(state, i, lower)
        interpolate(state, i, known, size, lower)
    set_matches(state, size, lower)
    add_up(state, known, size, lower)
    if not softmax(lower, known, size):
        start_afresh(state)
        for v in range(known):
            lower[v] = state.dense[0, v]
        lower[size] = state.dense[0, size]
        softmax(lower, known, size)
    set_frequencies(state.tallies[COUNT], known, size, state.experts[FREQUENCIES])
    for v in range(size + 1):
        probabilities[v] = 0.0
        for e in range(NUM_EXPERTS):
            probabilities[v] += state.credits[e] * state.experts[e, v]


@jit
def forecast_alone(counts, known, core, log_core, frequencies, probabilities):
    """The core's softmax as the whole forecast, and the naive one to judge it by; all (K+1,)."""
    size = probabilities.size - 1
    log_softmax(core, known, size, log_core)
    set_frequencies(counts, known, size, frequencies)
    probabilities[:] = 0.0
    # log_core has a floor, so what it stands for may sum to a little more than 1.
    total = math.exp(log_core[size])
    for v in range(known):
        total += math.exp(log_core[v])
    for v in range(known):
        probabilities[v] = math.exp(log_core[v]) / total
    probabilities[size] = math.exp(log_core[size]) / total


@jit
def slopes(log_core, known, symbol, out):
    """out (K+1,) ← softmax - onehot, ∂loss/∂logit of the core's own forecast; 0 for classes without a name."""
    size = out.size - 1
    out[:] = 0.0
    for v in range(known):
        out[v] = math.exp(log_core[v])
    out[size] = math.exp(log_core[size])
    out[symbol] -= 1.0


@jit
def set_frequencies(counts, known, size, out):
    """Running class frequencies with half a count for each class (Krichevsky & Trofimov 1981): the naive forecast."""
    total = counts[size]
    for v in range(known):
        total += counts[v]
    scale = 1.0 / (total + HALF_COUNT * (known + 1))
    for v in range(known):
        out[v] = (counts[v] + HALF_COUNT) * scale
    out[size] = (counts[size] + HALF_COUNT) * scale


@jit
def prior_weight(feature):
    """The weight a feature starts from."""
    if feature < NUM_ORDERS or feature == BASE:
        return 1.0
    if feature == RECURRENT:
        return CORE_PRIOR
    return MATCH_PRIOR if MATCH <= feature < BASE else 0.0


@jit
def start_afresh(state):
    """Weights beyond the range of numbers: the mixture is learned anew."""
    state.cursor[RESETS] += 1
    state.by_confidence[:] = 0.0
    state.by_order[:] = 0.0
    state.by_symbol[:] = 0.0
    state.biases[:] = 0.0
    state.weights[:] = 0.0
    state.values[:] = 0.0


@jit
def add_up(state, known, size, z):
    """(1): the exponents."""
    weights, dense, values, symbols, entries = state.weights, state.dense, state.values, state.symbols, state.entries
    for v in range(known + 1):
        s = v if v < known else size
        acc = 0.0
        for i in range(BASE, NUM_FEATURES):
            acc += weights[i] * dense[i - BASE, s]
        z[s] = acc
    for i in range(NUM_CONTEXTS):
        num = state.numbers[i, 0]
        for j in range(num):
            z[symbols[i, j]] += weights[i] * values[i, j] + state.biases[i, state_of(entries[i, j], num)]
    for i in range(MATCH, BASE):
        z[symbols[i, 0]] += weights[i] * values[i, 0]


@jit
def softmax(z, known, size):
    """In place over the known symbols and "none of them"; returns False, and does nothing, if z is not finite."""
    top = z[size]
    for v in range(known):
        top = max(top, z[v])
    total = math.exp(z[size] - top)
    for v in range(known):
        total += math.exp(z[v] - top)
    if not is_finite(total):
        return False
    scale = (1.0 - MIN_PROBABILITY * (known + 1)) / total
    for v in range(known):
        z[v] = math.exp(z[v] - top) * scale + MIN_PROBABILITY
    z[size] = math.exp(z[size] - top) * scale + MIN_PROBABILITY
    return True
