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
product, or with S a form in the norms of S by unit. So (1), the optimizer, (3), (4) and the next norms are one pass.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.jacobian import deltas, jvp, own_unit, vjp
from uoro.learning.kernel.jit import inlined, is_finite, jit
from uoro.learning.kernel.optimizers import ADAM, KEEP_1, KEEP_2, TINY, move

EPSILON = np.float32(1e-7)
ZERO, ONE, TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)

SIGNAL, SIGNAL_SQUARE, TOTAL, COUNT, LAMBDA, NUM_STATISTICS = range(6)
"""What `weigh` keeps: means of r_i · r_j, of its square, of ‖r̄‖², how many there were, and the newest λ."""
STATISTICS_RATE = 0.001
NUM_ERRORS = 3.0
NUM_WARM_UP = 30.0
LARGEST = 1e150


@jit
def roll(W, num_inputs, z, slopes, s_tilde, square_norms, nu, has_S, S_norms, gamma):
    """What the pass needs, from the state before it; nothing is changed.

    Returns (is_sound, a (k, c, H), new s̃ (k, c, H), 1/ρ₀ and 1/ρ₁ (k,), by_x and by_h (k, G·H), by_S (k, c, H),
    own (c, c, H)): the factors of d are by_x, by_h without S and by_S with it.
    """
    slope_x, slope_h, direct = slopes
    c, G, H = slope_x.shape
    k = s_tilde.shape[0]
    a = np.empty((k, c, H), np.float32)
    new = np.empty((k, c, H), np.float32)
    inverse_0, inverse_1 = np.empty(k, np.float32), np.empty(k, np.float32)
    by_x, by_h = np.empty((k, G * H), np.float32), np.empty((k, G * H), np.float32)
    by_S = np.empty((k, c, H), np.float32)
    own = np.zeros((c, c, H), np.float32)
    if has_S:
        own_unit(W, num_inputs, slope_h, direct, own)
    x_square, h_square = _square(z[0]), _square(z[1])
    is_sound = True
    for i in range(k):
        jvp(W, num_inputs, slope_h, direct, s_tilde[i], a[i])
        deltas(slope_h, nu[i], by_h[i])
        if has_S:
            vjp(W, num_inputs, direct, nu[i], by_h[i], by_S[i])
            d_square = _remainder(own, nu[i], S_norms, by_S[i])
        else:
            deltas(slope_x, nu[i], by_x[i])
            d_square = _square(by_x[i]) * x_square + _square(by_h[i]) * h_square
        norm_a = gamma * np.sqrt(_square(a[i].reshape(c * H)))
        rho_0 = np.sqrt((np.sqrt(square_norms[i]) + EPSILON) / (norm_a + EPSILON))
        rho_1 = np.sqrt((np.sqrt(d_square) + EPSILON) / (np.float32(math.sqrt(c * H)) + EPSILON))
        inverse_0[i], inverse_1[i] = ONE / rho_0, ONE / rho_1
        total = inverse_0[i] + inverse_1[i]
        for b in range(c):
            for u in range(H):
                new[i, b, u] = rho_0 * gamma * a[i, b, u] + rho_1 * nu[i, b, u]
                total += new[i, b, u]
        is_sound = is_sound and is_finite(total)
    return is_sound, a, new, inverse_0, inverse_1, by_x, by_h, by_S, own


