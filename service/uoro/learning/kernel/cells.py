"""One step of a cell and its slopes, as in `uoro.learning.reference.cells`, on rows of [W_ih | b_ih | W_hh | b_hh].

Shapes: G gates, H units, c vectors of state, I inputs, C = I + H + 2 columns that meet z = [x; 1; h; 1].
W (G·H, C); state, previous (c·H,); activations (n·H,); slope_x, slope_h (c, G, H); direct (c, c, H).
"""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.elementary import ONE, sigmoid, tanh
from uoro.learning.kernel.jit import jit

LINEAR, RNN, GRU, LSTM = range(4)
ZERO = np.float32(0.0)


@jit
def forward(cell, W, previous, x, state, activations, p, q):
    """state ← F(x, previous, W); p and q (G·H,) are the two products, room for which is given."""
    num_rows, num_columns = W.shape
    num_inputs = x.size
    H = num_columns - num_inputs - 2
    for r in range(num_rows):
        row = W[r]
        total = row[num_inputs]
        for j in range(num_inputs):
            total += row[j] * x[j]
        p[r] = total
        recurrent = row[num_inputs + 1 :]
        total = recurrent[H]
        for j in range(H):
            total += recurrent[j] * previous[j]
        q[r] = total
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
