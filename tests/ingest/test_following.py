"""Samples become observations: what is new, what a counter becomes, what is missing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_write_ground import STALE

from uoro.ingest.following import RATE, VALUE, Place, follow, is_stale
from uoro.limits import MAX_ABS_EPOCH_S, MAX_ABS_NUMBER


def shown(place: Place, samples: list[tuple[int, float]], kind: str) -> list[tuple[float | None, object]]:
    """(time, value) of the observations."""
    return [(o.t, o.x[kind]) for o in follow(place, samples, kind).observations]


def test_a_gauge_is_learned_as_it_is() -> None:
    """Each sample is an observation, with its time as a date, in seconds."""
    following = follow(Place(), [(1_000, 1.5), (2_500, -2.0)], VALUE)
    assert [(o.t, o.x, o.seq, o.is_calendar) for o in following.observations] == [
        (1.0, {"value": 1.5}, None, True),
        (2.5, {"value": -2.0}, None, True),
    ]
    assert following.place == Place(2, 2_500, -2.0)


def test_what_is_not_behind_the_newest_time_is_a_duplicate() -> None:
    """The sample at the newest time itself is one, the next millisecond is not."""
    following = follow(Place(7, 2_000), [(1_000, 1.0), (2_000, 2.0), (2_001, 3.0)], VALUE)
    assert (following.num_duplicates, [o.t for o in following.observations]) == (2, [2.001])
    assert following.place.seq == 8


def test_a_counter_becomes_a_rate() -> None:
    """Growth per second; from zero after a reset; missing while the sample before is not known."""
    samples = [(0, 10.0), (2_000, 16.0), (3_000, 16.0), (4_000, 5.0)]
    assert shown(Place(), samples, RATE) == [(0.0, None), (2.0, 3.0), (3.0, 0.0), (4.0, 5.0)]


def test_a_counter_goes_on_where_its_newest_sample_comes_again() -> None:
    """After a restart the reading is gone: sent again it is known, else the first rate is missing."""
    known, forgotten = Place(3, 2_000, 16.0), Place(3, 2_000)
    assert shown(known, [(4_000, 20.0)], RATE) == [(4.0, 2.0)]
    assert shown(forgotten, [(2_000, 16.0), (4_000, 20.0)], RATE) == [(4.0, 2.0)]
    assert shown(forgotten, [(1_000, 15.0), (4_000, 20.0), (5_000, 21.0)], RATE) == [(4.0, None), (5.0, 1.0)]


def test_a_stale_marker_is_no_observation_and_ends_a_counter() -> None:
    """What comes behind it is a first sample; one that is sent again ends nothing."""
    assert is_stale(STALE)
    assert not is_stale(math.nan)
    following = follow(Place(1, 1_000, 5.0), [(2_000, STALE), (3_000, 6.0)], RATE)
    assert (following.num_stale, [o.x for o in following.observations]) == (1, [{"rate": None}])
    assert shown(Place(1, 1_000, 5.0), [(500, STALE), (2_000, 6.0)], RATE) == [(2.0, 1.0)]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_missing(number: float) -> None:
    """Its observation takes its place, and a counter needs two samples again."""
    following = follow(Place(), [(1_000, number)], VALUE)
    assert ([o.x for o in following.observations], following.num_missing) == ([{"value": None}], 1)
    assert shown(Place(1, 0, 1.0), [(1_000, number), (2_000, 3.0), (3_000, 4.0)], RATE) == [
        (1.0, None), (2.0, None), (3.0, 1.0),
    ]  # fmt: skip


def test_numbers_and_times_have_bounds() -> None:
    """At the bound they are taken, beyond it refused."""
    latest = round(MAX_ABS_EPOCH_S * 1000)
    assert shown(Place(), [(latest, MAX_ABS_NUMBER)], VALUE) == [(MAX_ABS_EPOCH_S, MAX_ABS_NUMBER)]
    for ms, number in ((latest + 1, 1.0), (1, math.nextafter(MAX_ABS_NUMBER, math.inf)), (1, -1.1e30)):
        following = follow(Place(), [(ms, number)], VALUE)
        assert (following.num_invalid, following.observations, following.place) == (1, [], Place())


def test_a_rate_beyond_the_bound_is_missing() -> None:
    """A quick jump of a number that is allowed."""
    assert shown(Place(1, 0, 0.0), [(1, MAX_ABS_NUMBER)], RATE) == [(0.001, None)]


SAMPLES = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from([0.0, 1.0, 2.0, 5.0, math.nan, math.inf, STALE, 1e31])), max_size=12
)


@given(SAMPLES, st.integers(0, 12), st.integers(0, 12), st.sampled_from([VALUE, RATE]))
def test_whatever_is_sent_again_changes_nothing(
    samples: list[tuple[int, float]], cut: int, back: int, kind: str
) -> None:
    """A series in order, cut into two requests of which the second repeats any part, gives the same observations."""
    in_order = sorted(dict(samples).items())
    whole = follow(Place(), in_order, kind)
    first = follow(Place(), in_order[:cut], kind)
    second = follow(first.place, in_order[max(0, cut - back) :], kind)
    assert repr(first.observations + second.observations) == repr(whole.observations)
    assert repr(second.place) == repr(whole.place)
