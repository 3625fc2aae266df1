"""Products with J = ∂F/∂s and ∂F/∂θ at one step, in closed form; shapes as in `kernel.cells`.

A row of θ belongs to gate g of unit u, r = g·H + u, and ∂F/∂θ contracted with w (c, H) is the outer product
of deltas (G·H,) with z: z_x by `deltas(slope_x, w)`, z_h by `deltas(slope_h, w)`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.lanes import N, address, load, splat, store, total

ZERO = np.float32(0.0)


class Point(NamedTuple):
    """Where a step was linearised.

    Attributes:
        theta: (G·H·C,) the parameters. num_inputs: I.
        z_x, z_h: (C,) what θ met. room: (C,) work space, zero between calls. dots: (G·H,) work space.
        slope_x, slope_h: (c, G, H) slopes of the state by the two products. direct: (c, c, H) by the old state.
    """

    theta: np.ndarray
    num_inputs: int
    z_x: np.ndarray
    z_h: np.ndarray
    room: np.ndarray
    dots: np.ndarray
    slope_x: np.ndarray
    slope_h: np.ndarray
    direct: np.ndarray


@jit
def jvp(point, v, out):
    """out (c, H) ← J v."""
    slope_h, direct, room = point.slope_h, point.direct, point.room
    c, G, H = slope_h.shape
    C, first = U(room.size), point.num_inputs + 1
    for a in range(c):
        for u in range(H):
            out[a, u] = direct[a, 0, u] * v[0, u]
        for b in range(1, c):
            for u in range(H):
                out[a, u] += direct[a, b, u] * v[b, u]
    for u in range(H):
        room[U(first + u)] = v[0, u]
    theta, met, start, dots = address(point.theta), address(room), U(first // N * N), point.dots
    for r in range(U(dots.size)):
        product = splat(ZERO)
        for j in range(start, C, U(N)):
            product = product + load(theta, r * C + j) * load(met, j)
        dots[r] = total(product)
    for a in range(U(c)):
        for g in range(U(G)):
            for u in range(U(H)):
                out[a, u] += slope_h[a, g, u] * dots[g * U(H) + u]
    for u in range(H):
        room[U(first + u)] = ZERO


@jit
def deltas(slope, w, out):
    """out (G·H,) ← Σ_c w_c slope_c."""
    c, G, H = slope.shape
    for g in range(G):
        for u in range(H):
            out[U(g * H + u)] = w[0, u] * slope[0, g, u]
    for a in range(1, c):
        for g in range(G):
            for u in range(H):
                out[U(g * H + u)] += w[a, u] * slope[a, g, u]


@jit
def vjp(point, w, delta_h, out):
    """out (c, H) ← Jᵀ w, given delta_h = deltas(slope_h, w)."""
    direct, room = point.direct, point.room
    c, H = w.shape
    C, first = U(room.size), point.num_inputs + 1
    for b in range(c):
        for u in range(H):
            out[b, u] = direct[0, b, u] * w[0, u]
        for a in range(1, c):
            for u in range(H):
                out[b, u] += direct[a, b, u] * w[a, u]
    theta, sums, start = address(point.theta), address(room), U(first // N * N)
    for r in range(U(delta_h.size)):
        factor = splat(delta_h[r])
        for j in range(start, C, U(N)):
            store(sums, j, load(sums, j) + factor * load(theta, r * C + j))
    for u in range(H):
        out[0, u] += room[U(first + u)]
    room[:] = ZERO


@jit
def own_unit(point, out):
    """out (c, c, H) ← D, the blocks of J that tie each unit to itself."""
    theta, slope_h = point.theta, point.slope_h
    c, G, H = slope_h.shape
    num_columns, first = point.room.size, point.num_inputs + 1
    out[:] = point.direct
    for g in range(G):
        for u in range(H):
            weight = theta[U((g * H + u) * num_columns + first + u)]
            for a in range(c):
                out[a, 0, u] += slope_h[a, g, u] * weight
