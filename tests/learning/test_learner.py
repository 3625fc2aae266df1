"""The learner as a whole: one battery over every cell × estimator × optimizer × loss, and what it promises."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from uoro import limits
from uoro.domain import CategoryPrediction, Metrics, NumberPrediction, Observation, Result
from uoro.errors import CorruptRecord, InvalidSpec
from uoro.learning.kernel.family import SIGNAL, TOTAL
from uoro.learning.kernel.numeric.aggregation import BOUND, FORECAST, REGRET, VARIANCE, WEIGHT
from uoro.learning.kernel.symbols.state import ADVANCING, PENDING
from uoro.learning.learner import Learner
from uoro.learning.mixture import Mixture
from uoro.learning.spec import StreamSpec

BATTERY = list(
    itertools.product(
        ["gru", "lstm", "rnn", "lru", "linear"],
        ["uoro", "snap1", "rtrl", "tbptt", "frozen"],
        ["adam", "sgd", "rmsprop"],
        ["auto", "gaussian", "squared"],
    )
)


def spec_of(**options: Any) -> StreamSpec:
    fields = options.pop("fields", {"value": {"type": "number"}})
    return StreamSpec.parse({"fields": fields, "hidden_size": 4} | options)


def mixed(num: int, *, seed: int = 0) -> list[Observation]:
    """Observations of a number, a category and an input, some missing, dated every half hour."""
    random = np.random.default_rng(seed)
    seen = []
    for i in range(num):
        x: dict[str, float | str | None] = {
            "value": float(10 * math.sin(i / 4) + random.normal()),
            "kind": "abcde"[int(random.integers(5))],
            "load": float(random.normal()),
        }
        for name in list(x):
            if random.random() < 0.1:
                x[name] = None
        seen.append(Observation(x, t=1.4e9 + 1800.0 * i, is_calendar=True))
    return seen


MIXED = {
    "value": {"type": "number"},
    "kind": {"type": "category", "size": 4},
    "load": {"type": "number", "role": "input"},
}


def numbers_in(value: object) -> list[float]:
    """Every float in a result, prediction or metrics."""
    if isinstance(value, float):
        return [value]
    if isinstance(value, dict):
        return [number for inner in value.values() for number in numbers_in(inner)]
    if isinstance(value, Result | Metrics | NumberPrediction | CategoryPrediction):
        return [number for name in value.__struct_fields__ for number in numbers_in(getattr(value, name))]
    return []


def assert_sound(value: object) -> None:
    """All numbers are finite, intervals hold their mean, probabilities and anomalies are in [0, 1]."""
    assert all(math.isfinite(number) for number in numbers_in(value))
    if isinstance(value, Result):
        assert value.anomaly is None or 0.0 <= value.anomaly <= 1.0
        for prediction in (value.prediction or {}, value.next or {}):
            for forecast in prediction.values():
                if isinstance(forecast, NumberPrediction):
                    assert forecast.lower <= forecast.mean <= forecast.upper
                else:
                    total = sum(forecast.probabilities.values()) + forecast.other
                    assert total == pytest.approx(1.0)
                    assert min(forecast.probabilities.values(), default=0.0) >= 0.0


@pytest.mark.parametrize(("cell", "name", "optimizer", "loss"), BATTERY)
def test_battery(cell: str, name: str, optimizer: str, loss: str) -> None:
    """Deterministic, continues from a dump bit for bit, and every number it says is finite."""
    spec = spec_of(
        fields=MIXED,
        cell=cell,
        learner={"name": name, "rank": 2, "truncation": 3},
        optimizer={"name": optimizer, "learning_rate": 0.01, "decay": 0.01, "clip": 1.0},
        loss=loss,
        aggregation="none" if loss == "gaussian" else "boa",
    )
    seen = mixed(60)
    first, second = Learner.new(spec), Learner.new(spec)
    for i, observation in enumerate(seen):
        if i == 30:
            second = Learner.load(spec, second.dump())
        one, other = first.observe(observation), second.observe(observation)
        assert one == other
        assert_sound(one)
    assert first.dump() == second.dump()
    assert_sound(first.metrics())
    moved = first.block["core.theta"] != Learner.new(spec).block["core.theta"]
    assert moved.any() == (name != "frozen")
    assert first.metrics().numeric_resets == 0


def test_prediction_is_what_had_been_said() -> None:
    """A result's prediction is the one that the result before it announced; the first has none."""
    learner = Learner.new(spec_of(fields=MIXED))
    announced = None
    for observation in mixed(30):
        result = learner.observe(observation)
        assert result.prediction == announced
        announced = result.next


