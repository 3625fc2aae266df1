"""Observations from callers: syntax, types and limits. Whether one fits its stream's spec is the engine's to say.

Two readers give the same answers. The fast one is a msgspec decoder that knows the types and limits; what it
refuses is read again slowly, to say what is at fault, and where in an array, so that the rest can be learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from uoro import limits
from uoro.api.documents import UNREADABLE, is_text, parse
from uoro.api.paths import stream_id
from uoro.api.problems import TooManyObservations
from uoro.api.timestamps import epoch_s
from uoro.domain import Observation, Submission, Value
from uoro.errors import InvalidObservation, InvalidRequest

_FieldName = Annotated[str, Meta(min_length=1, max_length=limits.MAX_FIELD_NAME_CHARS)]
_Number = Annotated[float, Meta(ge=-limits.MAX_ABS_NUMBER, le=limits.MAX_ABS_NUMBER)]
_Category = Annotated[str, Meta(max_length=limits.MAX_CATEGORY_BYTES)]
Fields = Annotated[dict[_FieldName, _Number | _Category | bool | None], Meta(max_length=limits.MAX_FIELDS)]
Timestamp = Annotated[float, Meta(ge=-limits.MAX_ABS_EPOCH_S, le=limits.MAX_ABS_EPOCH_S)] | str | None
Seq = Annotated[int, Meta(ge=1, le=limits.MAX_SEQ)] | None


class _Bare(msgspec.Struct, forbid_unknown_fields=True):
    x: Fields
    t: Timestamp = None
    seq: Seq = None


class _Named(_Bare, forbid_unknown_fields=True, kw_only=True):
    stream: str


Reading = Submission | InvalidRequest
"""One observation that was read, or why it is refused."""


@dataclass(frozen=True, slots=True)
class Body:
    """The observations of a request's body, in order. `is_single`: it was one object, not several."""

    readings: list[Reading]
    is_single: bool = False

    @property
    def submissions(self) -> list[Submission]:
        """Those that go to the engine."""
        return [reading for reading in self.readings if isinstance(reading, Submission)]


_BARE, _BARES = msgspec.json.Decoder(_Bare), msgspec.json.Decoder(list[_Bare])
_NAMED, _NAMEDS = msgspec.json.Decoder(_Named), msgspec.json.Decoder(list[_Named])


def read_json(body: bytes, stream: str | None, max_observations: int) -> Body:
    """The observations of a JSON body, one object or an array.

    `stream` is whose they are; None means that each names its own. Raises MalformedBody, TooManyObservations.
    """
    if body.lstrip(b" \t\r\n")[:1] == b"[":
        decoder = _BARES if stream is not None else _NAMEDS
        try:
            wires = decoder.decode(body)
        except UNREADABLE:
            documents = parse(body)
            assert isinstance(documents, list)  # noqa: S101 - it begins with a bracket
            _check_count(len(documents), max_observations)
            return Body([_examined(document, stream) for document in documents])
        _check_count(len(wires), max_observations)
        return Body([_submission(wire, stream) for wire in wires])
    return Body([_read_one(body, stream, "the body")], is_single=True)


def read_lines(body: bytes, stream: str | None, max_observations: int) -> Body:
    """The observations of an NDJSON body, one a line; blank lines do not count.

    Raises MalformedBody naming the line, TooManyObservations.
    """
    lines = [(i, line) for i, line in enumerate(body.split(b"\n"), 1) if line and not line.isspace()]
    _check_count(len(lines), max_observations)
    return Body([_read_one(line, stream, f"line {i}") for i, line in lines])


def _check_count(num: int, max_observations: int) -> None:
    if num > max_observations:
        raise TooManyObservations(f"one request may carry {max_observations} observations, this one has {num}")


def _read_one(text: bytes, stream: str | None, where: str) -> Reading:
    decoder = _BARE if stream is not None else _NAMED
    try:
        wire = decoder.decode(text)
    except UNREADABLE:
        return _examined(parse(text, where), stream)
    return _submission(wire, stream)


