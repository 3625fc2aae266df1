"""Simple and linear forecasters of number fields, for all T targets of a stream at once.

They forecast one step ahead in the user's units. Nothing here predicts a level from nothing: every forecast
is the last value plus a change. The autoregressions are learned by recursive least squares with
forgetting, each observation weighted by Huber's function so that one outlier cannot bend the model
(SCIENCE §7).
"""

from __future__ import annotations

import numpy as np

from uoro.learning.block import Block, Part, bounded, or_zero

NAMES = ("naive", "season", "season_level", "smoothing", "ar_short", "ar_long")
NUM_FORECASTERS = len(NAMES)

SHORT_LAGS = 8
LONG_LAGS = 24
MAX_CROSS = 16  # fields whose newest change the short autoregression hears
MAX_REGRESSOR = 20.0
MAX_EXTRA = 10.0
NUM_EXTRA = 4  # bias, deviation from the slow mean, two seasonal differences
FORGETTING = 0.9995
FIRST_COVARIANCE = 0.1
SMOOTHING = 0.6
HUBER_WIDTHS = 2.0  # errors beyond so many mean absolute errors are down-weighted
MAX_COVARIANCE_TRACE = 1e6  # above it, forgetting pauses: silent regressors must not wind the gain up
ERROR_RATE = 0.02
NUM_WARM_UP = 10


class Autoregression:
    """Robust recursive least squares on `num_lags` past changes and the extra regressors, T targets.

    Attributes:
        coefficients: (T, p). covariance: (T, p, p). regressors: (T, p), those of the pending forecast.
        error: (T,) exponentially weighted mean absolute error, in units of the scale.
    """

    __slots__ = ("coefficients", "covariance", "error", "num_lags", "regressors")

    @staticmethod
    def parts(prefix: str, num_targets: int, num_lags: int, num_cross: int = 0) -> list[Part]:
        """What the state of one autoregression takes in a block."""
        size = num_lags + NUM_EXTRA + num_cross
        return [
            Part(f"{prefix}.coefficients", (num_targets, size)),
            Part(f"{prefix}.covariance", (num_targets, size, size)),
            Part(f"{prefix}.regressors", (num_targets, size)),
            Part(f"{prefix}.error", (num_targets,)),
        ]

    def __init__(self, block: Block, prefix: str, num_lags: int) -> None:
        self.num_lags = num_lags
        self.coefficients = block[f"{prefix}.coefficients"]
        self.covariance = block[f"{prefix}.covariance"]
        self.regressors = block[f"{prefix}.regressors"]
        self.error = block[f"{prefix}.error"]

    def init(self) -> None:
        """The state before the first observation: a ridge of 1 / FIRST_COVARIANCE around no change."""
        self.covariance[:] = FIRST_COVARIANCE * np.eye(self.covariance.shape[1])

    def learn(self, change: np.ndarray, is_learned: np.ndarray) -> None:
        """One step of weighted least squares towards the scaled change (T,) that came."""
        x, P = self.regressors, self.covariance
        error = change - np.einsum("tp,tp->t", self.coefficients, x)
        magnitude = np.abs(error)
        bound = HUBER_WIDTHS * self.error
        weight = np.where((self.error > 0) & (magnitude > bound), bound / np.maximum(magnitude, 1e-300), 1.0)
        weight = np.where(is_learned, weight, 0.0)
        Px = np.einsum("tpq,tq->tp", P, x)
        spread = np.maximum(np.einsum("tp,tp->t", x, Px), 0.0)
        root = np.sqrt(weight / (FORGETTING + weight * spread))
        gain = Px * root[:, None]
        self.coefficients += gain * (root * error)[:, None]
        P -= gain[:, :, None] * gain[:, None, :]  # the same product on both sides keeps P symmetric to the bit
        trace = np.einsum("tpp->t", P)
        P *= np.where(is_learned & (trace < MAX_COVARIANCE_TRACE), 1.0 / FORGETTING, 1.0)[:, None, None]
        step = np.where(is_learned, ERROR_RATE, 0.0)
        first = is_learned & (self.error == 0)
        self.error += np.where(first, magnitude, step * (np.minimum(magnitude, 10 * self.error) - self.error))

    def forecast(self, changes: np.ndarray, extra: np.ndarray, cross: np.ndarray | None = None) -> np.ndarray:
        """The next scaled change (T,).

        Args:
            changes: (T, ≥ num_lags) past scaled changes, newest first.
            extra: (T, NUM_EXTRA) further regressors.
            cross: (C,) regressors that all targets hear.
        """
        end = self.num_lags + NUM_EXTRA
        self.regressors[:, : self.num_lags] = changes[:, : self.num_lags]
        self.regressors[:, self.num_lags : end] = extra
        if cross is not None:
            self.regressors[:, end:] = cross
        out: np.ndarray = np.einsum("tp,tp->t", self.coefficients, self.regressors)
        return out