@jit
def family(
    W, num_inputs, z, slopes, w, has_loss, s_tilde, theta_tilde, square_norms, pairs, nu, S, S_norms, gamma, weight,
    statistics,
    optimizer, theta, mean, square, rate, epsilon, clip
):  # fmt: skip
    """One step of estimate and update, in place. False if a memory was not finite before (then nothing has moved) or
    S is not now: the caller empties the memories.

    W (G·H, C) is theta, flat; theta_tilde (k·P,) and S (c·P,) are flat; z = (z_x, z_h) each (C,); w (c, H)
    is ∂ℓ/∂s_{t+1}; square_norms (k,) are ‖θ̃‖², pairs (k // 2,) the products of copies
    0 and 1, 2 and 3, …; a weight below 0 is taken from the data, kept in statistics; S_norms (c, c, H) are the
    products of S's parts, by unit.
    """
    num_rows, num_columns = W.shape
    slope_x, slope_h, direct = slopes
    c, _, H = slope_x.shape
    k = s_tilde.shape[0]
    has_S = S.size > 0
    is_sound, a, new, inverse_0, inverse_1, by_x, by_h, by_S, own = roll(
        W, num_inputs, z, slopes, s_tilde, square_norms, nu, has_S, S_norms, gamma
    )
    loss_x, loss_h = np.zeros(num_rows, np.float32), np.zeros(num_rows, np.float32)
    back = np.zeros((c, H), np.float32)
    weights = np.zeros(k, np.float32)
    if has_loss:
        deltas(slope_x, w, loss_x)
        deltas(slope_h, w, loss_h)
        if has_S:
            vjp(W, num_inputs, direct, w, loss_h, back)
        for i in range(k):
            for b in range(c):
                for u in range(H):
                    weights[i] += w[b, u] * a[i, b, u]
            is_sound = is_sound and is_finite(weights[i])
    if not is_sound:
        return False
    if has_loss and k > 1:
        chosen = weigh(weights, square_norms, pairs, statistics)
        weights *= (np.float32(chosen) if weight < ZERO else weight) / np.float32(k)
    elif has_loss and k == 1:
        weights[0] *= max(weight, ZERO)
    if has_loss and clip > 0.0:
        norm = gradient_norm(num_columns, H, z, loss_x, loss_h, back, S, weights, theta_tilde)
        if norm > clip:
            scale = np.float32(clip / norm)
            loss_x *= scale
            loss_h *= scale
            back *= scale
            weights *= scale
    square_norms[:] = ZERO
    pairs[:] = ZERO
    S_norms[:] = ZERO
    if k == 1 and not has_S and has_loss and optimizer == ADAM:
        square_norms[0] = plain_adam(
            num_columns, theta, theta_tilde, mean, square, z, loss_x, loss_h, weights[0],
            by_x[0], by_h[0], inverse_0[0], inverse_1[0], rate, epsilon
        )  # fmt: skip
    else:
        row = np.empty(num_columns, np.float32)
        for r in range(num_rows):
            g, u = r // H, r % H
            base = U(r * num_columns)
            start_row(row, z, loss_x[r], loss_h[r])
            for i in range(k):
                its = base + U(i * theta.size)
                if has_S:
                    square_norms[i] += roll_remainder(
                        row, theta_tilde, its, S, base, theta.size, by_S[i, 0, u], by_S[i, c - 1, u], c,
                        weights[i], inverse_0[i], inverse_1[i]
                    )  # fmt: skip
                else:
                    square_norms[i] += roll_outer(
                        row, theta_tilde, its, z, by_x[i, r], by_h[i, r], weights[i], inverse_0[i], inverse_1[i]
                    )
                if i % 2 == 1:
                    pairs[i // 2] += product(theta_tilde, its, its - U(theta.size), num_columns)
            if has_S:
                if c == 1:
                    S_norms[0, 0, u] += roll_S(
                        row, S, base, z, back[0, u], own[0, 0, u], slope_x[0, g, u], slope_h[0, g, u]
                    )
                else:
                    hh, hc, cc = roll_S_pair(
                        row, S, base, theta.size, z, back[0, u], back[1, u], own, u, slope_x[0, g, u], slope_x[1, g, u]
                    )
                    S_norms[0, 0, u] += hh
                    S_norms[0, 1, u] += hc
                    S_norms[1, 1, u] += cc
            if has_loss:
                move(optimizer, theta, base, row, mean, square, rate, epsilon)
    s_tilde[:] = new
    # S has no copies to speak for it: |D| > 1 makes it grow without bound, which only shows here.
    total = ZERO
    for b in range(S_norms.shape[0]):
        for u in range(H):
            total += S_norms[b, b, u]
    return is_finite(total)


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
    total = (squares + k * (k - 1) * signal) / (k * k)
    if not abs(signal) + abs(total) <= LARGEST:
        return statistics[LAMBDA]
    statistics[COUNT] += 1.0
    rate = max(1.0 / statistics[COUNT], STATISTICS_RATE)
    statistics[SIGNAL] += rate * (signal - statistics[SIGNAL])
    statistics[SIGNAL_SQUARE] += rate * (signal * signal - statistics[SIGNAL_SQUARE])
    statistics[TOTAL] += rate * (total - statistics[TOTAL])
    error = math.sqrt(max(statistics[SIGNAL_SQUARE] - statistics[SIGNAL] ** 2, 0.0) * rate / 2.0)
    sure = statistics[SIGNAL] - NUM_ERRORS * error
    known = statistics[TOTAL] > 0.0 and statistics[COUNT] > NUM_WARM_UP
    statistics[LAMBDA] = min(1.0, max(0.0, sure / statistics[TOTAL])) if known else 0.0
    return statistics[LAMBDA]


@inlined
def product(values, first, second, size):
    """values[first : first + size] · values[second : second + size].

    Four sums side by side: in strict arithmetic one sum would wait for itself at every step.
    """
    s0, s1, s2, s3 = ZERO, ZERO, ZERO, ZERO
    whole = size - size % 4
    for j in range(0, whole, 4):
        s0 += values[first + U(j)] * values[second + U(j)]
        s1 += values[first + U(j + 1)] * values[second + U(j + 1)]
        s2 += values[first + U(j + 2)] * values[second + U(j + 2)]
        s3 += values[first + U(j + 3)] * values[second + U(j + 3)]
    for j in range(whole, size):
        s0 += values[first + U(j)] * values[second + U(j)]
    return (s0 + s1) + (s2 + s3)


@inlined
def start_row(row, z, by_x, by_h):
    """row ← the outer product's row."""
    z_x, z_h = z
    for j in range(row.size):
        row[U(j)] = by_x * z_x[U(j)] + by_h * z_h[U(j)]


@inlined
def roll_outer(row, theta_tilde, its, z, by_x, by_h, weight, inverse_0, inverse_1):
    """row += weight θ̃, then θ̃ ← θ̃/ρ₀ + d/ρ₁ with d's row an outer product's; returns the new square norm."""
    z_x, z_h = z
    by_x, by_h = inverse_1 * by_x, inverse_1 * by_h
    for j in range(row.size):
        at = its + U(j)
        old = theta_tilde[at]
        row[U(j)] += weight * old
        theta_tilde[at] = inverse_0 * old + by_x * z_x[U(j)] + by_h * z_h[U(j)] + TINY
    return product(theta_tilde, its, its, row.size)


@inlined
def roll_remainder(row, theta_tilde, its, S, base, size, by_0, by_1, c, weight, inverse_0, inverse_1):
    """The same with d's row a combination of S's rows."""
    by_0, by_1 = inverse_1 * by_0, inverse_1 * by_1
    if c == 1:
        for j in range(row.size):
            at = its + U(j)
            old = theta_tilde[at]
            row[U(j)] += weight * old
            theta_tilde[at] = inverse_0 * old + by_0 * S[base + U(j)] + TINY
    else:
        second = base + U(size)
        for j in range(row.size):
            at = its + U(j)
            old = theta_tilde[at]
            row[U(j)] += weight * old
            theta_tilde[at] = inverse_0 * old + by_0 * S[base + U(j)] + by_1 * S[second + U(j)] + TINY
    return product(theta_tilde, its, its, row.size)


@inlined
def roll_S(row, S, base, z, back, own, by_x, by_h):
    """row += back S, then (4) for one vector of state; returns the new square norm."""
    z_x, z_h = z
    for j in range(row.size):
        at = base + U(j)
        old = S[at]
        row[U(j)] += back * old
        S[at] = own * old + by_x * z_x[U(j)] + by_h * z_h[U(j)] + TINY
    return product(S, base, base, row.size)


@inlined
def roll_S_pair(row, S, base, size, z, back_0, back_1, own, u, by_0, by_1):
    """The same for h and c of an LSTM, whose slopes by x and by h are equal; returns the three products."""
    z_x, z_h = z
    other = base + U(size)
    a, b, d, e = own[0, 0, u], own[0, 1, u], own[1, 0, u], own[1, 1, u]
    for j in range(row.size):
        old_0, old_1 = S[base + U(j)], S[other + U(j)]
        row[U(j)] += back_0 * old_0 + back_1 * old_1
        both = z_x[U(j)] + z_h[U(j)]
        S[base + U(j)] = a * old_0 + b * old_1 + by_0 * both + TINY
        S[other + U(j)] = d * old_0 + e * old_1 + by_1 * both + TINY
    size = row.size
    return product(S, base, base, size), product(S, base, other, size), product(S, other, other, size)


@jit
def plain_adam(
    num_columns, theta, theta_tilde, mean, square, z, loss_x, loss_h, weight, by_x, by_h, inverse_0, inverse_1, rate,
    epsilon
):  # fmt: skip
    """The commonest member, one copy without S under adam, in a single loop; returns ‖θ̃‖²."""
    z_x, z_h = z
    total = ZERO
    for r in range(loss_x.size):
        base = U(r * num_columns)
        row_x, row_h = loss_x[r], loss_h[r]
        new_x, new_h = inverse_1 * by_x[r], inverse_1 * by_h[r]
        for j in range(num_columns):
            at = base + U(j)
            old = theta_tilde[at]
            g = row_x * z_x[U(j)] + row_h * z_h[U(j)] + weight * old
            moment = mean[at] + KEEP_1 * (g - mean[at]) + TINY
            second = square[at] + KEEP_2 * (g * g - square[at]) + TINY
            mean[at] = moment
            square[at] = second
            theta[at] -= rate * moment / (np.sqrt(second) + epsilon)
            new = inverse_0 * old + new_x * z_x[U(j)] + new_h * z_h[U(j)] + TINY
            theta_tilde[at] = new
        total += product(theta_tilde, base, base, num_columns)
    return total


@jit
def gradient_norm(num_columns, H, z, loss_x, loss_h, back, S, weights, theta_tilde):
    """Norm of (1); only a clipped step asks for it."""
    z_x, z_h = z
    size = loss_x.size * num_columns
    total = 0.0
    for r in range(loss_x.size):
        for j in range(num_columns):
            at = r * num_columns + j
            g = loss_x[r] * z_x[j] + loss_h[r] * z_h[j]
            for b in range(S.size // size):
                g += back[b, r % H] * S[b * size + at]
            for i in range(weights.size):
                g += weights[i] * theta_tilde[i * size + at]
            total += g * g
    return math.sqrt(total)


@jit
def _remainder(own, nu, S_norms, by_S):
    """by_S ← νᵀ(J - D) where it was νᵀJ; returns ‖νᵀ(J - D) S‖²."""
    c, H = nu.shape
    total = ZERO
    for u in range(H):
        for b in range(c):
            for d in range(c):
                by_S[b, u] -= own[d, b, u] * nu[d, u]
        for b in range(c):
            total += by_S[b, u] * by_S[b, u] * S_norms[b, b, u]
            for d in range(b + 1, c):
                total += TWO * by_S[b, u] * by_S[d, u] * S_norms[b, d, u]
    return max(total, ZERO)


@jit
def _square(v):
    total = ZERO
    for j in range(v.size):
        total += v[j] * v[j]
    return total
