"""The UORO family in one pass over the parameters: k copies of (s̃, θ̃), with or without SnAp-1's S before them.

Without S (plain UORO, Tallec & Ollivier 2017; `uoro.learning.reference.estimators.uoro` has the equations), with it

    g  = ∂ℓ_{t+1}/∂s_{t+1} ∂F/∂θ + (Jᵀ ∂ℓ_{t+1}/∂s_{t+1}) S_t + λ/k Σ_i (∂ℓ_{t+1}/∂s_{t+1} · a_i) θ̃_i            (1)
    a_i = J s̃_i,   d_i = νᵢᵀ (J - D) S_t  (with S),   νᵢᵀ ∂F/∂θ  (without)                                        (2)
    ρ₀ = √((‖θ̃‖+ε)/(γ‖a‖+ε)),   ρ₁ = √((‖d‖+ε)/(‖ν‖+ε)),   s̃ ← ρ₀ γ a + ρ₁ ν,   θ̃ ← θ̃/ρ₀ + d/ρ₁                (3)
    S ← D S + own-unit part of ∂F/∂θ                                                                              (4)

λ is given, or taken from the data (`weigh`): with r_i the summand of copy i, E[r_i · r_j], i ≠ j, is the squared
signal of
the stochastic part and E‖r̄‖² signal and noise, so that λ* = E[r_i · r_j] / E‖r̄‖², both as exponentially weighted means,
the numerator less NUM_ERRORS of its standard errors and never below 0.

s̃ θ̃ᵀ stands for G in plain UORO and for the remainder R = G - S with S, R_{t+1} = J R_t + (J - D) S_t. Both are
unbiased for λ = γ = 1; k = 0 with S is "SnAp-1 behind one exact step". ‖d‖ is known before the pass: a norm of an outer
product, or with S a form in the norms of S by unit. So (1), the optimizer, (3) and (4) are one pass.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.jacobian import deltas, jvp, own_unit, vjp
from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.lanes import N, address, load, splat, spread, store, total
from uoro.learning.kernel.optimizers import TINY, move_lanes

EPSILON = np.float32(1e-7)
ZERO, ONE, TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)

SIGNAL, SIGNAL_SQUARE, TOTAL, COUNT, LAMBDA, NUM_STATISTICS = range(6)
"""What `weigh` keeps: means of r_i · r_j, of its square, of ‖r̄‖², how many there were, and the newest λ."""
STATISTICS_RATE = 0.001
NUM_ERRORS = 3.0
NUM_WARM_UP = 30.0
LARGEST = 1e150

NUM_MINE = 4
"""What a copy has of its own in a row: its weight in the gradient, 1/ρ₀, and the two factors of its d."""


class Memory(NamedTuple):
    """What the estimate remembers.

    Attributes:
        s_tilde: (k, c, H). theta_tilde: (k·P,). square_norms: (k,) ‖θ̃‖².
        pairs: (k // 2,) the products of the θ̃ of copies 0 and 1, 2 and 3, …
        S: (c·P,) SnAp-1's influence, or empty. S_norms: (c, c, H) the products of its parts, by unit.
        statistics: (NUM_STATISTICS,) what λ is taken from.
    """

    s_tilde: np.ndarray
    theta_tilde: np.ndarray
    square_norms: np.ndarray
    pairs: np.ndarray
    S: np.ndarray
    S_norms: np.ndarray
    statistics: np.ndarray


class Factors(NamedTuple):
    """What one pass over the parameters multiplies by.

    Attributes:
        loss_x, loss_h: (G·H,) of z in the gradient. back: (c, H) of S in it. weights: (k,) of θ̃ in it.
        by_x, by_h: (k, G·H) of z in d/ρ₁, without S. by_kept: (k, c, H) of S in it, with S.
        inverse_0: (k,) 1/ρ₀. own: (c, c, H) D.
    """

    loss_x: np.ndarray
    loss_h: np.ndarray
    back: np.ndarray
    weights: np.ndarray
    by_x: np.ndarray
    by_h: np.ndarray
    by_kept: np.ndarray
    inverse_0: np.ndarray
    own: np.ndarray


@jit
def roll(point, memory, nu, gamma, factors, a, new):
    """Set a (k, c, H), new s̃ (k, c, H) and the factors of d; the memory is not changed. False if not all is finite."""
    c, G, H = point.slope_h.shape
    has_S = memory.S.size > 0
    if has_S:
        own_unit(point, factors.own)
    x_square, h_square = square_of(point.z_x), square_of(point.z_h)
    noise = np.sqrt(np.float32(c * H))
    is_sound = True
    for i in range(nu.shape[0]):
        by_x, by_h, by_kept = factors.by_x[i], factors.by_h[i], factors.by_kept[i]
        jvp(point, memory.s_tilde[i], a[i])
        deltas(point.slope_h, nu[i], by_h)
        if has_S:
            vjp(point, nu[i], by_h, by_kept)
            d_square = _remainder(factors.own, nu[i], memory.S_norms, by_kept)
        else:
            deltas(point.slope_x, nu[i], by_x)
            d_square = square_of(by_x) * x_square + square_of(by_h) * h_square
        norm_a = gamma * np.sqrt(square_of(a[i].reshape(c * H)))
        rho_0 = np.sqrt((np.sqrt(memory.square_norms[i]) + EPSILON) / (norm_a + EPSILON))
        rho_1 = np.sqrt((np.sqrt(d_square) + EPSILON) / (noise + EPSILON))
        inverse_0, inverse_1 = ONE / rho_0, ONE / rho_1
        factors.inverse_0[i] = inverse_0
        for r in range(G * H):
            by_x[r] *= inverse_1
            by_h[r] *= inverse_1
        sum_ = inverse_0 + inverse_1
        for b in range(c):
            for u in range(H):
                by_kept[b, u] *= inverse_1
                new[i, b, u] = rho_0 * gamma * a[i, b, u] + rho_1 * nu[i, b, u]
                sum_ += new[i, b, u]
        is_sound = is_sound and is_finite(sum_)
    return is_sound


@jit
def family(point, memory, nu, w, has_loss, gamma, weight, descent):
    """One step of estimate and update, in place. False if a memory was not finite before (then nothing has moved) or
    S is not now: the caller empties the memories.

    nu (k, c, H) are the signs of this step; w (c, H) is ∂ℓ/∂s_{t+1}; a weight below 0 is taken from the data.
    """
    c, G, H = point.slope_h.shape
    k, num_rows = nu.shape[0], G * H
    has_S = memory.S.size > 0
    factors = Factors(
        np.zeros(num_rows, np.float32), np.zeros(num_rows, np.float32), np.zeros((c, H), np.float32),
        np.zeros(k, np.float32), np.zeros((k, num_rows), np.float32), np.zeros((k, num_rows), np.float32),
        np.zeros((k, c, H), np.float32), np.zeros(k, np.float32), np.zeros((c, c, H), np.float32),
    )  # fmt: skip
    a, new = np.empty((k, c, H), np.float32), np.empty((k, c, H), np.float32)
    is_sound = roll(point, memory, nu, gamma, factors, a, new)
    weights = factors.weights
    if has_loss:
        deltas(point.slope_x, w, factors.loss_x)
        deltas(point.slope_h, w, factors.loss_h)
        if has_S:
            vjp(point, w, factors.loss_h, factors.back)
        for i in range(k):
            for b in range(c):
                for u in range(H):
                    weights[i] += w[b, u] * a[i, b, u]
            is_sound = is_sound and is_finite(weights[i])
    if not is_sound:
        return False
    if has_loss and k > 1:
        chosen = weigh(weights, memory.square_norms, memory.pairs, memory.statistics)
        weights *= (np.float32(chosen) if weight < ZERO else weight) / np.float32(k)
    elif has_loss and k == 1:
        weights[0] *= max(weight, ZERO)
    if has_loss and descent.clip > 0.0:
        norm = gradient_norm(point, memory, factors)
        if norm > descent.clip:
            scale = np.float32(descent.clip / norm)
            factors.loss_x[:] *= scale
            factors.loss_h[:] *= scale
            factors.back[:] *= scale
            weights *= scale
    one_pass(point, memory, factors, has_loss, descent)
    memory.s_tilde[:] = new
    P = point.theta.size
    for i in range(k):
        memory.square_norms[i] = product(memory.theta_tilde, i * P, i * P, P)
    for p in range(memory.pairs.size):
        memory.pairs[p] = product(memory.theta_tilde, 2 * p * P, (2 * p + 1) * P, P)
    # S has no copies to speak for it: |D| > 1 makes it grow without bound, which only shows here.
    sum_ = ZERO
    for b in range(memory.S_norms.shape[0]):
        for u in range(H):
            sum_ += memory.S_norms[b, b, u]
    return is_finite(sum_)


@jit
def weigh(weights, square_norms, pairs, statistics):
    """λ from the data; weights (k,) are the ∂ℓ/∂s · a_i, so that r_i = weights[i] θ̃_i."""
    k = weights.size
    signal, squares = 0.0, 0.0
    for p in range(pairs.size):
        signal += float(weights[2 * p]) * float(weights[2 * p + 1]) * float(pairs[p])
    signal /= pairs.size
    for i in range(k):
        squares += float(weights[i]) * float(weights[i]) * float(square_norms[i])
    mean_square = (squares + k * (k - 1) * signal) / (k * k)
    if not abs(signal) + abs(mean_square) <= LARGEST:
        return statistics[LAMBDA]
    statistics[COUNT] += 1.0
    rate = max(1.0 / statistics[COUNT], STATISTICS_RATE)
    statistics[SIGNAL] += rate * (signal - statistics[SIGNAL])
    statistics[SIGNAL_SQUARE] += rate * (signal * signal - statistics[SIGNAL_SQUARE])
    statistics[TOTAL] += rate * (mean_square - statistics[TOTAL])
    error = math.sqrt(max(statistics[SIGNAL_SQUARE] - statistics[SIGNAL] ** 2, 0.0) * rate / 2.0)
    sure = statistics[SIGNAL] - NUM_ERRORS * error
    known = statistics[TOTAL] > 0.0 and statistics[COUNT] > NUM_WARM_UP
    statistics[LAMBDA] = min(1.0, max(0.0, sure / statistics[TOTAL])) if known else 0.0
    return statistics[LAMBDA]


@jit
def one_pass(point, memory, factors, has_loss, descent):
    """(1) and the optimizer, (3), (4), row by row, eight parameters at a time."""
    memory.S_norms[:] = ZERO
    num_kept = memory.S_norms.shape[0]
    if num_kept == 0:
        pass_plain(point, memory, factors, has_loss, descent)
    elif num_kept == 1:
        pass_behind(point, memory, factors, has_loss, descent)
    else:
        pass_behind_two(point, memory, factors, has_loss, descent)


@jit
def pass_plain(point, memory, factors, has_loss, descent):
    """Plain UORO: d's row is an outer product's."""
    theta, all_x, all_h = address(point.theta), address(point.z_x), address(point.z_h)
    theta_tilde, mean, square = address(memory.theta_tilde), address(descent.mean), address(descent.square)
    weights, inverse_0, by_x, by_h = factors.weights, factors.inverse_0, factors.by_x, factors.by_h
    losses_x, losses_h = factors.loss_x, factors.loss_h
    optimizer, rate, epsilon = descent.optimizer, descent.rate, descent.epsilon
    C, P, k, tiny = U(point.z_x.size), U(point.theta.size), U(weights.size), splat(TINY)
    mine = np.empty(weights.size * NUM_MINE, np.float32)
    own_factors = address(mine)
    for r in range(U(losses_x.size)):
        for i in range(k):
            m = i * U(NUM_MINE)
            mine[m], mine[m + U(1)], mine[m + U(2)], mine[m + U(3)] = weights[i], inverse_0[i], by_x[i, r], by_h[i, r]
        loss_x, loss_h = splat(losses_x[r]), splat(losses_h[r])
        for j in range(U(0), C, U(N)):
            at = r * C + j
            z_x, z_h = load(all_x, j), load(all_h, j)
            gradient = loss_x * z_x + loss_h * z_h + tiny
            for i in range(k):
                its, m = at + i * P, i * U(NUM_MINE)
                old = load(theta_tilde, its)
                gradient = gradient + spread(own_factors, m) * old
                d = spread(own_factors, m + U(2)) * z_x + spread(own_factors, m + U(3)) * z_h
                store(theta_tilde, its, spread(own_factors, m + U(1)) * old + d + tiny)
            if has_loss:
                move_lanes(optimizer, theta, at, gradient, mean, square, rate, epsilon)


@jit
def pass_behind(point, memory, factors, has_loss, descent):
    """Behind S, for cells with one vector of state: d's row is one of S."""
    theta, all_x, all_h, S = address(point.theta), address(point.z_x), address(point.z_h), address(memory.S)
    theta_tilde, mean, square = address(memory.theta_tilde), address(descent.mean), address(descent.square)
    weights, inverse_0, by_kept, losses_x, losses_h = (
        factors.weights, factors.inverse_0, factors.by_kept, factors.loss_x, factors.loss_h
    )  # fmt: skip
    backs, owns, slopes_x, slopes_h = factors.back[0], factors.own[0, 0], point.slope_x[0], point.slope_h[0]
    norms = memory.S_norms[0, 0]
    optimizer, rate, epsilon = descent.optimizer, descent.rate, descent.epsilon
    C, P, k, H, tiny = U(point.z_x.size), U(point.theta.size), U(weights.size), U(backs.size), splat(TINY)
    mine = np.empty(weights.size * NUM_MINE, np.float32)
    own_factors = address(mine)
    for r in range(U(losses_x.size)):
        g, u = r // H, r % H
        for i in range(k):
            m = i * U(NUM_MINE)
            mine[m], mine[m + U(1)], mine[m + U(2)] = weights[i], inverse_0[i], by_kept[i, U(0), u]
        loss_x, loss_h, back, own = splat(losses_x[r]), splat(losses_h[r]), splat(backs[u]), splat(owns[u])
        slope_x, slope_h, norm = splat(slopes_x[g, u]), splat(slopes_h[g, u]), splat(ZERO)
        for j in range(U(0), C, U(N)):
            at = r * C + j
            z_x, z_h, kept = load(all_x, j), load(all_h, j), load(S, at)
            gradient = loss_x * z_x + loss_h * z_h + back * kept + tiny
            for i in range(k):
                its, m = at + i * P, i * U(NUM_MINE)
                old = load(theta_tilde, its)
                gradient = gradient + spread(own_factors, m) * old
                store(
                    theta_tilde, its, spread(own_factors, m + U(1)) * old + spread(own_factors, m + U(2)) * kept + tiny
                )
            kept = own * kept + slope_x * z_x + slope_h * z_h + tiny
            store(S, at, kept)
            norm = norm + kept * kept
            if has_loss:
                move_lanes(optimizer, theta, at, gradient, mean, square, rate, epsilon)
        norms[u] += total(norm)


@jit
def pass_behind_two(point, memory, factors, has_loss, descent):
    """The same for h and c of an LSTM, whose slopes by z_x and by z_h are equal."""
    theta, all_x, all_h, S = address(point.theta), address(point.z_x), address(point.z_h), address(memory.S)
    theta_tilde, mean, square = address(memory.theta_tilde), address(descent.mean), address(descent.square)
    weights, inverse_0, by_kept, losses_x, losses_h = (
        factors.weights, factors.inverse_0, factors.by_kept, factors.loss_x, factors.loss_h
    )  # fmt: skip
    backs, own, slopes, norms = factors.back, factors.own, point.slope_x, memory.S_norms
    optimizer, rate, epsilon = descent.optimizer, descent.rate, descent.epsilon
    C, P, k, H, tiny = U(point.z_x.size), U(point.theta.size), U(weights.size), U(own.shape[2]), splat(TINY)
    h, c = U(0), U(1)
    mine = np.empty(weights.size * NUM_MINE, np.float32)
    own_factors = address(mine)
    for r in range(U(losses_x.size)):
        g, u = r // H, r % H
        for i in range(k):
            m = i * U(NUM_MINE)
            mine[m], mine[m + U(1)], mine[m + U(2)], mine[m + U(3)] = (
                weights[i], inverse_0[i], by_kept[i, h, u], by_kept[i, c, u]
            )  # fmt: skip
        loss_x, loss_h = splat(losses_x[r]), splat(losses_h[r])
        back_h, back_c, by_h, by_c = (
            splat(backs[h, u]),
            splat(backs[c, u]),
            splat(slopes[h, g, u]),
            splat(slopes[c, g, u]),
        )
        hh, hc, ch, cc = splat(own[h, h, u]), splat(own[h, c, u]), splat(own[c, h, u]), splat(own[c, c, u])
        norm_hh, norm_hc, norm_cc = splat(ZERO), splat(ZERO), splat(ZERO)
        for j in range(U(0), C, U(N)):
            at = r * C + j
            z_x, z_h, S_h, S_c = load(all_x, j), load(all_h, j), load(S, at), load(S, at + P)
            gradient = loss_x * z_x + loss_h * z_h + back_h * S_h + back_c * S_c + tiny
            for i in range(k):
                its, m = at + i * P, i * U(NUM_MINE)
                old = load(theta_tilde, its)
                gradient = gradient + spread(own_factors, m) * old
                d = spread(own_factors, m + U(2)) * S_h + spread(own_factors, m + U(3)) * S_c
                store(theta_tilde, its, spread(own_factors, m + U(1)) * old + d + tiny)
            z = z_x + z_h
            new_h, new_c = hh * S_h + hc * S_c + by_h * z + tiny, ch * S_h + cc * S_c + by_c * z + tiny
            store(S, at, new_h)
            store(S, at + P, new_c)
            norm_hh, norm_hc, norm_cc = norm_hh + new_h * new_h, norm_hc + new_h * new_c, norm_cc + new_c * new_c
            if has_loss:
                move_lanes(optimizer, theta, at, gradient, mean, square, rate, epsilon)
        norms[h, h, u] += total(norm_hh)
        norms[h, c, u] += total(norm_hc)
        norms[c, c, u] += total(norm_cc)


@jit
def product(values, first, second, size):
    """values[first : first + size] · values[second : second + size], size a multiple of lanes.N.

    Two sums side by side: one would wait for itself at every step.
    """
    even, odd, here = splat(ZERO), splat(ZERO), address(values)
    whole = size - size % (2 * N)
    for j in range(U(0), U(whole), U(2 * N)):
        even = even + load(here, U(first) + j) * load(here, U(second) + j)
        odd = odd + load(here, U(first) + j + U(N)) * load(here, U(second) + j + U(N))
    if whole < size:
        even = even + load(here, U(first + whole)) * load(here, U(second + whole))
    return total(even + odd)


@jit
def gradient_norm(point, memory, factors):
    """Norm of (1); only a clipped step asks for it."""
    num_columns, P = point.z_x.size, point.theta.size
    H = point.slope_x.shape[2]
    sum_ = 0.0
    for r in range(factors.loss_x.size):
        for j in range(num_columns):
            at = r * num_columns + j
            g = factors.loss_x[r] * point.z_x[j] + factors.loss_h[r] * point.z_h[j]
            for b in range(memory.S.size // P):
                g += factors.back[b, r % H] * memory.S[b * P + at]
            for i in range(factors.weights.size):
                g += factors.weights[i] * memory.theta_tilde[i * P + at]
            sum_ += g * g
    return math.sqrt(sum_)


@jit
def _remainder(own, nu, S_norms, by_kept):
    """by_kept ← νᵀ(J - D) where it was νᵀJ; returns ‖νᵀ(J - D) S‖²."""
    c, H = nu.shape
    sum_ = ZERO
    for u in range(H):
        for b in range(c):
            for d in range(c):
                by_kept[b, u] -= own[d, b, u] * nu[d, u]
        for b in range(c):
            sum_ += by_kept[b, u] * by_kept[b, u] * S_norms[b, b, u]
            for d in range(b + 1, c):
                sum_ += TWO * by_kept[b, u] * by_kept[d, u] * S_norms[b, d, u]
    return max(sum_, ZERO)


@jit
def square_of(v):
    """v · v, in four sums side by side."""
    s0, s1, s2, s3 = ZERO, ZERO, ZERO, ZERO
    whole = U(v.size - v.size % 4)
    for j in range(U(0), whole, U(4)):
        s0 += v[j] * v[j]
        s1 += v[j + U(1)] * v[j + U(1)]
        s2 += v[j + U(2)] * v[j + U(2)]
        s3 += v[j + U(3)] * v[j + U(3)]
    for j in range(whole, U(v.size)):
        s0 += v[j] * v[j]
    return (s0 + s1) + (s2 + s3)
