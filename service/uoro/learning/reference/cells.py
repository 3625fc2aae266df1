"""Recurrent cells s' = F(x, s, θ), each with the few numbers that its linearization is made of.

Every cell in this file (`lru` has its own) has G gates of H units and is element-wise apart from two matrix products:

    p = A [x; 1]        (G, H)     q = B [h; 1]        (G, H)     s' = φ(p, q, s), unit by unit      (1)

so that a cell only has to say φ and its slopes, from which `linearization` makes all products with Jacobians.

Parameters are torch's own, gates in torch's order. θ is the matrix [W_ih | b_ih | W_hh | b_hh] of shape
(G·H, I + 1 + H + 1), row by row: rows are gates × units, columns meet [x; 1; h; 1]. RNN has one gate, GRU has
r, z, n, LSTM has i, f, g, o with the state [h; c].
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from uoro.learning import noise
from uoro.learning.reference.linearization import GatedLinearization, Linearization
from uoro.learning.reference.lru import Lru


class Dynamics(Protocol):
    """What every estimator asks of F: its sizes I, S and P, the step, and the step linearised."""

    input_size: int
    state_size: int
    num_parameters: int

    def forward(self, theta: Tensor, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The new state (S,) and the activations, from θ (P,), s (S,) and x (I,), in their dtype."""
        ...

    def linearize(self, theta: Tensor, previous: Tensor, x: Tensor, activations: Tensor) -> Linearization:
        """The step from `previous` (S,) at which `forward` left these activations."""
        ...


class Cell(Dynamics, Protocol):
    """What the learner and SnAp-1 ask besides.

    Attributes:
        hidden_size: H. num_states: c, vectors of H numbers in the state, S = c·H; the first is the one that is
        read out. num_gates: G, rows of H units into which θ falls. num_activations: numbers that `forward` leaves for
        `linearize`.
    """

    hidden_size: int
    num_gates: int
    num_states: int
    num_activations: int

    def init(self, seed: int) -> Tensor:
        """θ (P,) float32 as the seed draws it."""
        ...


