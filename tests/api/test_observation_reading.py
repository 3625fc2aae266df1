"""The two readers of observations: the fast one and the one that names the fault say the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uoro.api import observations
from uoro.api.observations import Body, examine, read_json, read_lines
from uoro.api.timestamps import epoch_s
from uoro.domain import Observation
from uoro.errors import InvalidObservation, RequestError

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


_lines = st.lists(
    st.one_of(
        st.builds(json.dumps, _documents),
        st.builds(lambda v: json.dumps({"x": {"a": v}}), st.floats(allow_nan=False, allow_infinity=False)),
        st.builds(lambda t: json.dumps({"stream": "u", "x": {"a": 1}, "t": t}), st.sampled_from([1, "2026-01-01"])),
        st.sampled_from(["", " ", "\r", "\x0b", "]", "[", "],[", "NaN", "\ufeff"]),
        st.sampled_from(['{"x":{}}{"x":{}}', '{"x":{}},{"x":{}}', '{"x":', '{"a":1}}', '{"x":{"a":1}', '"t":5}']),
        st.sampled_from(['{"x":{"a', 'b":1}}', '{"x":{"a":NaN}}', '{"stream":"/","x":{}}']),
    ),
    max_size=8,
)
"""Lines of all kinds, among them halves that would be whole with their neighbours."""


@example([" "], "s", 1, 3)
@example(["],["], "s", 10_000, 3)
@example(['{"x":{"a":1}}],[{"x":{"a":2}}'], "s", 10_000, 3)
@example(['{"x":{"a":"w"}}],[{"x":{"a":2}}', ""], "s", 10_000, 3)
@given(_lines, st.sampled_from([None, "s"]), st.sampled_from([1, 40, 10_000]), st.sampled_from([3, 100]))
def test_lines_read_at_once_are_those_read_one_by_one(
    lines: list[str], stream: str | None, chunk_bytes: int, most: int
) -> None:
    """Any lines in chunks of any size: the same observations, refusals and errors as line by line."""

    def outcome(read: Callable[[], Body]) -> object:
        try:
            body = read()
        except RequestError as error:
            return type(error), str(error)
        refused = {place: (type(error), str(error), error.field) for place, error in body.refused.items()}
        return [(run.stream, list(run.observations), list(run.places)) for run in body.runs], refused

    text = "\n".join(lines).encode()

    def one_by_one() -> Body:
        numbered = [(i, line) for i, line in enumerate(text.split(b"\n"), 1) if line and not line.isspace()]
        observations._check_count(len(numbered), most)
        body = Body()
        for i, line in numbered:
            body.add(observations._read_one(line, stream, f"line {i}"))
        return body

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observations, "CHUNK_BYTES", chunk_bytes)
        assert outcome(lambda: read_lines(text, stream, most)) == outcome(one_by_one)


@given(st.lists(_documents, max_size=4), st.sampled_from([None, "s"]))
def test_an_array_read_at_once_is_that_read_one_by_one(documents: list[dict[str, Any]], stream: str | None) -> None:
    """The observations and refusals of an array are those of its members."""
    body = read_json(json.dumps(documents).encode(), stream, 9)
    for place, document in enumerate(documents):
        reading = observations._read_one(json.dumps(document).encode(), stream, "")
        found = [run.observations[list(run.places).index(place)] for run in body.runs if place in run.places]
        if isinstance(reading, tuple):
            assert found == [reading[1]]
        else:
            assert (str(body.refused[place]), found) == (str(reading), [])


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
