"""A run in one compiled call is the same run spelled out call by call, to the last bit of the state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uoro.domain import Observation
from uoro.learning import fused
from uoro.learning.learner import Learner, observe_each
from uoro.learning.results import Results
from uoro.learning.spec import StreamSpec

NUMBER = {"type": "number"}
SPECS: dict[str, dict[str, Any]] = {
    "one target": {"fields": {"a": NUMBER}},
    "two targets and an input": {"fields": {"a": NUMBER, "b": NUMBER, "c": {**NUMBER, "role": "input"}}},
    "squared": {"fields": {"a": NUMBER}, "loss": "squared"},
    "gaussian, two": {"fields": {"a": NUMBER, "b": NUMBER}, "loss": "gaussian"},
    "a period": {"fields": {"a": NUMBER}, "season": 12},
    "no season": {"fields": {"a": NUMBER}, "season": "none"},
    "frozen LSTM": {"fields": {"a": NUMBER}, "cell": "lstm", "learner": {"name": "frozen"}},
    "alone": {"fields": {"a": NUMBER, "b": NUMBER, "c": {**NUMBER, "role": "input"}}, "aggregation": "none"},
    "alone, gaussian": {"fields": {"a": NUMBER}, "aggregation": "none", "loss": "gaussian", "season": 12},
    "alone, squared, frozen": {
        "fields": {"a": NUMBER},
        "aggregation": "none",
        "loss": "squared",
        "season": "none",
        "learner": {"name": "frozen"},
    },
    "plain UORO, RNN": {"fields": {"a": NUMBER}, "cell": "rnn", "learner": {"name": "uoro", "rank": 1}},
}


def stream(names: list[str], num: int, seed: int, *, is_dated: bool) -> list[Observation]:
    """A season with noise, gaps and a spike, written with two decimals; some fields are missing at times."""
    chance = np.random.default_rng(seed)
    out = []
    for step in range(num):
        x = {}
        for place, name in enumerate(names):
            value = round(10 * np.sin(step / 4 + place) + chance.standard_normal() + (1e6 if step == 90 else 0), 2)
            if chance.random() < 0.9:
                x[name] = float(value)
        t = 1.7e9 + 3600.0 * step + (7200 if step > 50 else 0) if is_dated or step % 3 else None
        out.append(Observation(x, t=t, is_calendar=is_dated))
    return out


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("is_dated", [False, True])
def test_fused_is_spelled_out(name: str, is_dated: bool) -> None:
    """200 observations, past two paths ahead and a frozen stretch: equal states and equal rows."""
    spec = StreamSpec.parse({"hidden_size": 6, **SPECS[name]})
    fused, spelled = Learner.new(spec), Learner.new(spec)
    assert fused.fused is not None
    spelled.fused = None
    for first, last, learn in ((0, 70, True), (70, 100, False), (100, 200, True)):
        observations = stream(sorted(spec.fields), 200, 1, is_dated=is_dated)[first:last]
        rows = fused.observe_all(observations, learn=learn).rows
        expected = spelled.observe_all(observations, learn=learn).rows
        assert np.array_equal(rows, expected, equal_nan=True)
        assert differing(fused, spelled) == []
    assert fused.predict(40) == spelled.predict(40)
    assert fused.metrics() == spelled.metrics()


@given(st.lists(st.integers(1, 70), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_bits_do_not_depend_on_how_observations_come(sizes: list[int]) -> None:
    """Any cut of a stream into runs leads to the state of one by one."""
    spec = StreamSpec.parse({"fields": {"a": NUMBER}, "hidden_size": 4})
    observations = stream(["a"], sum(sizes), 2, is_dated=False)
    cut, single = Learner.new(spec), Learner.new(spec)
    start = 0
    for size in sizes:
        cut.observe_all(observations[start : start + size])
        start += size
    for observation in observations:
        single.observe(observation)
    assert cut.dump() == single.dump()


def test_a_core_that_diverges_starts_afresh_in_both() -> None:
    """Parameters beyond the bound, put there by hand: reset and counted, with equal bits."""
    spec = StreamSpec.parse({"fields": {"a": NUMBER}, "hidden_size": 4})
    fused, spelled = Learner.new(spec), Learner.new(spec)
    spelled.fused = None
    observations = stream(["a"], 80, 3, is_dated=False)
    for learner in (fused, spelled):
        learner.observe_all(observations[:40])
        learner.core.theta[:] = 1e7
        learner.observe_all(observations[40:])
    assert fused.metrics().numeric_resets == 1
    assert differing(fused, spelled) == []


@given(st.lists(st.lists(st.tuples(st.sampled_from(list(SPECS)), st.integers(1, 3)), min_size=1), max_size=6))
@settings(max_examples=20, deadline=None)
def test_many_streams_in_one_call_are_each_alone(turns: list[list[tuple[str, int]]]) -> None:
    """Any turns of streams of any specs, frozen at times: rows and states are those of calls for each alone."""
    specs = {name: StreamSpec.parse({"hidden_size": 4, **document}) for name, document in SPECS.items()}
    together = {name: Learner.new(spec) for name, spec in specs.items()}
    alone = {name: Learner.new(spec) for name, spec in specs.items()}
    for number, turn in enumerate(turns):
        runs = {name: stream(sorted(specs[name].fields), size, number, is_dated=False) for name, size in turn}
        learn = number % 3 != 2
        told = observe_each([(together[name], its, learn) for name, its in runs.items()])
        for (name, its), results in zip(runs.items(), told, strict=True):
            assert isinstance(results, Results)
            expected = alone[name].observe_all(its, learn=learn)
            assert np.array_equal(results.rows, expected.rows, equal_nan=True)
    assert [name for name in specs if differing(together[name], alone[name])] == []


def test_a_run_that_cannot_be_read_is_refused_alone() -> None:
    """One stream is given a word for a number: it is told so and has not moved; its neighbours learned."""
    spec = StreamSpec.parse({"fields": {"a": NUMBER}, "hidden_size": 4})
    first, bad, last = (Learner.new(spec) for _ in range(3))
    good = Observation({"a": 1.0})
    told = observe_each([(first, [good], True), (bad, [Observation({"a": "word"})], True), (last, [good], True)])
    assert [type(its) for its in told] == [Results, ValueError, Results]
    assert [learner.seq for learner in (first, bad, last)] == [1, 0, 1]


def test_a_run_that_fails_amid_a_call_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled call ends after the first of three: the second is told, the third is learned all the same."""
    spec = StreamSpec.parse({"fields": {"a": NUMBER}, "hidden_size": 4})
    learners = [Learner.new(spec) for _ in range(3)]
    run_each = fused.mixture.run_each
    num_calls = 0

    def fail_in_the_second(calls: np.ndarray) -> None:
        nonlocal num_calls
        num_calls += 1
        run_each(calls[:1])
        if num_calls == 1:
            raise MemoryError

    monkeypatch.setattr(fused.mixture, "run_each", fail_in_the_second)
    told = observe_each([(learner, [Observation({"a": 1.0})], True) for learner in learners])
    assert [type(its) for its in told] == [Results, MemoryError, Results]
    assert [learner.seq for learner in learners] == [1, 0, 1]


def differing(one: Learner, other: Learner) -> list[str]:
    """Names of the parts whose bytes differ."""
    return [name for name, view in one.block.views.items() if view.tobytes() != other.block[name].tobytes()]
