"""One row of θ moved against its gradient: sgd, rmsprop, adam, as in `uoro.learning.reference.optimizers`."""

from __future__ import annotations

import math

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.jit import inlined, jit

SGD, RMSPROP, ADAM = range(3)
BETA_1, BETA_2 = 0.9, 0.999
RMSPROP_DECAY = 0.99
KEEP_1, KEEP_2, KEEP_SQUARE = np.float32(1 - BETA_1), np.float32(1 - BETA_2), np.float32(1 - RMSPROP_DECAY)

TINY = np.float32(1e-30)
"""Added to what decays: numbers below 1e-38 would make each operation on them a hundred times slower."""


@jit
def schedule(optimizer, learning_rate, decay, epsilon, step):
    """(rate, ε) of step t = 1, 2, …: η/(1 + decay √t), for adam with both bias corrections drawn in."""
    rate = learning_rate / (1.0 + decay * math.sqrt(step))
    if optimizer == ADAM:
        root = math.sqrt(1.0 - BETA_2**step)
        return np.float32(rate * root / (1.0 - BETA_1**step)), np.float32(epsilon * root)
    return np.float32(rate), np.float32(epsilon)


@inlined
def move(optimizer, theta, base, gradient, mean, square, rate, epsilon):
    """Move theta[base : base + C] against gradient (C,), in place, with its moments.

    θ and everything of its shape is flat here and rows are named by their first element, unsigned: views made for a
    call, and indices that may be negative, cost more than the arithmetic of a row and keep loops off the vector units.
    """
    if optimizer == ADAM:
        for j in range(gradient.size):
            at, g = base + U(j), gradient[U(j)]
            moment = mean[at] + KEEP_1 * (g - mean[at]) + TINY
            second = square[at] + KEEP_2 * (g * g - square[at]) + TINY
            mean[at] = moment
            square[at] = second
            theta[at] -= rate * moment / (np.sqrt(second) + epsilon)
    elif optimizer == RMSPROP:
        for j in range(gradient.size):
            at, g = base + U(j), gradient[U(j)]
            second = square[at] + KEEP_SQUARE * (g * g - square[at]) + TINY
            square[at] = second
            theta[at] -= rate * g / (np.sqrt(second) + epsilon)
    else:
        for j in range(gradient.size):
            theta[base + U(j)] -= rate * gradient[U(j)]