@pytest.mark.parametrize("loss", ["huber", "squared"])
def test_loss_is_of_the_prediction_made_before(loss: str) -> None:
    """Loss and baseline loss of a lone number are its errors in the user's unit, of forecast and last value."""
    learner = Learner.new(spec_of(loss=loss))
    last = announced = None
    for i in range(30):
        value = math.sin(i) * 100
        result = learner.observe(Observation({"value": value}))
        if i:
            power = 2 if loss == "squared" else 1
            assert result.loss == pytest.approx(abs(value - announced["value"].mean) ** power)
            assert result.baseline_loss == pytest.approx(abs(value - last) ** power)
        last, announced = value, result.next


def test_category_loss_is_minus_log_of_its_probability() -> None:
    """In nats; and the naive loss is that of the running frequencies."""
    learner = Learner.new(spec_of(fields={"kind": {"type": "category", "size": 8}}))
    known: dict[str, int] = {}
    news, announced = 0, None
    for i in range(40):
        word = "abcac"[i % 5]
        result = learner.observe(Observation({"kind": word}))
        if i:
            total = sum(known.values()) + news + 0.5 * (len(known) + 1)
            naive = (known.get(word, news) + 0.5) / total
            said = announced["kind"].probabilities.get(word, announced["kind"].other)
            assert result.loss == pytest.approx(-math.log(said))
            assert result.baseline_loss == pytest.approx(-math.log(naive))
            if word in known:
                known[word] += 1
            else:
                news += 1
        known.setdefault(word, 0)
        announced = result.next


@pytest.mark.parametrize("season", ["auto", "none", 7])
def test_predict_changes_nothing(season: str | int) -> None:
    """Any horizon leaves the block as it was; the first step is the pending prediction."""
    learner = Learner.new(spec_of(fields=MIXED, season=season))
    assert learner.predict(3) is None
    for observation in mixed(40):
        result = learner.observe(observation)
    before = learner.dump()
    steps = learner.predict(20)
    assert learner.dump() == before
    assert len(steps) == 20
    assert steps[0] == result.next
    for step in steps:
        assert_sound(Result(1, None, None, None, None, None, step))
    widths = [step["value"].upper - step["value"].lower for step in steps]
    assert widths[-1] > widths[0]


def test_frozen_stream_learns_nothing_but_listens() -> None:
    """learn=False leaves θ, readout, statistics, tables and weights; the state and the prediction move on."""
    learner = Learner.new(spec_of(fields=MIXED))
    seen = mixed(80)
    for observation in seen[:40]:
        learner.observe(observation)
    moving = ("learner.seq", "core.state", "core.previous", "core.x", "core.activations", "core.output",
              "core.steps", "encoder.present", "encoder.category", "numbers.", "forecast.", "grid.plain",
              *(f"categories.kind.{name}" for name in ("probabilities", *ADVANCING, *PENDING)),
              "anomaly.", "evaluation.", "ring.")  # fmt: skip
    before = {name: view.copy() for name, view in learner.block.views.items()}
    results = [learner.observe(observation, learn=False) for observation in seen[40:]]
    changed = {
        name
        for name, view in learner.block.views.items()
        if not np.array_equal(
            view.view(np.uint8) if view.size else view, before[name].view(np.uint8) if view.size else view
        )
    }
    assert {name for name in changed if not name.startswith(moving)} == set()
    assert {"core.state", "numbers.past"} <= changed
    for name in ("short", "long", "log", "cross", "stack", "stacked", "corrected"):
        models = learner.block[f"numbers.{name}"]
        size = models.shape[-1]  # P and θ; the rows behind them are the pending forecast's
        assert np.array_equal(models[..., : size + 1, :], before[f"numbers.{name}"][..., : size + 1, :])
    for row in (REGRET, VARIANCE, BOUND, WEIGHT):
        assert np.array_equal(learner.block["numbers.experts"][:, row], before["numbers.experts"][:, row])
        assert np.array_equal(learner.block["numbers.sides"][:, :, row], before["numbers.sides"][:, :, row])
    for name in ("readout", "log_growth", "counts"):
        assert np.array_equal(learner.block[f"numbers.{name}"], before[f"numbers.{name}"])
    assert len({str(result.next) for result in results}) > 30
    learner.unfreeze()
    assert not learner.block["estimator.theta_tilde"].any()
    learner.observe(seen[0])


