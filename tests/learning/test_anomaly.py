"""The anomaly score: a tail probability that is honest, bounded, and blind to the future."""

from __future__ import annotations

import numpy as np
import pytest

from uoro.domain import Observation
from uoro.learning.anomalies import combined
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec


def scores(values: np.ndarray, start: float | None = None) -> np.ndarray:
    """The score of every value after the first; five minutes apart if there is a start."""
    learner = Learner.new(StreamSpec.parse({"fields": {"value": {"type": "number"}}, "hidden_size": 4}))
    found = []
    for place, value in enumerate(values.tolist()):
        t = None if start is None else start + 300.0 * place
        found.append(learner.observe(Observation({"value": value}, t=t, is_calendar=t is not None)).anomaly)
    assert found[0] is None
    return np.array(found[1:], dtype=np.float64)


@pytest.mark.parametrize("kind", ["normal", "heavy", "wave"])
def test_scores_are_tail_probabilities(kind: str) -> None:
    """On streams that do not change, one score in twenty is at least .95, and one in a hundred at least .99."""
    chance = np.random.default_rng(3)
    noise = chance.standard_t(3, 4000) if kind == "heavy" else chance.normal(size=4000)
    values = noise + (5 * np.sin(np.arange(4000) / 9) if kind == "wave" else 0.0)
    found = scores(values)[500:]
    assert ((found >= 0) & (found <= 1)).all()
    assert 0.02 <= (found >= 0.95).mean() <= 0.08
    assert (found >= 0.99).mean() <= 0.02


@pytest.mark.parametrize("change", [12.0, -12.0])
def test_what_was_never_seen_scores_highest(change: float) -> None:
    """A value far outside everything so far scores above .999, and above all that came before."""
    values = np.random.default_rng(1).normal(size=1500)
    values[1200] += change
    found = scores(values)
    assert found[1199] > 0.999
    assert found[1199] >= found[200:1199].max()


def test_the_future_does_not_reach_back() -> None:
    """The scores of a prefix are those of the whole, bit for bit."""
    values = np.random.default_rng(2).normal(size=600)
    assert np.array_equal(scores(values[:400], 1.4e9), scores(values, 1.4e9)[:399])


def test_the_first_values_are_not_all_anomalies() -> None:
    """While little is known a score stays modest: none of the first fifty is above .99."""
    assert scores(np.random.default_rng(4).normal(size=51)).max() < 0.99


def test_a_value_that_is_unusual_for_its_hour_is_seen() -> None:
    """A night value at noon: usual in itself, never at this time of day."""
    steps = np.arange(288 * 14)
    values = 100.0 * (np.sin(2 * np.pi * steps / 288) > 0) + np.random.default_rng(5).normal(size=steps.size)
    values[288 * 13 + 72] -= 100.0
    found = scores(values, 1_388_534_400.0)
    assert found[288 * 13 + 71] > 0.99


def test_the_highest_of_several_is_judged_as_one_of_several() -> None:
    """With T independent scores the combination is again uniform: P(max ≤ x) = xᵀ."""
    uniform = np.random.default_rng(6).random((20_000, 5))
    found = np.array([combined(row.tolist()) for row in uniform])
    assert abs((found >= 0.95).mean() - 0.05) < 0.01
    assert combined([]) == 0.0
