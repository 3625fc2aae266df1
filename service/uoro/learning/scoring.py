"""What a forecast of numbers was worth, against the naive one."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from uoro.learning import losses

NORMAL_90 = 1.6448536269514722
MEAN_ABS_TO_STD = math.sqrt(math.pi / 2)
MAX_SCALED_LOSS = 20.0
"""Of several targets, one value's loss counts for at most so many mean absolute changes."""


class Score(NamedTuple):
    """What the pending forecast was worth, per target (T,), NaN where the value is missing; intervals that held it."""

    loss: np.ndarray
    baseline_loss: np.ndarray
    num_covered: int


class Forecast(Protocol):
    """A pending forecast: mean, lower, upper (T,)."""

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def score(
    pending: Forecast,
    kind: str,
    values: np.ndarray,
    last: np.ndarray,
    scale: np.ndarray,
    *,
    is_alone: bool,
) -> Score:
    """Compare the pending forecast and the naive one with the values (T,) that came.

    The loss is the absolute error, for the kind "squared" the squared error, for "gaussian" the CRPS of
    the normal distribution that the interval stands for. It is in the user's units when the target is the
    stream's only one; several targets are each measured in their mean absolute change, to weigh alike, and
    no single value counts for more than MAX_SCALED_LOSS of these.

    Args:
        pending: the forecast.
        kind: of loss.
        values: what came, NaN where missing.
        last: (T,) the naive forecast.
        scale: (T,) mean absolute change.
        is_alone: there is only one target.
    """
    error, naive_error = values - pending.mean, values - last
    if kind == "squared":
        loss, baseline = error**2, naive_error**2
    elif kind == "gaussian":
        std = (pending.upper - pending.lower) / (2 * NORMAL_90)
        loss = losses.gaussian_crps(pending.mean, std, values)
        baseline = losses.gaussian_crps(last, scale * MEAN_ABS_TO_STD, values)
    else:
        loss, baseline = np.abs(error), np.abs(naive_error)
    if not is_alone:
        width, most = np.where(scale > 0, scale, 1.0), MAX_SCALED_LOSS
        if kind == "squared":
            width, most = width**2, most**2
        loss, baseline = np.minimum(loss / width, most), np.minimum(baseline / width, most)
    return Score(loss, baseline, int(((values >= pending.lower) & (values <= pending.upper)).sum()))
