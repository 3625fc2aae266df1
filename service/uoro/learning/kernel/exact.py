"""SnAp-1, exact RTRL and chunked backpropagation, as in `uoro.learning.reference.estimators`, compiled.

Shapes are those of `kernel.cells`. Each returns whether there is a gradient to move by (`row` of it is made on the
way), or leaves the update to itself.
"""

from __future__ import annotations

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.cells import forward, linearize, listen
from uoro.learning.kernel.jacobian import deltas, own_unit, vjp
from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.optimizers import TINY

ZERO, ONE = np.float32(0.0), np.float32(1.0)


@jit
def snap1(point, w, S, out):
    """S (c·P,) ← D S + own part of ∂F/∂θ; out (P,) ← ∂ℓ/∂s · S. False if not finite."""
    slope_x, slope_h, z_x, z_h = point.slope_x, point.slope_h, point.z_x, point.z_h
    c, G, H = slope_x.shape
    num_columns = z_x.size
    own = np.empty((c, c, H), np.float32)
    own_unit(point, own)
    total = ZERO
    for r in range(G * H):
        g, u = r // H, r % H
        base, other = U(r * num_columns), U(r * num_columns + out.size)
        by_x, by_h = slope_x[0, g, u], slope_h[0, g, u]
        if c == 1:
            keep, loss = own[0, 0, u], w[0, u]
            for j in range(num_columns):
                at = base + U(j)
                new = keep * S[at] + by_x * z_x[U(j)] + by_h * z_h[U(j)] + TINY
                S[at] = new
                out[at] = loss * new
                total += new
        else:
            a, b, d, e = own[0, 0, u], own[0, 1, u], own[1, 0, u], own[1, 1, u]
            by_c, loss_h, loss_c = slope_x[1, g, u], w[0, u], w[1, u]
            for j in range(num_columns):
                old_0, old_1 = S[base + U(j)], S[other + U(j)]
                both = z_x[U(j)] + z_h[U(j)]
                new_0 = a * old_0 + b * old_1 + by_x * both + TINY
                new_1 = d * old_0 + e * old_1 + by_c * both + TINY
                S[base + U(j)] = new_0
                S[other + U(j)] = new_1
                out[base + U(j)] = loss_h * new_0 + loss_c * new_1
                total += new_0 + new_1
    return is_finite(total)


@jit
def rtrl(point, w, influence, out):
    """influence (S·P,) ← J G + ∂F/∂θ; out (P,) ← ∂ℓ/∂s · G. False if not finite."""
    slope_x, slope_h, direct = point.slope_x, point.slope_h, point.direct
    c, G, H = slope_x.shape
    S = c * H
    num_rows, num_columns = G * H, point.z_x.size
    first = point.num_inputs + 1
    J = np.zeros((S, S), np.float32)
    for a in range(c):
        for b in range(c):
            for u in range(H):
                J[a * H + u, b * H + u] += direct[a, b, u]
        for g in range(G):
            for u in range(H):
                for j in range(H):
                    J[a * H + u, j] += slope_h[a, g, u] * point.theta[(g * H + u) * num_columns + first + j]
    old, new = np.empty((S, num_columns), np.float32), np.empty((S, num_columns), np.float32)
    total = ZERO
    for r in range(num_rows):
        g, u = r // H, r % H
        base = r * num_columns
        for a in range(S):
            for j in range(num_columns):
                old[a, j] = influence[U(a * out.size + base + j)]
        new[:] = ZERO
        for a in range(c):
            outer(new[a * H + u], point, slope_x[a, g, u], slope_h[a, g, u])
        for a in range(S):
            for b in range(S):
                factor = J[a, b]
                for j in range(num_columns):
                    new[a, j] += factor * old[b, j]
        for j in range(num_columns):
            out[U(base + j)] = ZERO
        for a in range(S):
            factor = w[a // H, a % H]
            for j in range(num_columns):
                value = new[a, j] + TINY
                influence[U(a * out.size + base + j)] = value
                out[U(base + j)] += factor * value
                total += value
    return is_finite(total)


@jit
def outer(row, point, by_x, by_h):
    """row += the row of an outer product."""
    z_x, z_h = point.z_x, point.z_h
    for j in range(row.size):
        row[j] += by_x * z_x[j] + by_h * z_h[j]


@jit
def tbptt(cell, point, previous, x, w, chunk_previous, chunk_x, chunk_w, length, workspace, out):
    """Gather one transition; at the end of a chunk out (P,) ← the gradient through all of it. True then.

    The point is left at the chunk's first step.
    """
    slope_x, slope_h, direct = point.slope_x, point.slope_h, point.direct
    c, G, H = slope_x.shape
    num_rows, num_columns = G * H, point.z_x.size
    step = int(length[0])
    chunk_previous[step] = previous
    chunk_x[step] = x
    chunk_w[step] = w.reshape(c * H)
    length[0] += ONE
    if step + 1 < chunk_x.shape[0]:
        return False
    state, activations, p, q = workspace
    by_x, by_h = np.empty(num_rows, np.float32), np.empty(num_rows, np.float32)
    delta, back = np.zeros((c, H), np.float32), np.zeros((c, H), np.float32)
    rows = out.reshape((num_rows, num_columns))
    rows[:] = ZERO
    for past in range(step, -1, -1):
        delta += chunk_w[past].reshape((c, H))
        listen(chunk_x[past], chunk_previous[past, :H], point.z_x, point.z_h)
        forward(cell, point.theta, point.z_x, point.z_h, chunk_previous[past], state, activations, p, q)
        linearize(cell, chunk_previous[past], activations, slope_x, slope_h, direct)
        deltas(slope_x, delta, by_x)
        deltas(slope_h, delta, by_h)
        for r in range(num_rows):
            outer(rows[r], point, by_x[r], by_h[r])
        vjp(point, delta, by_h, back)
        delta[:] = back
    length[0] = ZERO
    chunk_previous[:] = ZERO
    chunk_x[:] = ZERO
    chunk_w[:] = ZERO
    return True
