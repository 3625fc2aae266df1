"""θ moved against its gradient: sgd, rmsprop, adam, as in `uoro.learning.reference.optimizers`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import uintp as U

from uoro.learning.kernel.jit import inlined, jit
from uoro.learning.kernel.lanes import N, address, load, splat, sqrt, store

SGD, RMSPROP, ADAM = range(3)
BETA_1, BETA_2 = 0.9, 0.999
RMSPROP_DECAY = 0.99
KEEP_1, KEEP_2, KEEP_SQUARE = np.float32(1 - BETA_1), np.float32(1 - BETA_2), np.float32(1 - RMSPROP_DECAY)

TINY, TINY_SQUARE = np.float32(1e-18), np.float32(1e-30)
"""Added to influences and gradients, and to means of squares, which decay or are zero: an operation whose result is
below 1e-38 takes a hundred times as long as another, and the square of TINY is not."""


@jit
def schedule(optimizer, learning_rate, decay, epsilon, step):
    """(rate, ε) of step t = 1, 2, …: η/(1 + decay √t), for adam with both bias corrections drawn in."""
    rate = learning_rate / (1.0 + decay * math.sqrt(step))
    if optimizer == ADAM:
        root = math.sqrt(1.0 - BETA_2**step)
        return np.float32(rate * root / (1.0 - BETA_1**step)), np.float32(epsilon * root)
    return np.float32(rate), np.float32(epsilon)


class Descent(NamedTuple):
    """How θ moves: the optimizer's code, its moments (P,), rate and ε of this step, and the bound on the gradient."""

    optimizer: int
    mean: np.ndarray
    square: np.ndarray
    rate: float
    epsilon: float
    clip: float


@jit
def move_lanes(optimizer, theta, at, gradient, mean, square, rate, epsilon):
    """Move theta[at : at + lanes.N] against the lanes of gradient, in place, with its moments, all by address."""
    if optimizer == ADAM:
        moment, second = load(mean, at), load(square, at)
        moment = moment + splat(KEEP_1) * (gradient - moment)
        second = second + splat(KEEP_2) * (gradient * gradient - second) + splat(TINY_SQUARE)
        store(mean, at, moment)
        store(square, at, second)
        store(theta, at, load(theta, at) - splat(rate) * moment / (sqrt(second) + splat(epsilon)))
    elif optimizer == RMSPROP:
        second = load(square, at)
        second = second + splat(KEEP_SQUARE) * (gradient * gradient - second) + splat(TINY_SQUARE)
        store(square, at, second)
        store(theta, at, load(theta, at) - splat(rate) * gradient / (sqrt(second) + splat(epsilon)))
    else:
        store(theta, at, load(theta, at) - splat(rate) * gradient)


@jit
def move_all(theta, gradient, descent):
    """Move theta (P,), P a multiple of lanes.N, against gradient (P,)."""
    here, slopes, mean, square = address(theta), address(gradient), address(descent.mean), address(descent.square)
    for at in range(U(0), U(theta.size), U(N)):
        g = load(slopes, at) + splat(TINY)
        move_lanes(descent.optimizer, here, at, g, mean, square, descent.rate, descent.epsilon)


@inlined
def move(optimizer, theta, base, gradient, mean, square, rate, epsilon):
    """Move theta[base : base + n] against gradient (n,), of any length: the rows of readouts.

    Rows are named by their first element, unsigned: views made for a call, and indices that may be negative, cost more
    than the arithmetic of a row.
    """
    if optimizer == ADAM:
        for j in range(gradient.size):
            at, g = base + U(j), gradient[U(j)] + TINY
            moment = mean[at] + KEEP_1 * (g - mean[at])
            second = square[at] + KEEP_2 * (g * g - square[at]) + TINY_SQUARE
            mean[at] = moment
            square[at] = second
            theta[at] -= rate * moment / (np.sqrt(second) + epsilon)
    elif optimizer == RMSPROP:
        for j in range(gradient.size):
            at, g = base + U(j), gradient[U(j)] + TINY
            second = square[at] + KEEP_SQUARE * (g * g - square[at]) + TINY_SQUARE
            square[at] = second
            theta[at] -= rate * g / (np.sqrt(second) + epsilon)
    else:
        for j in range(gradient.size):
            theta[base + U(j)] -= rate * gradient[U(j)]
