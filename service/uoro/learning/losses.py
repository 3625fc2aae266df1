"""Losses of a number's forecast: the value, and its slope with respect to the core's raw output.

`raw` is (1,) for a location, or (2,) for a location and the logarithm of a variance; the target is a number
in the same unit. Slopes are bounded where the loss is not: one far-off value must not throw the core, and
bounding ∂ℓ/∂y leaves UORO's estimate unbiased for that loss, which clipping the estimate would not
(SCIENCE §5).
"""

from __future__ import annotations

import math

import numpy as np

HUBER_WIDTH = 0.5
MAX_SLOPE = 10.0
"""Bound on the slope of the squared error, and on the standardised error that the gaussian's slope sees."""
MAX_LOG_VARIANCE = 10.0

_SQRT_2 = math.sqrt(2.0)
_INV_SQRT_PI = 1.0 / math.sqrt(math.pi)
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_erf = np.frompyfunc(math.erf, 1, 1)


def huber(raw: np.ndarray, target: float) -> tuple[float, np.ndarray]:
    """ℓ = e²/2 within HUBER_WIDTH of the target, linear beyond (Huber 1964); e = raw - target."""
    error = float(raw[0]) - target
    slope = min(max(error, -HUBER_WIDTH), HUBER_WIDTH)
    return slope * (error - 0.5 * slope), np.array([slope])


def squared(raw: np.ndarray, target: float) -> tuple[float, np.ndarray]:
    """ℓ = e²/2, its slope bounded by MAX_SLOPE (so linear beyond)."""
    error = float(raw[0]) - target
    slope = min(max(error, -MAX_SLOPE), MAX_SLOPE)
    return slope * (error - 0.5 * slope), np.array([slope])


def gaussian(raw: np.ndarray, target: float) -> tuple[float, np.ndarray]:
    """ℓ = (log σ² + z²)/2, the negative log likelihood up to a constant; z = (target - mean)/σ.

    The slopes are those of the loss that is linear in z beyond |z| = MAX_SLOPE.
    """
    log_variance = min(max(float(raw[1]), -MAX_LOG_VARIANCE), MAX_LOG_VARIANCE)
    inverse_std = math.exp(-0.5 * log_variance)
    z = (target - float(raw[0])) * inverse_std
    bounded = min(max(z, -MAX_SLOPE), MAX_SLOPE)
    value = 0.5 * log_variance + bounded * (z - 0.5 * bounded)
    by_variance = max(0.5 * (1.0 - bounded * z), -0.5 * MAX_SLOPE**2)
    # Beyond its bounds the variance is held: only a slope that leads back inside is kept.
    if raw[1] > MAX_LOG_VARIANCE:
        by_variance = max(by_variance, 0.0)
    elif raw[1] < -MAX_LOG_VARIANCE:
        by_variance = min(by_variance, 0.0)
    slope = np.array([-bounded * inverse_std, by_variance])
    return value, slope


def gaussian_crps(mean: np.ndarray, std: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of normal distributions, elementwise (Gneiting & Raftery 2007, eq. 21).

    CRPS = σ (z (2Φ(z) - 1) + 2φ(z) - 1/√π); for σ = 0 it is the absolute error. NaN values give NaN.
    """
    error = values - mean
    has_std = std > 0
    z = np.clip(error / np.where(has_std, std, 1.0), -1e3, 1e3)
    density = np.exp(-0.5 * z * z) * _INV_SQRT_2PI
    erf = _erf(z / _SQRT_2).astype(np.float64)
    # Far out in the tail z·erf(z) is |z|; there the score is the distance less σ/√π, whatever z was clipped to.
    tail = np.abs(error) - np.abs(z) * std
    score = std * (z * erf + 2.0 * density - _INV_SQRT_PI) + np.where(has_std, tail, 0.0)
    result: np.ndarray = np.where(has_std, score, np.abs(error))
    return result
