"""Payloads of messages become observations, or are set aside."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro.feeds.errors import MisfitError
from uoro.feeds.payloads import observation_of
from uoro_client import Observation


@pytest.mark.parametrize(
    ("payload", "one"),
    [
        (b"21.5", Observation({"value": 21.5})),
        (b"true", Observation({"value": True})),
        (b'"on"', Observation({"value": "on"})),
        (b"on", Observation({"value": "on"})),
        (b"null", Observation({"value": None})),
        (b'{"flow": 3, "state": "on"}', Observation({"flow": 3, "state": "on"})),
        (b'{"x": 3, "y": 4}', Observation({"x": 3, "y": 4})),
        (b'{"x": {"v": 1}, "t": 5, "seq": 7}', Observation({"v": 1}, 5, 7)),
        (b'{"x": {"v": 1}, "t": "2026-01-31T00:00:00Z"}', Observation({"v": 1}, "2026-01-31T00:00:00Z")),
    ],
)
def test_what_a_payload_says(payload: bytes, one: Observation) -> None:
    """A value, fields, or an observation."""
    assert observation_of(payload) == one


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff", b"[1]", b'{"v": [1]}', b'{"x": {"v": {}}}', b'{"x": {"v": 1}, "y": 2}', b'{"x": {}, "seq": 0}',
        b'{"x": {}, "seq": true}', b'{"x": {}, "seq": 1.5}', b'{"x": {}, "t": []}', b'{"x": {}, "t": true}',
    ],
)  # fmt: skip
def test_what_is_no_observation(payload: bytes) -> None:
    """Is set aside."""
    with pytest.raises(MisfitError):
        observation_of(payload)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_set_aside(payload: bytes) -> None:
    """And nothing else happens."""
    with suppress(MisfitError):
        observation_of(payload)
