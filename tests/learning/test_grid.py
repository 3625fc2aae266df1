"""Rounding to the grid of the values: only where there is one, and only where it helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uoro.domain import Observation
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec


def run(values: list[float | None], **options: Any) -> Learner:
    learner = Learner.new(StreamSpec.parse({"fields": {"value": {"type": "number"}}, "hidden_size": 4} | options))
    for value in values:
        learner.observe(Observation({"value": float(value)}))
    return learner


@pytest.fixture
def tenths() -> np.ndarray:
    """A slow wave written with one decimal, so that most changes are none."""
    return np.round(2 * np.sin(np.arange(600) / 25) + 0.02 * np.random.default_rng(0).normal(size=600), 1)


def test_forecasts_of_a_coarse_grid_lie_on_it(tenths: np.ndarray) -> None:
    """After a while the forecast has the values' own decimals, and is better for it than the last value."""
    learner = run(tenths)
    mean = learner.predict(1)[0]["value"].mean
    assert mean == round(mean, 1)
    assert learner.metrics().total_skill > 0.1


def test_continuous_values_have_no_grid() -> None:
    """Values of many decimals are never rounded."""
    learner = run(np.random.default_rng(1).normal(size=200))
    mean = learner.predict(1)[0]["value"].mean
    assert mean != round(mean, 6)


def test_squared_loss_keeps_the_mean(tenths: np.ndarray) -> None:
    """The squared error is least at the mean, so nothing is rounded there."""
    mean = run(tenths, loss="squared").predict(1)[0]["value"].mean
    assert mean != round(mean, 1)
