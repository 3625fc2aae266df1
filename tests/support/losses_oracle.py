"""Losses and scores of a number's forecast, said once more in Python: the judge of the compiled ones."""

from __future__ import annotations

import math

import numpy as np

HUBER_WIDTH = 0.5
MAX_SLOPE = 10.0
MAX_LOG_VARIANCE = 10.0
NORMAL_90 = 1.6448536269514722
MEAN_ABS_TO_STD = math.sqrt(math.pi / 2)
MAX_SCALED_LOSS = 20.0

_erf = np.frompyfunc(math.erf, 1, 1)


def huber(raw: np.ndarray, target: float) -> tuple[float, np.ndarray]:
    """ℓ = e²/2 within HUBER_WIDTH of the target, linear beyond; e = raw - target. Value and slope (1,)."""
    error = float(raw[0]) - target
    slope = min(max(error, -HUBER_WIDTH), HUBER_WIDTH)
    return slope * (error - 0.5 * slope), np.array([slope])


def squared(raw: np.ndarray, target: float) -> tuple[float, np.ndarray]:
    """ℓ = e²/2, its slope bounded by MAX_SLOPE (so linear beyond)."""
    error = float(raw[0]) - target
    slope = min(max(error, -MAX_SLOPE), MAX_SLOPE)
    return slope * (error - 0.5 * slope), np.array([slope])


def gaussian(raw: np.ndarray, target: float) -> tuple[float, np.ndarray]:
    """ℓ = (log σ² + z²)/2, linear in z beyond |z| = MAX_SLOPE; raw is location and log variance."""
    log_variance = min(max(float(raw[1]), -MAX_LOG_VARIANCE), MAX_LOG_VARIANCE)
    inverse_std = math.exp(-0.5 * log_variance)
    z = (target - float(raw[0])) * inverse_std
    bounded = min(max(z, -MAX_SLOPE), MAX_SLOPE)
    value = 0.5 * log_variance + bounded * (z - 0.5 * bounded)
    by_variance = max(0.5 * (1.0 - bounded * z), -0.5 * MAX_SLOPE**2)
    if raw[1] > MAX_LOG_VARIANCE:
        by_variance = max(by_variance, 0.0)
    elif raw[1] < -MAX_LOG_VARIANCE:
        by_variance = min(by_variance, 0.0)
    return value, np.array([-bounded * inverse_std, by_variance])


LOSSES = {"huber": huber, "squared": squared, "gaussian": gaussian}


def gaussian_crps(mean: np.ndarray, std: np.ndarray, values: np.ndarray) -> np.ndarray:
    """CRPS of normal distributions, elementwise."""
    error = values - mean
    has_std = std > 0
    z = np.clip(error / np.where(has_std, std, 1.0), -1e3, 1e3)
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    erf = _erf(z / math.sqrt(2.0)).astype(np.float64)
    tail = np.abs(error) - np.abs(z) * std
    score = std * (z * erf + 2.0 * density - 1.0 / math.sqrt(math.pi)) + np.where(has_std, tail, 0.0)
    return np.where(has_std, score, np.abs(error))


def score(
    kind: str,
    values: np.ndarray,
    said: tuple[np.ndarray, np.ndarray, np.ndarray],
    last: np.ndarray,
    scale: np.ndarray,
    *,
    is_alone: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss, naive loss and coverage (T,) of the forecast `said`: mean, lower, upper (T,)."""
    mean, lower, upper = said
    error, naive_error = values - mean, values - last
    if kind == "squared":
        loss, baseline = error**2, naive_error**2
    elif kind == "gaussian":
        loss = gaussian_crps(mean, (upper - lower) / (2 * NORMAL_90), values)
        baseline = gaussian_crps(last, scale * MEAN_ABS_TO_STD, values)
    else:
        loss, baseline = np.abs(error), np.abs(naive_error)
    if not is_alone:
        width, most = np.where(scale > 0, scale, 1.0), MAX_SCALED_LOSS
        if kind == "squared":
            width, most = width**2, most**2
        loss, baseline = np.minimum(loss / width, most), np.minimum(baseline / width, most)
    return loss, baseline, (values >= lower) & (values <= upper)
