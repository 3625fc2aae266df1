"""What a forecast of numbers was worth, against the naive one."""

from __future__ import annotations

from typing import NamedTuple, Protocol, Self

import numpy as np

from uoro.learning.kernel import scoring

KINDS = {"huber": scoring.HUBER, "squared": scoring.SQUARED, "gaussian": scoring.GAUSSIAN}
"""The kernel's codes of the losses, by their names in a spec."""


class Score(NamedTuple):
    """What the pending forecast was worth, per target (T,); NaN where the value is missing."""

    loss: np.ndarray
    baseline_loss: np.ndarray
    is_covered: np.ndarray

    @classmethod
    def room(cls, num: int) -> Self:
        """Arrays for T targets, yet to be filled."""
        return cls(np.empty(num), np.empty(num), np.empty(num, np.bool_))


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
    no single value counts for more than `kernel.scoring.MAX_SCALED_LOSS` of these.

    Args:
        pending: the forecast.
        kind: of loss.
        values: what came, NaN where missing.
        last: (T,) the naive forecast.
        scale: (T,) mean absolute change.
        is_alone: there is only one target.
    """
    result = Score.room(len(pending.mean))
    scoring.score(
        KINDS[kind], is_alone, values, pending.mean, pending.lower, pending.upper, last, scale, *result
    )  # fmt: skip
    return result