def _submission(wire: _Bare, stream: str | None) -> Reading:
    """What the decoder cannot know: bytes of a category, the calendar, the id."""
    try:
        if stream is None:
            assert isinstance(wire, _Named)  # noqa: S101 - a stream is missing only where each names its own
            stream = stream_id(wire.stream)
        return Submission(stream, observation_of(wire.x, wire.t, wire.seq))
    except InvalidRequest as error:
        return error


def observation_of(x: dict[str, float | str | bool | None], t: float | str | None, seq: int | None) -> Observation:
    """An observation of decoded members. Raises InvalidObservation."""
    fields: dict[str, Value] = x
    for name, value in x.items():
        if value is True:
            fields[name] = "true"
        elif value is False:
            fields[name] = "false"
        elif type(value) is str and not value.isascii():
            _check_category(name, value)
    if t.__class__ is str:
        return Observation(fields, epoch_s(str(t)), seq, is_calendar=True)
    return Observation(fields, t, seq)  # type: ignore[arg-type]  # not a string here


def _examined(document: object, stream: str | None) -> Reading:
    try:
        if not isinstance(document, dict):
            raise InvalidObservation("an observation is a JSON object")
        return _submission_of(document, stream)
    except InvalidRequest as error:
        return error


def _submission_of(document: dict[str, object], stream: str | None) -> Submission:
    known = ("x", "t", "seq") if stream is not None else ("stream", "x", "t", "seq")
    for key in document:
        if key not in known:
            raise InvalidObservation(f"unknown member {key!r}; known are {', '.join(known)}", field=key)
    if stream is None:
        stream = stream_id(document.get("stream"))
    return Submission(stream, examine(document))


def examine(document: dict[str, object]) -> Observation:
    """The observation of a document that a decoder refused, member by member.

    Raises InvalidObservation naming what is at fault.
    """
    x = document.get("x")
    if not isinstance(x, dict):
        raise InvalidObservation("x must be an object of values by field name", field="x")
    if len(x) > limits.MAX_FIELDS:
        raise InvalidObservation(f"x may have {limits.MAX_FIELDS} fields and has {len(x)}", field="x")
    values = {name: _examine_value(name, value) for name, value in x.items()}
    return observation_of(values, _examine_t(document.get("t")), _examine_seq(document.get("seq")))


def _examine_value(name: str, value: object) -> float | str | bool | None:
    if not name or len(name) > limits.MAX_FIELD_NAME_CHARS or not is_text(name):
        raise InvalidObservation(
            f"a field's name is 1 to {limits.MAX_FIELD_NAME_CHARS} characters of Unicode",
            field=name[: limits.MAX_FIELD_NAME_CHARS],
        )
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _check_category(name, value)
        return value
    if not isinstance(value, int | float):
        raise InvalidObservation(f"field {name!r} must be a number, a string, a boolean or null", field=name)
    number = float(value)
    if not math.isfinite(number):
        raise InvalidObservation(f"field {name!r} must be finite", field=name)
    if abs(number) > limits.MAX_ABS_NUMBER:
        raise InvalidObservation(f"field {name!r} must be within ±{limits.MAX_ABS_NUMBER:g}", field=name)
    return number


def _check_category(name: str, value: str) -> None:
    if not is_text(value):
        raise InvalidObservation(f"field {name!r} is not valid Unicode", field=name)
    if len(value.encode()) > limits.MAX_CATEGORY_BYTES:
        raise InvalidObservation(f"field {name!r} may have {limits.MAX_CATEGORY_BYTES} bytes of UTF-8", field=name)


def _examine_t(t: object) -> float | str | None:
    if t is None or isinstance(t, str):
        return t
    if isinstance(t, bool) or not isinstance(t, int | float):
        raise InvalidObservation("t must be an RFC 3339 timestamp or epoch seconds", field="t")
    if not abs(float(t)) <= limits.MAX_ABS_EPOCH_S:
        raise InvalidObservation(f"t must be within ±{limits.MAX_ABS_EPOCH_S:g} seconds", field="t")
    return float(t)


def _examine_seq(seq: object) -> int | None:
    if seq is None:
        return None
    if isinstance(seq, bool) or not isinstance(seq, int) or not 1 <= seq <= limits.MAX_SEQ:
        raise InvalidObservation(f"seq must be an integer from 1 to {limits.MAX_SEQ}", field="seq")
    return seq
