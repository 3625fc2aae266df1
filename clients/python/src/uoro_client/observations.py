"""Observations on their way out, and their JSON.

A value is a number, a string, a boolean, or None for missing. NaN and infinities are refused here, before
they can turn into a silent null; give None for what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeAlias

import msgspec

Value: TypeAlias = float | int | str | bool | None
Timestamp: TypeAlias = float | str | datetime


class Observation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stream showed at one moment.

    Attributes:
        x: value by field name; an absent field is missing.
        t: epoch seconds, an RFC 3339 string, or a datetime with a time zone.
        seq: its place in the stream, 1, 2, 3 …; None lets the server or a `Writer` number it.
        stream: the id of its stream, where several streams share one request.
    """

    x: Mapping[str, Value]
    t: Timestamp | None = None
    seq: int | None = None
    stream: str | None = None


Observations: TypeAlias = Iterable[Observation | Mapping[str, Value]]
"""Several observations; a bare mapping stands for its `x`."""


def observation(given: Observation | Mapping[str, Value]) -> Observation:
    """A checked observation. Raises ValueError for a number that JSON cannot carry or a naive datetime."""
    made = given if isinstance(given, Observation) else Observation(given)
    for name, value in made.x.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"field {name!r} is {value}; give None for a missing value")
    if isinstance(made.t, datetime) and made.t.tzinfo is None:
        raise ValueError(f"the timestamp {made.t.isoformat()} has no time zone")
    return made


def _plain(foreign: object) -> object:
    """The Python number inside an array library's scalar."""
    unwrap = getattr(foreign, "item", None)
    if unwrap is None:
        raise TypeError(f"a {type(foreign).__name__} is not a value of an observation")
    return unwrap()


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def encode(document: object) -> bytes:
    """A document as JSON."""
    return _ENCODER.encode(document)


def encode_lines(observations: Iterable[Observation]) -> bytes:
    """Observations as NDJSON, one a line."""
    return _ENCODER.encode_lines(list(observations))
