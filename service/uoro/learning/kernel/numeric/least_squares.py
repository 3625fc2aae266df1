"""Robust recursive least squares with forgetting, one small model in one matrix M (p + 4, p), float64.

    e = y - θᵀx,   w = min(1, κ ē / |e|)   (Huber; ē the running mean of |e|)                                  (1)
    k = P x,   g = w / (λ + w xᵀk),   θ ← θ + g e k,   P ← (P - g k kᵀ) / λ                                    (2)

Rows of M: 0 … p-1 the matrix P, then θ, x (of the pending forecast), [ē, number of resets, age], k (work space).
Forgetting pauses while trace P is above MAX_TRACE: silent regressors must not wind the gain up.
"""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.jit import is_finite, jit

RIDGE = 10.0  # weight of "no change" in observations; sweep .1, 1, 10, 30: 10
HUBER = 1.0  # κ; sweep .5, 1, 2
ERROR_RATE = 0.02  # of ē
MAX_TRACE = 20.0  # sweep 20, 1e2, 1e3, 1e6: equal in sum, 20 best in the worst stream
MAX_DIAGONAL = 1e12
MAX_COEFFICIENT = 1e6
SYMMETRY_EVERY = 32  # observations; rounding would pull P apart in some thousands
EXTRA_ROWS = 4


def init(models: np.ndarray) -> None:
    """Models (…, p + 4, p) before the first observation: a ridge around θ = 0."""
    models[:] = 0.0
    for i in range(models.shape[-1]):
        models[..., i, i] = 1.0 / RIDGE


@jit
def regressors(model):
    """The row x, to be filled before `predict`."""
    return model[model.shape[1] + 1]


@jit
def error_of(model):
    """ē, the running mean absolute error."""
    return model[model.shape[1] + 2, 0]


@jit
def predict(model):
    """θᵀx."""
    p = model.shape[1]
    theta, x = model[p], model[p + 1]
    acc = 0.0
    for i in range(p):
        acc += theta[i] * x[i]
    return acc


@jit
def learn(model, target, forgetting):
    """Eq. (1), (2) for the regressors of the pending forecast. Returns whether the model had to be reset."""
    p = model.shape[1]
    theta, x, running, k = model[p], model[p + 1], model[p + 2], model[p + 3]
    error = target - predict(model)
    size = abs(error)
    weight = 1.0
    if running[0] > 0 and size > HUBER * running[0]:
        weight = HUBER * running[0] / size
    energy = 0.0
    trace = 0.0
    for i in range(p):
        row = model[i]
        acc = 0.0
        for j in range(p):
            acc += row[j] * x[j]
        k[i] = acc
        energy += acc * x[i]
        trace += row[i]
    gain = weight / (forgetting + weight * energy)
    grow = 1.0 / forgetting if trace < MAX_TRACE else 1.0
    is_sound = is_finite(error)
    step = gain * error
    for i in range(p):
        theta[i] += step * k[i]
        row = model[i]
        factor = gain * k[i]
        for j in range(p):
            row[j] = (row[j] - factor * k[j]) * grow
        is_sound = is_sound and 0.0 < row[i] < MAX_DIAGONAL and abs(theta[i]) < MAX_COEFFICIENT
    if not is_sound:
        _reset(model)
        return True
    running[2] += 1.0
    if running[2] >= SYMMETRY_EVERY:
        running[2] = 0.0
        for i in range(p):
            for j in range(i):
                model[i, j] = model[j, i] = 0.5 * (model[i, j] + model[j, i])
    running[0] += (ERROR_RATE if running[0] > 0 else 1.0) * (
        (min(size, 10.0 * running[0]) if running[0] > 0 else size) - running[0]
    )
    return False


@jit
def _reset(model):
    p = model.shape[1]
    for i in range(p):
        for j in range(p):
            model[i, j] = 0.0
        model[i, i] = 1.0 / RIDGE
        if not abs(model[p, i]) < MAX_COEFFICIENT:
            model[p, i] = 0.0
    model[p + 2, 1] += 1.0