@pytest.mark.parametrize(
    ("learner", "parts"),
    [
        ({}, {"influence"}),
        ({"name": "uoro", "rank": 2}, {"s_tilde", "theta_tilde"}),
        ({"name": "tbptt"}, set()),
        ({"name": "frozen"}, set()),
    ],
)
def test_influence_of_an_lru_is_shown_and_dropped_as_any(learner: dict[str, Any], parts: set[str]) -> None:
    """By default the exact influence alone; frozen it stays as it was, and learning resumes from none."""
    model = Learner.new(spec_of(fields=MIXED, cell="lru", **({"learner": learner} if learner else {})))
    for observation in mixed(40):
        model.observe(observation)
    norms = model.metrics().influence_norm
    assert set(norms) == parts
    assert all(norm > 0 for norm in norms.values())
    for observation in mixed(10, seed=1):
        model.observe(observation, learn=False)
    assert model.metrics().influence_norm == norms
    model.unfreeze()
    assert not any(model.metrics().influence_norm.values())
    for observation in mixed(10, seed=2):
        model.observe(observation)
    assert model.metrics().numeric_resets == 0


def test_recent_results_are_kept() -> None:
    """The ring answers for the newest observations with exactly what was said, and for no others."""
    learner = Learner.new(spec_of(fields=MIXED))
    said = [learner.observe(observation) for observation in mixed(limits.MAX_RECENT_RESULTS + 10)]
    for result in said[-limits.MAX_RECENT_RESULTS :]:
        assert learner.result(result.seq) == result
    assert learner.result(said[9].seq) is None
    assert learner.result(said[-1].seq + 1) is None
    assert learner.result(0) is None
    assert learner.results(5) == said[-5:]
    assert learner.results(10**6) == said[-limits.MAX_RECENT_RESULTS :]
    assert Learner.load(learner.spec, learner.dump()).results(64) == said[-64:]


def test_unknown_words_are_one_class() -> None:
    """Beyond the size of the vocabulary words are 'other', and the loss stays finite."""
    learner = Learner.new(spec_of(fields={"kind": {"type": "category", "size": 2}}))
    for i in range(62):
        result = learner.observe(Observation({"kind": f"word {i % 6}"}))
        assert_sound(result)
    assert set(result.next["kind"].probabilities) <= {"word 0", "word 1"}
    assert result.next["kind"].other > 0.3


def test_a_state_of_another_spec_is_refused() -> None:
    """A dump that does not fit the spec raises CorruptRecord."""
    small, large = spec_of(), spec_of(hidden_size=8)
    with pytest.raises(CorruptRecord):
        Learner.load(large, Learner.new(small).dump())


def test_a_spec_whose_state_would_be_too_large_is_refused() -> None:
    """RTRL with 256 LSTM units is over the limit of a stream's state."""
    with pytest.raises(InvalidSpec):
        Learner.new(spec_of(cell="lstm", hidden_size=256, learner={"name": "rtrl"}))


def test_default_stream_is_modest() -> None:
    """A stream of one number with the default spec takes less than 350 kB."""
    assert Learner.new(StreamSpec.infer(Observation({"value": 1.0}))).nbytes < 350_000


