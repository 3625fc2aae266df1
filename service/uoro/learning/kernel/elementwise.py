"""The linear recurrent unit and how it learns, as in `uoro.learning.reference.lru` (equations (1) to (3) there).

Each parameter touches one unit only, so ∂s/∂θ is exact in O(p). F is holomorphic in B, hence ∂z/∂Im B_j = i ∂z/∂Re B_j
for good, and one complex trace a complex weight is all there is to keep, beside those of ν and φ:

    E ← λ E + ∂F        for B_1 … B_I, the bias, ν, φ: K = I + 3 traces a unit                                      (1)
    ∂ℓ/∂Re B_j = β Re E_j    ∂ℓ/∂Im B_j = -β Im E_j    ∂ℓ/∂ν, ∂ℓ/∂φ = β Re E_ν, β Re E_φ    β = (1 - h²) ∂ℓ/∂h     (2)

Everything lies in rows of H units, so that loops over units vectorise in strict arithmetic. Shapes: theta, flat rows
(2 (I + 1) + 2, H); state, previous (3·H,) of [h; Re z; Im z]; activations (6·H,) of Re λ, Im λ, γ, e^ν, Re d, Im d;
traces (2, K, H), flat, real and imaginary; slopes (5, H), what `linearize` makes.
"""

from __future__ import annotations

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.elementary import cosine_and_sine, exp, tanh
from uoro.learning.kernel.family import weigh
from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.optimizers import TINY

LRU = 4
"""Its number among the cells; `kernel.cells` has the others."""
FLOOR, LARGEST_NU = np.float32(2.0**-12), np.float32(3.0)
EPSILON = np.float32(1e-7)
MAX_FLOAT32 = np.float32(3.4028234663852886e38)
ZERO, ONE = np.float32(0.0), np.float32(1.0)
TANH, NU_RE, NU_IM, PHASE_RE, PHASE_IM, NUM_SLOPES = range(6)
"""Rows of `slopes`: 1 - h'², then ∂z'/∂ν and ∂z'/∂φ."""


