"""Online aggregation of forecasters: BOA, Bernstein online aggregation (Wintenberger 2017, arXiv 1404.1356).

Each forecaster's weight follows its regret on the linearised absolute loss, with a second-order correction
and a learning rate of its own that adapts to what it has seen. The mixture is then about as good as the best
forecaster in hindsight, without knowing which one that is; a discount lets it change its mind.
"""

from __future__ import annotations

import numpy as np

from uoro.learning.block import Block, Part, bounded

DISCOUNT = 0.999
NAIVE_PRIOR = 5.0
MAX_REGRET = 10.0


class Aggregation:
    """Weights of K forecasters for each of T targets; row 0 is the naive forecast.

    Attributes:
        regret, variance, bound: (K, T) discounted sum, discounted sum of squares and largest instant regret.
        weights: (K, T), each column sums to 1.
    """

    __slots__ = ("bound", "log_prior", "regret", "variance", "weights")

    @staticmethod
    def parts(num_forecasters: int, num_targets: int) -> list[Part]:
        """What the weights take in a block."""
        shape = (num_forecasters, num_targets)
        return [Part(f"aggregation.{name}", shape) for name in ("regret", "variance", "bound", "weights")]

    def __init__(self, block: Block) -> None:
        self.regret = block["aggregation.regret"]
        self.variance = block["aggregation.variance"]
        self.bound = block["aggregation.bound"]
        self.weights = block["aggregation.weights"]
        prior = np.ones((len(self.regret), 1))
        prior[0] = NAIVE_PRIOR
        self.log_prior = np.log(prior / prior.sum())

    def init(self) -> None:
        """The state before the first observation."""
        self.weights[:] = np.exp(self.log_prior)

    def mix(self, forecasts: np.ndarray) -> np.ndarray:
        """The aggregated forecast (T,) of forecasts (K, T)."""
        # Around the naive forecast, so that equal forecasts give exactly that value.
        out: np.ndarray = forecasts[0] + (self.weights * (forecasts - forecasts[0])).sum(axis=0)
        return out

    def learn(self, forecasts: np.ndarray, mixed: np.ndarray, values: np.ndarray, unit: np.ndarray) -> None:
        """One step of BOA; `unit` (T,) scales the regrets, NaN values teach nothing."""
        is_learned = ~np.isnan(values) & (unit > 0)
        scale = np.where(is_learned, unit, 1.0)
        slope = np.sign(mixed - np.where(is_learned, values, mixed)) / scale
        regret = bounded(slope * (mixed - forecasts), MAX_REGRET)
        np.maximum(self.bound, np.abs(regret), out=self.bound)
        rate = self._rate()
        corrected = 0.5 * (regret - rate * regret**2 + self.bound * (rate * regret > 0.5))
        discount = np.where(is_learned, DISCOUNT, 1.0)
        self.regret[:] = discount * self.regret + corrected
        self.variance[:] = discount * self.variance + regret**2
        rate = self._rate()
        score = np.log(rate) + self.log_prior + rate * self.regret
        score -= score.max(axis=0)
        weights = np.exp(score)
        self.weights[:] = weights / weights.sum(axis=0)

    def _rate(self) -> np.ndarray:
        by_bound = 0.5 / np.maximum(self.bound, 1e-6)
        by_variance = np.sqrt(-self.log_prior / np.maximum(self.variance, 1e-12))
        out: np.ndarray = np.minimum(by_bound, by_variance)
        return out
