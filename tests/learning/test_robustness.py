"""Whatever finite input comes, the learner says finite things, warns of nothing, and recovers by itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uoro.domain import Observation, Result, Value
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec

MAX = 1e30
HOSTILE = {
    "largest": [MAX],
    "smallest": [1e-30],
    "denormal": [5e-324, 0.0, -5e-324],
    "zero": [0.0],
    "constant": [7.25],
    "alternating": [MAX, -MAX],
    "tiny and huge": [1e-30, MAX],
    "denormal and huge": [5e-324, MAX, 0.0],
    "step": [1.0] * 40 + [MAX] * 40,
    "steps down": [MAX] * 15 + [1.0] * 15 + [1e-30] * 15 + [0.0] * 15,
    "spike": [1.0, 1.1] * 20 + [MAX] + [1.0, 1.1] * 20,
    "growing": [1.9**i for i in range(100)],
    "all missing": [None],
    "mostly missing": [None, None, 3.0, None],
}
SPECS = {
    "default": {},
    "alone": {"aggregation": "none"},
    "gaussian": {"aggregation": "none", "loss": "gaussian"},
    "gaussian mixed": {"loss": "gaussian"},
    "squared": {"loss": "squared", "cell": "linear", "optimizer": {"name": "sgd", "learning_rate": 0.1}},
    "rtrl": {"learner": {"name": "rtrl"}, "cell": "linear"},
    "tbptt": {"learner": {"name": "tbptt", "truncation": 4}, "cell": "lstm"},
    "lru": {"cell": "lru"},
    "lru alone": {"cell": "lru", "aggregation": "none", "learner": {"name": "uoro", "rank": 2}},
}


def numbers_in(value: object) -> Iterator[float]:
    """Every float in a value of any nesting."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from numbers_in(inner)
    elif hasattr(value, "__struct_fields__"):
        for name in value.__struct_fields__:
            yield from numbers_in(getattr(value, name))


def assert_finite(learner: Learner, result: Result) -> None:
    """The result, the metrics and the block are sound."""
    assert all(math.isfinite(number) for number in numbers_in(result))
    for forecast in ((result.prediction or {}) | (result.next or {})).values():
        if hasattr(forecast, "mean"):
            assert forecast.lower <= forecast.mean <= forecast.upper
    assert result.anomaly is None or 0 <= result.anomaly <= 1
    assert not any(np.isinf(view).any() for view in learner.block.views.values() if view.dtype.kind == "f")


@pytest.mark.parametrize("options", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
def test_hostile_numbers(values: list[float | None], options: dict[str, Any]) -> None:
    """Finite results, intervals around their mean, and no warning, for every hostile sequence."""
    # Of two fields the losses are measured in units of the changes, of a lone one in the user's.
    num_fields = 2 if "loss" in options else 1
    fields = {f"field {i}": {"type": "number"} for i in range(num_fields)}
    learner = Learner.new(StreamSpec.parse({"fields": fields, "hidden_size": 4} | options))
    for i, value in zip(range(90), itertools.cycle(values), strict=False):
        result = learner.observe(Observation(dict.fromkeys(fields, value), t=1800.0 * i, is_calendar=True))
        assert_finite(learner, result)
    assert all(math.isfinite(number) for number in numbers_in(learner.metrics()))
    for step in learner.predict(10):
        assert all(math.isfinite(number) for number in numbers_in(step))


TIMES = {
    "huge": [1e11],
    "beyond any date": [1e300, -1e300],
    "backwards": [1e9 - 60.0 * i for i in range(60)],
    "repeated": [1.4e9],
    "year one": [-6.2e10],
    "jumps": [0.0, 1e11, -1e11, 5.0],
    "tiny steps": [1e9 + 1e-6 * i for i in range(60)],
    "none and some": [None, 1.4e9, None],
}


@pytest.mark.parametrize("aggregation", ["boa", "none"])
@pytest.mark.parametrize("is_calendar", [True, False])
@pytest.mark.parametrize("season", ["auto", 5])
@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_hostile_times(times: list[float | None], season: str | int, is_calendar: bool, aggregation: str) -> None:
    """Any timestamp, in any order, is taken and given back."""
    spec = StreamSpec.parse(
        {
            "fields": {"value": {"type": "number"}},
            "hidden_size": 4,
            "season": season,
            "aggregation": aggregation,
        }
    )
    learner = Learner.new(spec)
    for i, t in zip(range(60), itertools.cycle(times), strict=False):
        observation = Observation({"value": float(i % 7)}, t=t, is_calendar=is_calendar and t is not None)
        result = learner.observe(observation)
        assert_finite(learner, result)
        assert (result.t is None) == (t is None)
    assert len(learner.predict(5)) == 5


@pytest.mark.parametrize("aggregation", ["boa", "none"])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "a": st.one_of(st.none(), st.floats(-MAX, MAX)),
                "b": st.one_of(st.none(), st.sampled_from([0.0, 1e-30, 1.0, MAX, -MAX, 3.0])),
                "c": st.one_of(st.none(), st.text(max_size=5)),
            }
        ),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_finite_observations(rows: list[dict[str, Value]], aggregation: str) -> None:
    """Property: no finite input leads to a warning, an error, or a number that is not finite."""
    fields = {"a": {"type": "number"}, "b": {"type": "number"}, "c": {"type": "category", "size": 3}}
    spec = StreamSpec.parse({"fields": fields, "hidden_size": 3, "aggregation": aggregation})
    learner = Learner.new(spec)
    for row in rows:
        assert_finite(learner, learner.observe(Observation(row)))


@pytest.mark.parametrize("cell", ["gru", "rnn", "lstm", "lru", "linear"])
@pytest.mark.parametrize("name", ["uoro", "snap1", "rtrl", "tbptt"])
def test_a_diverging_core_recovers(cell: str, name: str) -> None:
    """A learning rate of 10 with plain gradient descent: always finite, and resets are counted if any."""
    learner = Learner.new(
        StreamSpec.parse(
            {
                "fields": {"value": {"type": "number"}},
                "hidden_size": 6,
                "cell": cell,
                "aggregation": "none",
                "loss": "squared",
                "learner": {"name": name, "truncation": 4},
                "optimizer": {"name": "sgd", "learning_rate": 10.0},
            }
        )
    )
    random = np.random.default_rng(0)
    for _ in range(300):
        assert_finite(learner, learner.observe(Observation({"value": float(random.normal())})))
    if cell == "linear":
        assert learner.metrics().numeric_resets > 0


def test_a_poisoned_core_starts_afresh() -> None:
    """NaN in θ is noticed at the next observation, counted once, and gone."""
    learner = Learner.new(StreamSpec.parse({"fields": {"value": {"type": "number"}}, "hidden_size": 4}))
    for i in range(10):
        learner.observe(Observation({"value": float(i % 3)}))
    learner.block["core.theta"][3] = np.nan
    assert_finite(learner, learner.observe(Observation({"value": 1.0})))
    assert learner.metrics().numeric_resets > 0
    assert np.isfinite(learner.block["core.theta"]).all()
    resets = learner.metrics().numeric_resets
    for i in range(10):
        assert_finite(learner, learner.observe(Observation({"value": float(i % 3)})))
    assert learner.metrics().numeric_resets == resets