@jit
def forward(theta, previous, x, state, activations):
    """state ← F(x, previous, θ)."""
    H = U(state.size // 3)
    I = U(x.size)  # noqa: E741 - the mathematics' own name
    drive_re, drive_im = activations[U(4) * H : U(5) * H], activations[U(5) * H :]
    bias = I * H
    other = bias + H
    for u in range(H):
        drive_re[u] = theta[bias + u]
        drive_im[u] = theta[other + bias + u]
    for j in range(I):
        given, base = x[j], U(j) * H
        for u in range(H):
            drive_re[u] += theta[base + u] * given
            drive_im[u] += theta[other + base + u] * given
    nu = U(2) * other
    phase = nu + H
    for u in range(H):
        fade = exp(min(theta[nu + u], LARGEST_NU))
        radius = exp(-(fade + FLOOR))
        cosine, sine = cosine_and_sine(theta[phase + u])
        by_re, by_im = radius * cosine, radius * sine
        gamma = np.sqrt(ONE - radius * radius)
        re, im = previous[H + u], previous[H + H + u]
        new_re = by_re * re - by_im * im + gamma * drive_re[u]
        state[u] = tanh(new_re)
        state[H + u] = new_re
        state[H + H + u] = by_re * im + by_im * re + gamma * drive_im[u]
        activations[u] = by_re
        activations[H + u] = by_im
        activations[H + H + u] = gamma
        activations[U(3) * H + u] = fade if theta[nu + u] < LARGEST_NU else ZERO


@jit
def linearize(previous, h, activations, slopes):
    """slopes ← (3) of the reference at the step from `previous` to h' (H,) that left these activations."""
    H = U(h.size)
    for u in range(H):
        by_re, by_im, gamma = activations[u], activations[H + u], activations[H + H + u]
        fade = activations[U(3) * H + u]
        drive_re, drive_im = activations[U(4) * H + u], activations[U(5) * H + u]
        re, im = previous[H + u], previous[H + H + u]
        kept_re, kept_im = by_re * re - by_im * im, by_re * im + by_im * re
        by_gamma = (by_re * by_re + by_im * by_im) / gamma
        slopes[TANH, u] = ONE - h[u] * h[u]
        slopes[NU_RE, u] = fade * (by_gamma * drive_re - kept_re)
        slopes[NU_IM, u] = fade * (by_gamma * drive_im - kept_im)
        slopes[PHASE_RE, u] = -kept_im
        slopes[PHASE_IM, u] = kept_re


@jit
def exact(activations, x, slopes, w, traces, gradient):
    """Traces by (1), then gradient (P,) by (2) for w = ∂ℓ/∂h (H,). False if not finite."""
    H = U(w.size)
    I = U(x.size)  # noqa: E741
    by_re, by_im, gamma = activations[:H], activations[H : U(2) * H], activations[U(2) * H : U(3) * H]
    imaginary = U(traces.size // 2)
    other = (I + U(1)) * H
    back = np.empty(w.size, np.float32)
    for u in range(H):
        back[u] = slopes[TANH, u] * w[u]
    for j in range(I + U(1)):
        given, base = x[j] if j < I else ONE, U(j) * H
        for u in range(H):
            re, im = traces[base + u], traces[imaginary + base + u]
            new_re = by_re[u] * re - by_im[u] * im + gamma[u] * given + TINY
            new_im = by_re[u] * im + by_im[u] * re + TINY
            traces[base + u] = new_re
            traces[imaginary + base + u] = new_im
            gradient[base + u] = back[u] * new_re
            gradient[other + base + u] = -back[u] * new_im
    for j in range(U(2)):
        base, row = other + U(j) * H, NU_RE + 2 * j
        for u in range(H):
            re, im = traces[base + u], traces[imaginary + base + u]
            new_re = by_re[u] * re - by_im[u] * im + slopes[row, u] + TINY
            new_im = by_re[u] * im + by_im[u] * re + slopes[row + 1, u] + TINY
            traces[base + u] = new_re
            traces[imaginary + base + u] = new_im
            gradient[other + base + u] = back[u] * new_re
    return is_all_finite(traces) and is_all_finite(gradient)


@jit
def pull(gamma, x, slopes, by_h, by_re, by_im, out):
    """out (P,) += wᵀ∂F/∂θ for w = [by_h; by_re; by_im], each (H,)."""
    H = U(gamma.size)
    I = U(x.size)  # noqa: E741
    other = (I + U(1)) * H
    real = np.empty(gamma.size, np.float32)
    for u in range(H):
        real[u] = by_re[u] + slopes[TANH, u] * by_h[u]
    for j in range(I + U(1)):
        given, base = x[j] if j < I else ONE, U(j) * H
        for u in range(H):
            out[base + u] += real[u] * gamma[u] * given
            out[other + base + u] += by_im[u] * gamma[u] * given
    nu = other + other
    for u in range(H):
        out[nu + u] += real[u] * slopes[NU_RE, u] + by_im[u] * slopes[NU_IM, u]
        out[nu + H + u] += real[u] * slopes[PHASE_RE, u] + by_im[u] * slopes[PHASE_IM, u]


@jit
def uoro(activations, x, slopes, w, has_loss, s_tilde, theta_tilde, nu, gamma, weight, statistics, gradient):
    """Plain UORO (`reference.estimators.uoro`): gradient (P,), and the copies' roll. False if not finite.

    s_tilde, nu (k, 3, H); theta_tilde (k, P); w (H,) is ∂ℓ/∂h; a weight below 0 is taken from the data.
    """
    k, _, H = s_tilde.shape
    by_re, by_im, keep = activations[:H], activations[H : 2 * H], activations[2 * H : 3 * H]
    a = np.empty((k, 3, H), np.float32)
    weights, squares, pairs = np.zeros(k, np.float32), np.empty(k, np.float32), np.zeros(k // 2, np.float32)
    for i in range(k):
        for u in range(H):
            re, im = s_tilde[i, 1, u], s_tilde[i, 2, u]
            a[i, 1, u] = by_re[u] * re - by_im[u] * im
            a[i, 2, u] = by_re[u] * im + by_im[u] * re
            a[i, 0, u] = slopes[TANH, u] * a[i, 1, u]
            weights[i] += w[u] * a[i, 0, u]
        squares[i] = inner(theta_tilde[i], theta_tilde[i])
        if i % 2 == 1:
            pairs[i // 2] = inner(theta_tilde[i - 1], theta_tilde[i])
    if not (is_all_finite(weights) and is_all_finite(squares)):
        return False
    gradient[:] = ZERO
    if has_loss:
        chosen = np.float32(weigh(weights, squares, pairs, statistics)) if k > 1 else ONE
        weights *= (chosen if weight < ZERO else weight) / np.float32(k)
        nothing = np.zeros(H, np.float32)
        pull(keep, x, slopes, w, nothing, nothing, gradient)
    d = np.empty(gradient.size, np.float32)
    for i in range(k):
        d[:] = ZERO
        pull(keep, x, slopes, nu[i, 0], nu[i, 1], nu[i, 2], d)
        norm_a = gamma * np.sqrt(inner(a[i].reshape(3 * H), a[i].reshape(3 * H)))
        rho_0 = np.sqrt((np.sqrt(squares[i]) + EPSILON) / (norm_a + EPSILON))
        rho_1 = np.sqrt((np.sqrt(inner(d, d)) + EPSILON) / (np.float32(np.sqrt(3 * H)) + EPSILON))
        inverse_0, inverse_1 = ONE / rho_0, ONE / rho_1
        for b in range(3):
            for u in range(H):
                s_tilde[i, b, u] = rho_0 * gamma * a[i, b, u] + rho_1 * nu[i, b, u]
        row = theta_tilde[i]
        for j in range(U(d.size)):
            gradient[j] += weights[i] * row[j]
            row[j] = inverse_0 * row[j] + inverse_1 * d[j] + TINY
    return is_all_finite(s_tilde.reshape(k * 3 * H)) and is_all_finite(gradient)


@jit
def tbptt(theta, previous, x, w, chunk_previous, chunk_x, chunk_w, length, gradient):
    """Gather one transition; at the end of a chunk gradient (P,) ← that through all of it. True then."""
    step = int(length[0])
    H = w.size // 3
    chunk_previous[step] = previous
    chunk_x[step] = x
    chunk_w[step] = w
    length[0] += ONE
    if step + 1 < chunk_x.shape[0]:
        return False
    state, activations = np.empty(3 * H, np.float32), np.empty(6 * H, np.float32)
    slopes, delta = np.empty((NUM_SLOPES, H), np.float32), np.zeros((3, H), np.float32)
    gradient[:] = ZERO
    for past in range(step, -1, -1):
        delta += chunk_w[past].reshape((3, H))
        forward(theta, chunk_previous[past], chunk_x[past], state, activations)
        linearize(chunk_previous[past], state[:H], activations, slopes)
        pull(activations[2 * H : 3 * H], chunk_x[past], slopes, delta[0], delta[1], delta[2], gradient)
        for u in range(H):
            re, im = delta[1, u] + slopes[TANH, u] * delta[0, u], delta[2, u]
            delta[0, u] = ZERO
            delta[1, u] = activations[u] * re + activations[H + u] * im
            delta[2, u] = activations[u] * im - activations[H + u] * re
    length[0] = ZERO
    chunk_previous[:] = ZERO
    chunk_x[:] = ZERO
    chunk_w[:] = ZERO
    return True


@jit
def clipped(gradient, clip):
    """Scale the gradient down to the norm `clip` if it is longer; 0 for no bound. False if its norm is not finite."""
    if clip > 0.0:
        total = 0.0
        for j in range(U(gradient.size)):
            total += float(gradient[j]) * float(gradient[j])
        if not is_finite(total):
            return False
        if total > clip * clip:
            gradient *= np.float32(clip / np.sqrt(total))
    return True


@jit
def is_all_finite(values):
    """Whether each of these float32 is a number; counting what is not vectorises, as adding them up does not."""
    num_beyond = np.int32(0)
    for j in range(U(values.size)):
        num_beyond += np.int32(0 if abs(values[j]) <= MAX_FLOAT32 else 1)
    return num_beyond == 0


@jit
def inner(a, b):
    """a · b in four sums side by side, since in strict arithmetic one would wait for itself."""
    s0, s1, s2, s3 = ZERO, ZERO, ZERO, ZERO
    whole = a.size - a.size % 4
    for j in range(0, whole, 4):
        s0 += a[U(j)] * b[U(j)]
        s1 += a[U(j + 1)] * b[U(j + 1)]
        s2 += a[U(j + 2)] * b[U(j + 2)]
        s3 += a[U(j + 3)] * b[U(j + 3)]
    for j in range(whole, a.size):
        s0 += a[U(j)] * b[U(j)]
    return (s0 + s1) + (s2 + s3)
