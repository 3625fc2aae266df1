"""Products with J = ∂F/∂s and ∂F/∂θ at one step, in closed form; shapes as in `kernel.cells`.

A row of θ belongs to gate g of unit u, r = g·H + u, and ∂F/∂θ contracted with w (c, H) is the outer product
of deltas (G·H,) with z: the x part of z by `deltas(slope_x, w)`, the h part by `deltas(slope_h, w)`.
"""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.jit import jit

ZERO = np.float32(0.0)


@jit
def jvp(W, num_inputs, slope_h, direct, v, out):
    """out (c, H) ← J v."""
    c, G, H = slope_h.shape
    out[:] = ZERO
    for a in range(c):
        for b in range(c):
            for u in range(H):
                out[a, u] += direct[a, b, u] * v[b, u]
    hidden = v[0]
    for g in range(G):
        for u in range(H):
            row = W[g * H + u, num_inputs + 1 :]
            total = ZERO
            for j in range(H):
                total += row[j] * hidden[j]
            for a in range(c):
                out[a, u] += slope_h[a, g, u] * total


@jit
def deltas(slope, w, out):
    """out (G·H,) ← Σ_c w_c slope_c."""
    c, G, H = slope.shape
    out[:] = ZERO
    for a in range(c):
        for g in range(G):
            for u in range(H):
                out[g * H + u] += w[a, u] * slope[a, g, u]


@jit
def vjp(W, num_inputs, direct, w, delta_h, out):
    """out (c, H) ← Jᵀ w, given delta_h = deltas(slope_h, w)."""
    c, H = w.shape
    out[:] = ZERO
    for a in range(c):
        for b in range(c):
            for u in range(H):
                out[b, u] += direct[a, b, u] * w[a, u]
    hidden = out[0]
    for r in range(delta_h.size):
        row = W[r, num_inputs + 1 :]
        for j in range(H):
            hidden[j] += delta_h[r] * row[j]


@jit
def own_unit(W, num_inputs, slope_h, direct, out):
    """out (c, c, H) ← D, the blocks of J that tie each unit to itself."""
    c, G, H = slope_h.shape
    out[:] = direct
    for a in range(c):
        for g in range(G):
            for u in range(H):
                out[a, 0, u] += slope_h[a, g, u] * W[g * H + u, num_inputs + 1 + u]