def test_residual_unit_is_not_taken_from_the_first_errors() -> None:
    """Three tiny errors, then normal ones: no expert errs by hundreds of naive errors, and the forecast not by
    three.
    """
    learner = Learner.new(spec_of(hidden_size=16))
    random = np.random.default_rng(1)
    value, worst, worst_expert = 0.0, 0.0, 0.0
    for i in range(200):
        value += 1e-9 if i < 4 else float(random.normal())
        if i > 6:
            forecasts = learner.block["numbers.experts"][0, FORECAST]
            worst_expert = max(worst_expert, float(np.abs(forecasts - forecasts[0]).max()))
            worst = max(worst, abs(float(learner.block["forecast.mean"][0] - forecasts[0])))
        learner.observe(Observation({"value": value}))
    metrics = learner.metrics()
    assert worst_expert < 100
    assert worst < 3
    assert metrics.total_loss < 1.1 * metrics.total_baseline_loss


@pytest.mark.parametrize("name", ["uoro", "rtrl"])
def test_the_core_learns_what_no_memoryless_model_can(name: str) -> None:
    """Alone (no aggregation) it beats the last value on a noiseless wave, and its frozen twin."""
    skills = {}
    for learner_name in (name, "frozen"):
        learner = Learner.new(
            spec_of(
                hidden_size=12,
                learner={"name": learner_name},
                aggregation="none",
                optimizer={"learning_rate": 0.01},
            )
        )
        for i in range(1500):
            learner.observe(Observation({"value": math.sin(i / 3) + math.sin(i / 7.3)}))
        skills[learner_name] = learner.metrics().skill
    assert skills[name] > 0.4
    assert skills[name] > skills["frozen"]


def test_the_noise_of_the_estimate_is_told() -> None:
    """Copies that agree are all signal, copies that cancel all noise; without copies there is nothing to tell."""
    number = {"fields": {"v": {"type": "number"}}, "hidden_size": 4}
    learner = Learner.new(StreamSpec.parse(number))
    for step in range(100):
        learner.observe(Observation({"v": float(np.sin(step / 3) + (step * 7919 % 13) / 13)}))
    told = learner.metrics()
    assert told.estimate_noise is not None
    assert 0.0 < told.estimate_noise <= 1.0
    assert told.estimate_weight is not None
    assert 0.0 <= told.estimate_weight <= 1.0
    for signal, noise in ((2.0, 0.0), (0.0, 1.0), (-1.0, 1.0), (0.5, 0.75)):
        learner.core.weighing[SIGNAL], learner.core.weighing[TOTAL] = signal, 2.0
        assert learner.metrics().estimate_noise == noise
    deterministic = Learner.new(StreamSpec.parse({**number, "learner": {"name": "snap1"}}))
    assert (deterministic.metrics().estimate_noise, deterministic.metrics().estimate_weight) == (None, None)


@pytest.mark.parametrize("num_fields", [1, 2])
def test_weights_told_are_those_of_the_forecast(num_fields: int) -> None:
    """The experts' forecasts, weighed as told, are the pending forecast; who does not speak has no weight."""
    names = ["a", "b"][:num_fields]
    learner = Learner.new(StreamSpec.parse({"fields": {name: {"type": "number"} for name in names}, "hidden_size": 4}))
    chance = np.random.default_rng(0)
    for step in range(150):
        learner.observe(Observation({name: float(np.sin(step / 5) + chance.standard_normal()) for name in names}))
    numbers = learner.numbers
    assert isinstance(numbers, Mixture)
    for i, name in enumerate(names):
        weights = np.array(list(learner.metrics().expert_weights[name].values()))
        assert weights.sum() == pytest.approx(1.0)
        said = weights @ numbers.state.experts[i, FORECAST]
        assert said == pytest.approx(numbers.said.plain[i], rel=1e-9)
        assert (learner.metrics().expert_weights[name]["cross"] > 0) == (num_fields > 1)
