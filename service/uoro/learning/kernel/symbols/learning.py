"""Learning of one category target: one gradient step of the mixture, then the counts.

The mixture (mixture.py) learns by online gradient descent on -ln p(y), convex in its weights:

    -∂/∂w_i = f_i(y) - Σ_v p(v) f_i(v),    -∂/∂b_i[state] = Σ_{v in state} (1[v = y] - p(v))             (1)

A weight's step is its rate times (1) over the root mean square of (1). The rate falls like t^(-1/4) and stays
above a floor, so that the weights follow drift.

The mixture and the naive forecast are weighed by Bayes' rule with a small share dealt out evenly (Herbster &
Warmuth 1998), so the worse of them costs at most a few nats in all:

    c_e ← (1 - α)·c_e p_e(y) / Σ c p(y) + α/E                                                           (2)
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.symbols.buckets import state_of
from uoro.learning.kernel.symbols.contexts import count, mark_latest
from uoro.learning.kernel.symbols.state import (
    BASE,
    CONTINUATION,
    COUNT,
    FREQUENCY,
    KNOWN,
    LENGTH,
    MATCH,
    MIXTURE,
    NEW,
    NUM_CONTEXTS,
    NUM_DECAYED,
    NUM_EXPERTS,
    NUM_FEATURES,
    NUM_MATCHES,
    NUM_ORDERS,
    SEEN,
    SEPARATOR,
    STEP,
)  # fmt: skip

RATE, RATE_POWER, MIN_RATE = 0.02, 0.25, 0.0015
"""RATE/t^RATE_POWER, never below MIN_RATE (sweep: half or double costs 0.1 to 1 %)."""
SYMBOL_SHARE, BASE_SHARE = 0.5, 0.3
"""What of a step the weights by newest symbol, and the weights of ln p_0, take."""
MEAN_SQUARE_RATE = 0.002
MIN_MEAN_SQUARE = 1e-4
DECAYS = np.array([0.98, 0.995, 0.9])
"""Of the decayed frequencies: the last 50, 200 and 10 symbols."""
SHARE, MIN_SHARE = 0.5, 2e-4
"""α = SHARE/t, never below MIN_SHARE: 1e-4 nats a symbol, and any expert is back within 9 nats."""
NOVELTY_DECAY = 0.995
HIT_DECAY = 0.98
SEPARATOR_DECAY = 0.9999
NUM_NOVELTY_ORDERS = 2
"""Orders that also count "something new came", so that novelty is expected where it is usual."""


@jit
def learn(state, symbol):
    """Learn from the symbol that came, K if it had no name when it was forecast.

    Returns the index it has from now on: the next free one, or K if the vocabulary is full.
    """
    mixture = state.experts[MIXTURE]
    size = mixture.size - 1
    known = state.cursor[KNOWN]
    state.cursor[STEP] += 1
    share_credit(state, symbol)
    rate = max(RATE * state.cursor[STEP] ** -RATE_POWER, MIN_RATE)
    learn_contexts(state, mixture, symbol, rate)
    learn_matches(state, mixture, symbol, rate)
    for i in range(BASE, NUM_FEATURES):
        feature = state.dense[i - BASE]
        error = feature[symbol] - mixture[size] * feature[size]
        for v in range(known):
            error -= mixture[v] * feature[v]
        move(state, i, error, rate * (BASE_SHARE if i == BASE else 1.0))
    novelty = state.novelty
    novelty[NEW] = NOVELTY_DECAY * novelty[NEW] + (1.0 if symbol == size else 0.0)
    novelty[SEEN] = NOVELTY_DECAY * novelty[SEEN] + 1.0
    became = symbol
    if symbol == size and known < size:
        became = known
        state.cursor[KNOWN] = known + 1
        for i in range(NUM_NOVELTY_ORDERS):
            count(state.pool, size, state.windows[i, 0], state.windows[i, 1], state.checks[i], size)
    is_unseen = count_contexts(state, size, became)
    count_symbol(state.tallies, known, symbol, became, is_unseen)
    return became


@jit
def share_credit(state, symbol):
    """(2)."""
    total = 0.0
    for e in range(NUM_EXPERTS):
        state.credits[e] *= state.experts[e, symbol]
        total += state.credits[e]
    if total <= 0.0:
        state.credits[:] = 1.0
        total = float(NUM_EXPERTS)
    share = max(SHARE / (state.cursor[STEP] + 1.0), MIN_SHARE)
    for e in range(NUM_EXPERTS):
        state.credits[e] = (1.0 - share) * state.credits[e] / total + share / NUM_EXPERTS


@jit
def learn_contexts(state, p, symbol, rate):
    """(1) for the weights and biases of the contexts."""
    for i in range(NUM_CONTEXTS):
        num = state.numbers[i, 0]
        error = 0.0
        for j in range(num):
            s = state.symbols[i, j]
            surprise = (1.0 if s == symbol else 0.0) - p[s]
            error += surprise * state.values[i, j]
            state.biases[i, state_of(state.entries[i, j], num)] += rate * surprise
        if num > 0:
            move(state, i, error, rate)


@jit
def learn_matches(state, p, symbol, rate):
    """(1) for the weights of the matches, and how often matches of such a length hold."""
    for match in range(NUM_MATCHES):
        if state.cursor[LENGTH + match] > 0:
            i = MATCH + match
            s = state.symbols[i, 0]
            hit = 1.0 if s == symbol else 0.0
            move(state, i, (hit - p[s]) * state.values[i, 0], rate)
            hits = state.hits[match, state.chosen[i]]
            hits[0] = HIT_DECAY * hits[0] + hit
            hits[1] = HIT_DECAY * hits[1] + 1.0


@jit
def move(state, i, error, rate):
    """One step of a feature's three weights along `error` = -∂loss/∂w."""
    if not is_finite(error):
        return
    state.mean_squares[i] += MEAN_SQUARE_RATE * (error * error - state.mean_squares[i])
    step = rate * error / math.sqrt(state.mean_squares[i] + MIN_MEAN_SQUARE)
    state.by_confidence[i, state.chosen[i]] += step
    state.by_order[state.chosen[NUM_FEATURES], i] += step
    state.by_symbol[state.chosen[NUM_FEATURES + 1], i] += SYMBOL_SHARE * step


@jit
def count_contexts(state, size, became):
    """Count the symbol in every context, in the orders with update exclusion; returns whether no order knew it."""
    pool, windows, checks = state.pool, state.windows, state.checks
    is_unseen = True
    for k in range(NUM_CONTEXTS):
        i = NUM_ORDERS - 1 - k if k < NUM_ORDERS else k
        if i >= NUM_ORDERS or is_unseen:
            was_known = count(pool, size, windows[i, 0], windows[i, 1], checks[i], became)
            if i < NUM_ORDERS and was_known:
                is_unseen = False
        mark_latest(pool, windows[i, 0], windows[i, 1], checks[i], state.symbols[i], state.entries[i],
                    state.numbers[i, 0], became)  # fmt: skip
    return is_unseen


@jit
def count_symbol(tallies, known, symbol, became, is_unseen):
    """Count the symbol by itself: continuation, decayed frequencies, candidates for the separator."""
    tallies[COUNT, symbol] += 1.0
    if is_unseen:
        tallies[CONTINUATION, became] += 1.0
    for d in range(NUM_DECAYED):
        for v in range(known):
            tallies[FREQUENCY + d, v] *= DECAYS[d]
        tallies[FREQUENCY + d, became] += 1.0
    for v in range(known):
        tallies[SEPARATOR, v] *= SEPARATOR_DECAY
    tallies[SEPARATOR, became] += 1.0
