"""Entries of texts become observations, or are set aside."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro.feeds.entries import MAX_DATE_MS, infer_spec, kinds_of, ms_of, observation_of, time_of
from uoro.feeds.errors import MisfitError
from uoro.limits import MAX_CATEGORY_BYTES, MAX_FIELDS

KINDS = {"v": "number", "k": "category"}


def test_the_first_entries_say_what_the_fields_are() -> None:
    """A number if all its texts are or are missing; whatever else is a category."""
    spec = infer_spec([{"a": "1", "b": "x", "c": ""}, {"a": "-2e3", "b": "1", "d": "1_000"}, {"a": " "}])
    assert kinds_of(spec) == {"a": "number", "b": "category", "c": "number", "d": "category"}


@pytest.mark.parametrize(
    ("entry", "x"),
    [
        ({"v": "1.5", "k": "on"}, {"v": 1.5, "k": "on"}),
        ({"v": "", "k": ""}, {"v": None, "k": None}),
        ({"v": "NaN"}, {"v": None}),
        ({"v": "-1e30", "k": "é" * (MAX_CATEGORY_BYTES // 2)}, {"v": -1e30, "k": "é" * (MAX_CATEGORY_BYTES // 2)}),
        ({}, {}),
    ],
)
def test_an_entry_that_fits(entry: dict[str, str], x: dict[str, object]) -> None:
    """With its time, in UTC, to the millisecond."""
    one = observation_of(entry, 1_500, KINDS)
    assert (one.x, one.t, one.seq) == (x, "1970-01-01T00:00:01.500Z", None)


@pytest.mark.parametrize(
    "entry", [{"v": "x"}, {"v": "1.1e30"}, {"v": "inf"}, {"k": "é" * 64 + "x"}, {"other": "1"}, {"v": "1_0"}]
)
def test_an_entry_that_does_not_fit(entry: dict[str, str]) -> None:
    """Is set aside as a whole."""
    with pytest.raises(MisfitError):
        observation_of({"v": "1"} | entry, 0, KINDS)


def test_a_stream_has_a_bounded_number_of_fields() -> None:
    """At the limit one can be made of the entries, one past it and without any none can."""
    assert len(kinds_of(infer_spec([{f"f{i}": "1" for i in range(MAX_FIELDS)}]))) == MAX_FIELDS
    for entry in ({f"f{i}": "1" for i in range(MAX_FIELDS + 1)}, {}):
        with pytest.raises(MisfitError):
            infer_spec([entry])


@given(st.integers(0, MAX_DATE_MS))
def test_a_time_comes_back_to_the_millisecond(ms: int) -> None:
    """As the standard library reads it, and as the service tells it."""
    told = time_of(ms)
    assert told is not None
    assert datetime.fromisoformat(told).year == datetime.fromtimestamp(ms // 1000, UTC).year
    assert ms_of(told) == ms
    assert time_of(MAX_DATE_MS + 1) is None
