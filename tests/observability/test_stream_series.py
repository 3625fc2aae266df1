"""What a scrape says of single streams, and for how many."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrape import of_streams, samples

from uoro.domain import CategoryPrediction, Metrics, NumberPrediction, Observation, Result
from uoro.observability.metrics import PrometheusMeter

Build: TypeAlias = Callable[..., Any]
number = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30)
name_ = st.text(min_size=1, max_size=30, alphabet=st.characters(exclude_categories=["Cs"]))


def meter(stream_metrics_max: int = 200) -> PrometheusMeter:
    return PrometheusMeter("0.1.0", "cpu", stream_metrics_max)


def test_a_stream_s_metrics_are_what_was_told(event: Build) -> None:
    """Samples are of the recent window, of the newest value and of the prediction made for it."""
    told = meter()
    event(observations=40).tell(told, "plant-1/pump:a")
    event().tell(told, "plant-1/pump:a")
    stream = ("stream", "plant-1/pump:a")
    assert of_streams(told.scrape()) == {
        ("uoro_stream_loss", (stream,)): 0.25,
        ("uoro_stream_baseline_loss", (stream,)): 0.5,
        ("uoro_stream_skill_ratio", (stream,)): 0.5,
        ("uoro_stream_anomaly_ratio", (stream,)): 0.125,
        ("uoro_stream_observations_total", (stream,)): 41,
        ("uoro_stream_value", (("field", "value"), stream)): 10.5,
        ("uoro_stream_prediction", (("field", "value"), stream)): 10.25,
        ("uoro_stream_prediction_lower", (("field", "value"), stream)): 8.75,
        ("uoro_stream_prediction_upper", (("field", "value"), stream)): 11.5,
        ("uoro_stream_estimate_noise_ratio", (stream,)): 0.75,
        ("uoro_stream_estimate_weight_ratio", (stream,)): 0.375,
        ("uoro_stream_influence_norm", (("part", "s_tilde"), stream)): 1.5,
        ("uoro_stream_influence_norm", (("part", "theta_tilde"), stream)): 2.5,
    }


def test_what_does_not_exist_has_no_sample(event: Build) -> None:
    """A first observation has a value but no prediction, loss or skill; the types are there all the same."""
    told = meter()
    event(
        prediction=None,
        loss=None,
        baseline_loss=None,
        skill=None,
        anomaly=None,
        estimate_noise=None,
        estimate_weight=None,
        influence_norm={},
        observations=1,
    ).tell(told, "a")
    assert of_streams(told.scrape()) == {
        ("uoro_stream_observations_total", (("stream", "a"),)): 1,
        ("uoro_stream_value", (("field", "value"), ("stream", "a"))): 10.5,
    }


def test_only_number_targets_have_series(event: Build) -> None:
    """Categories, inputs and missing values give no value; what was predicted for a missing one is shown."""
    told = meter()
    predicted = {
        "missing": NumberPrediction(1.0, 0.0, 2.0),
        "absent": NumberPrediction(3.0, 2.0, 4.0),
        "kind": CategoryPrediction({"login": 1.0}, 0.0),
    }
    event(x={"missing": None, "kind": "login", "input": 5.0}, prediction=predicted).tell(told, "a")
    fields = {(name, dict(labels)["field"]) for name, labels in of_streams(told.scrape()) if "field" in dict(labels)}
    ends = ("uoro_stream_prediction", "uoro_stream_prediction_lower", "uoro_stream_prediction_upper")
    assert fields == {(name, field) for name in ends for field in ("missing", "absent")}


@given(st.dictionaries(name_, st.tuples(number, number, number, number), min_size=1, max_size=4), name_)
def test_any_field_and_number_comes_back_from_the_parser(
    fields: dict[str, tuple[float, float, float, float]], stream: str
) -> None:
    """Quotes, backslashes, newlines and extreme numbers are read back as they were put in, bit for bit."""
    told = meter()
    predicted = {name: NumberPrediction(*numbers[1:]) for name, numbers in fields.items()}
    told.learned(
        stream,
        [Observation({name: numbers[0] for name, numbers in fields.items()})],
        [Result(2, None, predicted, None, None, None, predicted)],
        [math.nan],
        None,
        0.0,
    )
    told.measured(stream, Metrics(2, 1000, None, None, None, None, None, None, None, None, {}, {}, 0))
    # The text format ends a line at \n alone; prometheus_client's parser splits nowhere else either.
    expected = {("uoro_stream_observations_total", (("stream", stream),)): 2.0}
    for name, numbers in fields.items():
        labels = (("field", name), ("stream", stream))
        for end, given_number in zip(
            ("value", "prediction", "prediction_lower", "prediction_upper"), numbers, strict=True
        ):
            expected[f"uoro_stream_{end}", labels] = given_number
    assert of_streams(told.scrape()) == expected


def test_a_lone_surrogate_does_not_break_the_scrape(event: Build) -> None:
    """Text that UTF-8 cannot hold is replaced: one odd field must not blind the operator."""
    told = meter()
    event(x={"\ud800": 1.0}, prediction={"\ud800": NumberPrediction(1.0, 1.0, 1.0)}).tell(told, "a")
    assert of_streams(told.scrape())["uoro_stream_value", (("field", "?"), ("stream", "a"))] == 1.0


def tracked(told: PrometheusMeter) -> set[str]:
    return {dict(labels)["stream"] for _, labels in of_streams(told.scrape())}


def truncated(told: PrometheusMeter) -> float:
    return samples(told.scrape())["uoro_stream_metrics_truncated", ()]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_streams_are_bounded(event: Build, limit: int) -> None:
    """At the limit none is left out, one past it one is; the first to come keep their place."""
    told = meter(limit)
    for number_ in range(limit):
        event().tell(told, f"s{number_}")
    assert truncated(told) == 0
    event().tell(told, "late")
    event().tell(told, "late")
    assert truncated(told) == 1
    assert tracked(told) == {f"s{number_}" for number_ in range(limit)}


def test_a_forgotten_stream_frees_its_place(event: Build) -> None:
    """After a deletion the next stream that learns takes the place, and the count of those left out falls."""
    told = meter(2)
    for stream in ("a", "b", "c", "d"):
        event().tell(told, stream)
    assert truncated(told) == 2
    told.forgot(["a", "never seen"])
    assert tracked(told) == {"b"}
    event().tell(told, "d")
    assert (tracked(told), truncated(told)) == ({"b", "d"}, 1)
    told.forgot(["c"])
    assert truncated(told) == 0
