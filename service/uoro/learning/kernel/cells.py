"""One step of a cell and its slopes, as in `uoro.learning.reference.cells`, on rows of [W_ih | b_ih | W_hh | b_hh].

Shapes: G gates, H units, c vectors of state, I inputs. A row has C columns, I + H + 2 and zeros up to the next multiple
of `lanes.N`; they meet z = [x; 1; h; 1; 0], which is kept as its two parts z_x = [x; 1; 0; 0; 0] and
z_h = [0; 0; h; 1; 0]. theta (G·H·C,); state, previous (c·H,); activations (n·H,); slope_x, slope_h (c, G, H);
direct (c, c, H).
"""

from __future__ import annotations

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.elementary import ONE, sigmoid, tanh
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.lanes import N, address, load, splat, total

LINEAR, RNN, GRU, LSTM = range(4)
ZERO = np.float32(0.0)


@jit
def listen(x, hidden, z_x, z_h):
    """Set z_x and z_h (C,), zero elsewhere, to what a step with input x (I,) from h (H,) meets."""
    num_inputs, H = x.size, hidden.size
    for j in range(num_inputs):
        z_x[U(j)] = x[U(j)]
    z_x[U(num_inputs)] = ONE
    for u in range(H):
        z_h[U(num_inputs + 1 + u)] = hidden[U(u)]
    z_h[U(num_inputs + 1 + H)] = ONE


@jit
def forward(cell, theta, z_x, z_h, previous, state, activations, p, q):
    """state ← F(x, previous, θ); p and q (G·H,) are the two products, room for which is given."""
    C = U(z_x.size)
    weights, all_x, all_h = address(theta), address(z_x), address(z_h)
    for r in range(U(p.size)):
        by_x, by_h = splat(ZERO), splat(ZERO)
        for j in range(U(0), C, U(N)):
            row = load(weights, r * C + j)
            by_x, by_h = by_x + row * load(all_x, j), by_h + row * load(all_h, j)
        p[r], q[r] = total(by_x), total(by_h)
    H = state.size // (2 if cell == LSTM else 1)
    if cell == LINEAR:
        for u in range(H):
            state[u] = p[u] + q[u]
    elif cell == RNN:
        for u in range(H):
            state[u] = tanh(p[u] + q[u])
            activations[u] = state[u]
    elif cell == GRU:
        _gru(p, q, previous, state, activations, H)
    else:
        _lstm(p, q, previous, state, activations, H)


@jit
def _gru(p, q, previous, state, activations, H):
    r, z, n, q_n = activations[:H], activations[H : 2 * H], activations[2 * H : 3 * H], activations[3 * H :]
    for u in range(H):
        r[u] = sigmoid(p[u] + q[u])
        z[u] = sigmoid(p[H + u] + q[H + u])
        q_n[u] = q[2 * H + u]
        n[u] = tanh(p[2 * H + u] + r[u] * q_n[u])
        state[u] = n[u] + z[u] * (previous[u] - n[u])


@jit
def _lstm(p, q, previous, state, activations, H):
    i, f, g = activations[:H], activations[H : 2 * H], activations[2 * H : 3 * H]
    o, tanh_c = activations[3 * H : 4 * H], activations[4 * H :]
    for u in range(H):
        i[u] = sigmoid(p[u] + q[u])
        f[u] = sigmoid(p[H + u] + q[H + u])
        g[u] = tanh(p[2 * H + u] + q[2 * H + u])
        o[u] = sigmoid(p[3 * H + u] + q[3 * H + u])
        c = f[u] * previous[H + u] + i[u] * g[u]
        tanh_c[u] = tanh(c)
        state[u] = o[u] * tanh_c[u]
        state[H + u] = c


@jit
def linearize(cell, previous, activations, slope_x, slope_h, direct):
    """∂s'/∂p, ∂s'/∂q and ∂s'/∂s at fixed products, from what `forward` left."""
    H = slope_x.shape[2]
    if cell == LINEAR:
        slope_x[:] = ONE
        slope_h[:] = ONE
        direct[:] = ZERO
    elif cell == RNN:
        for u in range(H):
            slope = ONE - activations[u] * activations[u]
            slope_x[0, 0, u] = slope
            slope_h[0, 0, u] = slope
        direct[:] = ZERO
    elif cell == GRU:
        for u in range(H):
            r, z, n, q_n = activations[u], activations[H + u], activations[2 * H + u], activations[3 * H + u]
            by_n = (ONE - z) * (ONE - n * n)
            by_r = by_n * q_n * r * (ONE - r)
            by_z = (previous[u] - n) * z * (ONE - z)
            slope_x[0, 0, u] = by_r
            slope_x[0, 1, u] = by_z
            slope_x[0, 2, u] = by_n
            slope_h[0, 0, u] = by_r
            slope_h[0, 1, u] = by_z
            slope_h[0, 2, u] = by_n * r
            direct[0, 0, u] = z
    else:
        direct[:] = ZERO
        for u in range(H):
            i, f, g = activations[u], activations[H + u], activations[2 * H + u]
            o, tanh_c = activations[3 * H + u], activations[4 * H + u]
            out = o * (ONE - tanh_c * tanh_c)
            slope_x[1, 0, u] = g * i * (ONE - i)
            slope_x[1, 1, u] = previous[H + u] * f * (ONE - f)
            slope_x[1, 2, u] = i * (ONE - g * g)
            slope_x[1, 3, u] = ZERO
            for gate in range(3):
                slope_x[0, gate, u] = slope_x[1, gate, u] * out
            slope_x[0, 3, u] = tanh_c * o * (ONE - o)
            direct[0, 1, u] = out * f
            direct[1, 1, u] = f
        slope_h[:] = slope_x
