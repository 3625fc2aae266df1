"""Online aggregation of forecasts: BOA, Bernstein online aggregation (Wintenberger 2017, arXiv 1404.1356).

With the slope g of the loss at the mixture and r_k = g (mixture - f_k) the instant regret of forecast k,

    R_k ← δ R_k + r_k - η_k r_k²,   V_k ← δ V_k + r_k²,   B_k ← max(δ B_k, |r_k|)                              (1)
    η_k = min(1 / (2 B_k), √(-log π_k / V_k)),   w_k ∝ η_k π_k exp(η_k R_k)                                     (2)

δ lets it change its mind. Two departures from the paper, both measured (docs/learning.md): regrets are not
halved and no bound is added to them where η r > ½ (-2.4 % loss over all streams). A forecast that is asleep
(nothing to say now) is left out of the mixture and keeps its weight.
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning.kernel.jit import jit

REGRET, VARIANCE, BOUND, WEIGHT, FORECAST = range(5)
NUM_ROWS = 5
"""Rows of one aggregation (NUM_ROWS, K), float64."""
DISCOUNT = 0.9995  # δ; sweep .998, .999, .9995: within 0.3 %, .9995 best
MAX_REGRET = 10.0  # in scales


def init(aggregations: np.ndarray, log_prior: np.ndarray) -> None:
    """Aggregations (…, NUM_ROWS, K) before the first observation."""
    aggregations[:] = 0.0
    aggregations[..., WEIGHT, :] = np.exp(log_prior)


@jit
def mix(a, base, is_awake, num):
    """The mixture of the first `num` forecasts that are awake, around `base`, so that equal ones stay exact."""
    acc = 0.0
    total = 0.0
    for k in range(num):
        if is_awake[k]:
            acc += a[WEIGHT, k] * (a[FORECAST, k] - base)
            total += a[WEIGHT, k]
    return base + acc / total if total > 0 else base


@jit
def learn(a, mixture, slope, log_prior, is_awake):
    """Eq. (1), (2); `slope` is that of the loss at the mixture, per unit in which regrets are measured."""
    num = a.shape[1]
    top = -1e300
    for k in range(num):
        if is_awake[k]:
            r = min(max(slope * (mixture - a[FORECAST, k]), -MAX_REGRET), MAX_REGRET)
            a[BOUND, k] = max(DISCOUNT * a[BOUND, k], abs(r))
            a[REGRET, k] = DISCOUNT * a[REGRET, k] + r - _rate(a, k, log_prior[k]) * r * r
            a[VARIANCE, k] = DISCOUNT * a[VARIANCE, k] + r * r
        rate = _rate(a, k, log_prior[k])
        a[WEIGHT, k] = math.log(rate) + log_prior[k] + rate * a[REGRET, k]
        top = max(top, a[WEIGHT, k])
    total = 0.0
    for k in range(num):
        a[WEIGHT, k] = math.exp(a[WEIGHT, k] - top)
        total += a[WEIGHT, k]
    for k in range(num):
        a[WEIGHT, k] /= total


@jit
def _rate(a, k, log_prior):
    return min(0.5 / max(a[BOUND, k], 1e-6), math.sqrt(-log_prior / max(a[VARIANCE, k], 1e-12)))
