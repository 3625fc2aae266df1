"""What a forecast of numbers is, and what it was worth: `kernel.scoring` compares them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


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