class GatedCell:
    """Sizes, parameters and the two matrix products (1) that all cells share."""

    num_gates = 1
    num_states = 1
    num_activation_vectors = 0
    biased_gate: int | None = None
    """The gate whose bias starts at +1, so that the cell remembers at first."""

    def __init__(self, hidden_size: int, input_size: int) -> None:
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.state_size = self.num_states * hidden_size
        self.num_rows = self.num_gates * hidden_size
        self.num_parameters = self.num_rows * (input_size + hidden_size + 2)
        self.num_activations = self.num_activation_vectors * hidden_size

    def init(self, seed: int) -> Tensor:
        """θ (P,) uniform in ±1/√H as torch draws it, the biased gate's b_ih one higher."""
        theta = torch.from_numpy(noise.uniform(seed, noise.INIT_STEP, self.num_parameters))
        theta /= math.sqrt(self.hidden_size)
        if self.biased_gate is not None:
            start = self.biased_gate * self.hidden_size
            theta.view(self.num_rows, -1)[start : start + self.hidden_size, self.input_size] += 1.0
        return theta

    def products(self, theta: Tensor, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The pair p, q of (1), each (G, H)."""
        W = theta.view(self.num_rows, -1)
        num_inputs, size = self.input_size, self.hidden_size
        p = torch.addmv(W[:, num_inputs], W[:, :num_inputs], x)
        q = torch.addmv(W[:, -1], W[:, num_inputs + 1 : -1], state[:size])
        return p.view(self.num_gates, size), q.view(self.num_gates, size)


class Linear(GatedCell):
    """h' = p + q."""

    def forward(self, theta: Tensor, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        p, q = self.products(theta, state, x)
        return (p + q)[0], theta.new_empty(0)

    def linearize(self, theta: Tensor, previous: Tensor, x: Tensor, activations: Tensor) -> Linearization:  # noqa: ARG002 - the protocol's signature; its slopes are constant
        slope = theta.new_ones(1, 1, self.hidden_size)
        return GatedLinearization(theta, previous, x, (slope, slope, theta.new_zeros(1, 1, self.hidden_size)))


class Rnn(GatedCell):
    """h' = tanh(p + q) (torch.nn.RNNCell). Activations: h'."""

    num_activation_vectors = 1

    def forward(self, theta: Tensor, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        p, q = self.products(theta, state, x)
        new = torch.tanh(p + q)[0]
        return new, new

    def linearize(self, theta: Tensor, previous: Tensor, x: Tensor, activations: Tensor) -> Linearization:
        slope = (1.0 - activations.square()).view(1, 1, -1)
        return GatedLinearization(theta, previous, x, (slope, slope, torch.zeros_like(slope)))


class Gru(GatedCell):
    """r = σ(p_r + q_r), z = σ(p_z + q_z), n = tanh(p_n + r q_n), h' = (1-z) n + z h (torch.nn.GRUCell).

    Activations: r, z, n, q_n.
    """

    num_gates = 3
    num_activation_vectors = 4
    biased_gate = 1

    def forward(self, theta: Tensor, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        p, q = self.products(theta, state, x)
        gates = torch.sigmoid(p[:2] + q[:2])
        n = torch.tanh(torch.addcmul(p[2], gates[0], q[2]))
        new = torch.lerp(n, state, gates[1])
        return new, torch.cat((gates.view(-1), n, q[2]))

    def linearize(self, theta: Tensor, previous: Tensor, x: Tensor, activations: Tensor) -> Linearization:
        r, z, n, q_n = activations.view(4, -1)
        rest = 1.0 - activations.view(4, -1)[:2]
        by_n = rest[1] * (1.0 - n.square())
        by_r = by_n * q_n * (r * rest[0])
        by_z = (previous - n) * (z * rest[1])
        slope_x = torch.stack((by_r, by_z, by_n))[None]
        slope_h = torch.stack((by_r, by_z, by_n * r))[None]
        return GatedLinearization(theta, previous, x, (slope_x, slope_h, z.view(1, 1, -1)))


class Lstm(GatedCell):
    """c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c') with [i f g o] = p + q (torch.nn.LSTMCell).

    Activations: σ(i), σ(f), tanh(g), σ(o), tanh(c').
    """

    num_gates = 4
    num_states = 2
    num_activation_vectors = 5
    biased_gate = 1

    def forward(self, theta: Tensor, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        p, q = self.products(theta, state, x)
        pre = p + q
        i, f, o = torch.sigmoid(pre[0]), torch.sigmoid(pre[1]), torch.sigmoid(pre[3])
        g = torch.tanh(pre[2])
        c = torch.addcmul(f * state[self.hidden_size :], i, g)
        tanh_c = torch.tanh(c)
        return torch.cat((o * tanh_c, c)), torch.cat((i, f, g, o, tanh_c))

    def linearize(self, theta: Tensor, previous: Tensor, x: Tensor, activations: Tensor) -> Linearization:
        i, f, g, o, tanh_c = activations.view(5, -1)
        c = previous[self.hidden_size :]
        zero = torch.zeros_like(i)
        by_c = torch.stack((g * i * (1.0 - i), c * f * (1.0 - f), i * (1.0 - g.square()), zero))
        out = o * (1.0 - tanh_c.square())
        by_h = by_c * out
        by_h[3] = tanh_c * o * (1.0 - o)
        slope = torch.stack((by_h, by_c))
        direct = torch.stack((torch.stack((zero, out * f)), torch.stack((zero, f))))
        return GatedLinearization(theta, previous, x, (slope, slope, direct))


CELLS: dict[str, type[Linear | Rnn | Gru | Lstm | Lru]] = {
    "linear": Linear,
    "rnn": Rnn,
    "gru": Gru,
    "lstm": Lstm,
    "lru": Lru,
}


def make_cell(name: str, hidden_size: int, num_inputs: int) -> Cell:
    """The cell that a spec names, for inputs (I,) and H hidden units."""
    return CELLS[name](hidden_size, num_inputs)