class Forecasters:
    """All simple and linear forecasters of a stream's T number targets.

    Attributes:
        forecasts: (K, T) the pending forecasts in the user's units, rows in the order of NAMES.
    """

    __slots__ = ("changes", "forecasts", "long", "mean", "short", "smoothed")

    @staticmethod
    def parts(num_targets: int, num_cross: int) -> list[Part]:
        """What all of them take in a block."""
        return [
            Part("forecasters.changes", (num_targets, LONG_LAGS)),
            Part("forecasters.mean", (num_targets,)),
            Part("forecasters.smoothed", (num_targets,)),
            Part("forecasters.forecasts", (NUM_FORECASTERS, num_targets)),
            *Autoregression.parts("ar_short", num_targets, SHORT_LAGS, num_cross),
            *Autoregression.parts("ar_long", num_targets, LONG_LAGS),
        ]

    def __init__(self, block: Block) -> None:
        self.changes = block["forecasters.changes"]
        self.mean = block["forecasters.mean"]
        self.smoothed = block["forecasters.smoothed"]
        self.forecasts = block["forecasters.forecasts"]
        self.short = Autoregression(block, "ar_short", SHORT_LAGS)
        self.long = Autoregression(block, "ar_long", LONG_LAGS)

    def init(self) -> None:
        """The state before the first observation."""
        self.short.init()
        self.long.init()

    def learn(self, values: np.ndarray, last: np.ndarray, scale: np.ndarray, is_learned: np.ndarray) -> None:
        """Learn from the values (T,) that came after `last`; `scale` is the one the forecasts used."""
        unit = np.where(scale > 0, scale, 1.0)
        # Bounded like the regressors: while the scale is still growing, larger targets would bend the coefficients.
        change = bounded((values - last) / unit, MAX_REGRESSOR)
        can_learn = is_learned & (scale > 0)
        self.short.learn(change, can_learn)
        self.long.learn(change, can_learn)

    def advance(
        self,
        values: np.ndarray,
        previous: np.ndarray,
        seasonal: np.ndarray,
        scale: np.ndarray,
        count: np.ndarray,
        cross: np.ndarray,
    ) -> None:
        """Take the values (T,) in and forecast the next.

        Args:
            values: the newest values, the last known ones where missing.
            previous: the values before them.
            seasonal: (2, T) level that the day and the week before showed next, and (2, T) change to it,
                stacked as (2, 2, T); NaN where unknown.
            scale: (T,) mean absolute change.
            count: (T,) values seen per target.
            cross: (C,) newest changes of the stream's number fields, in their mean absolute change.
        """
        change = values - previous
        self.changes[:, 1:] = self.changes[:, :-1].copy()
        self.changes[:, 0] = change
        is_first = count <= 1
        rate = np.maximum(1.0 / np.maximum(count, 1), 0.01)
        self.mean += np.where(is_first, values - self.mean, rate * (values - self.mean))
        self.smoothed += np.where(is_first, 1.0, SMOOTHING) * (values - self.smoothed)
        unit = np.where(scale > 0, scale, 1.0)
        level, difference = seasonal
        extra = np.empty((len(values), NUM_EXTRA))
        extra[:, 0] = 1.0
        extra[:, 1] = bounded((self.mean - values) / unit, MAX_EXTRA)
        extra[:, 2:] = bounded(or_zero(difference / unit), MAX_EXTRA).T
        scaled = bounded(self.changes / unit[:, None], MAX_REGRESSOR)
        heard = bounded(cross, MAX_REGRESSOR)
        has_scale = scale > 0
        can_use = has_scale & (count > NUM_WARM_UP)
        out = self.forecasts
        out[0] = values
        out[1] = values + first_known(difference[0], difference[1], 0.0)
        out[2] = first_known(level[1], level[0], values)
        out[3] = self.smoothed
        out[4] = values + np.where(can_use, self.short.forecast(scaled, extra, heard) * unit, 0.0)
        out[5] = values + np.where(can_use, self.long.forecast(scaled, extra) * unit, 0.0)


def first_known(*candidates: np.ndarray | float) -> np.ndarray:
    """Elementwise the first candidate that is not NaN."""
    chosen = np.asarray(candidates[-1], dtype=np.float64)
    for candidate in reversed(candidates[:-1]):
        chosen = np.where(np.isnan(candidate), chosen, candidate)
    return chosen
