"""The two readers of observations: the fast one and the one that names the fault say the same."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro.api import observations
from uoro.api.observations import examine, read_json
from uoro.api.timestamps import epoch_s
from uoro.domain import Observation
from uoro.errors import InvalidObservation

_values = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**35), 10**35)
    | st.sampled_from([1e30, -1e30, 10**30, 10**30 + 1, 1.1e30])
    | st.text(max_size=3)
    | st.sampled_from(["a" * 128, "a" * 129, "é" * 64, "é" * 65])
    | st.just([])
)
_documents = st.fixed_dictionaries(
    {},
    optional={
        "x": st.dictionaries(st.sampled_from(["a", "b", "", "n" * 100, "n" * 101]), _values, max_size=3) | st.none(),
        "t": st.none() | st.sampled_from(["2026-01-31T12:00:00Z", "x", 0, 1e11, 2e11, True, 5]),
        "seq": st.none() | st.sampled_from([0, 1, 2**53, 2**53 + 1, 1.0, "1", False]),
        "z": st.none(),
    },
)


def fast(document: dict[str, Any]) -> Observation | None:
    """What the decoder alone makes of a document; None if it refuses."""
    try:
        wire = msgspec.json.decode(json.dumps(document), type=observations._Bare)
        return observations.observation_of(wire.x, wire.t, wire.seq)
    except (msgspec.DecodeError, InvalidObservation):
        return None


def slow(document: dict[str, Any]) -> Observation | None:
    """What the examination makes of it."""
    try:
        reading = observations._examined(json.loads(json.dumps(document)), "s")
    except InvalidObservation:
        return None
    return reading[1] if isinstance(reading, tuple) else None


@given(_documents)
def test_both_readers_agree(document: dict[str, Any]) -> None:
    """They take the same documents, as the same observations."""
    assert fast(document) == slow(document)


def test_values_become_the_domain_s() -> None:
    """Integers are numbers, booleans are categories, times are epoch seconds that remember their form."""
    (run,) = read_json(b'{"x":{"a":1,"b":true,"c":false,"d":null,"e":"w"},"t":"1970-01-01T00:01:00Z"}', "s", 1).runs
    (observation,) = run.observations
    assert (run.stream, run.places) == ("s", [0])
    assert observation == Observation(
        {"a": 1.0, "b": "true", "c": "false", "d": None, "e": "w"}, 60.0, None, is_calendar=True
    )
    assert type(observation.x["a"]) is float


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01t00:00:00.25z", 0.25),
        ("1970-01-01 00:00:01", 1.0),
        ("1970-01-01T02:00:00+02:00", 0.0),
        ("1969-12-31T23:59:59.5-00:00", -0.5),
        ("2016-12-31T23:59:60Z", 1483228800.0),
        ("2017-01-01T00:00:00Z", 1483228800.0),
        ("0001-01-01T00:00:00Z", -62135596800.0),
    ],
)
def test_timestamps_are_seconds_since_the_epoch(text: str, seconds: float) -> None:
    """RFC 3339 with its odd corners; no zone is UTC."""
    assert epoch_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "2026-1-1T00:00:00Z", "20260131T120000Z", "2026-01-31T12:00Z", "٢٠٢٦-01-31T12:00:00Z"]
)
def test_other_forms_are_no_timestamps(text: str) -> None:
    """Neither shortened nor in other digits."""
    with pytest.raises(InvalidObservation):
        epoch_s(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1e30, 10**31])
def test_the_examination_refuses_what_json_cannot_carry(value: float) -> None:
    """Values that only a lenient parser lets through are refused by name."""
    with pytest.raises(InvalidObservation) as caught:
        examine({"x": {"v": value}})
    assert caught.value.field == "v"
