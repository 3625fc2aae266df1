"""Observations from callers: syntax, types and limits. Whether one fits its stream's spec is the engine's to say.

Three readers give the same answers. The fastest takes many observations of plain numbers at once; what it refuses is
read by a decoder that knows all types and limits; and what that refuses, member by member, to say what is at fault, and
where in an array, so that the rest can be learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

import msgspec
from msgspec import Meta

from uoro import limits
from uoro.api.documents import UNREADABLE, is_text, parse
from uoro.api.paths import stream_id
from uoro.api.problems import TooManyObservations
from uoro.api.timestamps import epoch_s
from uoro.domain import Observation, Run, Value
from uoro.errors import InvalidObservation, InvalidRequest

_FieldName = Annotated[str, Meta(min_length=1, max_length=limits.MAX_FIELD_NAME_CHARS)]
_Number = Annotated[float, Meta(ge=-limits.MAX_ABS_NUMBER, le=limits.MAX_ABS_NUMBER)]
_Category = Annotated[str, Meta(max_length=limits.MAX_CATEGORY_BYTES)]
Fields = Annotated[dict[_FieldName, _Number | _Category | bool | None], Meta(max_length=limits.MAX_FIELDS)]
if TYPE_CHECKING:
    NumberFields: TypeAlias = dict[str, Value]  # whose values are numbers here; a dict's type allows no narrower one
else:
    NumberFields = Annotated[dict[_FieldName, _Number | None], Meta(max_length=limits.MAX_FIELDS)]
Timestamp = Annotated[float, Meta(ge=-limits.MAX_ABS_EPOCH_S, le=limits.MAX_ABS_EPOCH_S)] | str | None
Seq = Annotated[int, Meta(ge=1, le=limits.MAX_SEQ)] | None


class _Bare(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    x: Fields
    t: Timestamp = None
    seq: Seq = None


class _Named(_Bare, forbid_unknown_fields=True, kw_only=True, gc=False):
    stream: str


class _Numbers(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The common case, of which nothing is left to be checked."""

    x: NumberFields
    t: Annotated[float, Meta(ge=-limits.MAX_ABS_EPOCH_S, le=limits.MAX_ABS_EPOCH_S)] | None = None
    seq: Seq = None


class _NamedNumbers(_Numbers, forbid_unknown_fields=True, kw_only=True, gc=False):
    stream: str


Reading = tuple[str, Observation] | InvalidRequest
"""One observation that was read, with its stream, or why it is refused."""


class Body:
    """The observations of a request's body.

    Attributes:
        runs: those that go to the engine, by stream.
        refused: why the others do not, by their place in the body.
        is_single: it was one object, not several.
    """

    def __init__(self, *, is_single: bool = False) -> None:
        self.refused: dict[int, InvalidRequest] = {}
        self.is_single = is_single
        self._runs: dict[str, tuple[list[Observation], list[int]]] = {}
        self._num = 0

    @property
    def runs(self) -> list[Run]:
        return [Run(stream, observations, places) for stream, (observations, places) in self._runs.items()]

    def add(self, reading: Reading) -> None:
        """The next one."""
        if isinstance(reading, InvalidRequest):
            self.refused[self._num] = reading
        else:
            observations, places = self._runs.setdefault(reading[0], ([], []))
            observations.append(reading[1])
            places.append(self._num)
        self._num += 1

    def add_numbers(self, wires: Sequence[_Numbers], stream: str) -> None:
        """The next ones, of one stream."""
        if not wires:
            return  # a run has observations
        observations, places = self._runs.setdefault(stream, ([], []))
        observations += [Observation(wire.x, wire.t, wire.seq) for wire in wires]
        places += range(self._num, self._num + len(wires))
        self._num += len(wires)

    def add_named_numbers(self, wires: Sequence[_NamedNumbers]) -> None:
        """The next ones, each of its own stream."""
        runs = self._runs
        for place, wire in enumerate(wires, self._num):
            run = runs.get(wire.stream)
            if run is None:
                try:
                    run = runs[stream_id(wire.stream)] = ([], [])
                except InvalidRequest as error:
                    self.refused[place] = error
                    continue
            run[0].append(Observation(wire.x, wire.t, wire.seq))
            run[1].append(place)
        self._num += len(wires)


_BARE, _BARES = msgspec.json.Decoder(_Bare), msgspec.json.Decoder(list[_Bare])
_NAMED, _NAMEDS = msgspec.json.Decoder(_Named), msgspec.json.Decoder(list[_Named])
_NUMBER = msgspec.json.Decoder(_Numbers)
_NUMBERS, _NAMED_NUMBERS = msgspec.json.Decoder(list[_Numbers]), msgspec.json.Decoder(list[_NamedNumbers])
_LINES = msgspec.json.Decoder(list[Annotated[list[_Bare], Meta(max_length=1)]])
_NAMED_LINES = msgspec.json.Decoder(list[Annotated[list[_Named], Meta(max_length=1)]])
_LINES_OF_NUMBERS = msgspec.json.Decoder(list[Annotated[list[_Numbers], Meta(max_length=1)]])
_NAMED_LINES_OF_NUMBERS = msgspec.json.Decoder(list[Annotated[list[_NamedNumbers], Meta(max_length=1)]])

CHUNK_BYTES = 2**16
"""So much is decoded at once; other threads have their turn in between."""


def read_json(body: bytes, stream: str | None, max_observations: int) -> Body:
    """The observations of a JSON body, one object or an array.

    `stream` is whose they are; None means that each names its own. Raises MalformedBody, TooManyObservations.
    """
    if body.lstrip(b" \t\r\n")[:1] != b"[":
        content = Body(is_single=True)
        content.add(_read_single(body, stream))
        return content
    content = Body()
    with suppress(*UNREADABLE):
        numbers = (_NUMBERS if stream is not None else _NAMED_NUMBERS).decode(body)
        _check_count(len(numbers), max_observations)
        _add_numbers(content, numbers, stream)
        return content
    try:
        wires = (_BARES if stream is not None else _NAMEDS).decode(body)
    except UNREADABLE:
        documents = parse(body)
        assert isinstance(documents, list)  # noqa: S101 - it begins with a bracket
        _check_count(len(documents), max_observations)
        for document in documents:
            content.add(_examined(document, stream))
    else:
        _check_count(len(wires), max_observations)
        for wire in wires:
            content.add(_reading(wire, stream))
    return content


def read_lines(body: bytes, stream: str | None, max_observations: int) -> Body:
    """The observations of an NDJSON body, one a line; blank lines do not count.

    Raises MalformedBody naming the line, TooManyObservations.
    """
    # The count comes before the content, as it always did; only a body with that many line ends needs the exact one.
    if body.count(b"\n") >= max_observations:
        _check_count(sum(bool(line.strip()) for line in body.split(b"\n")), max_observations)
    content = Body()
    line_number = 1
    start = 0
    while start < len(body):
        end = body.find(b"\n", start + CHUNK_BYTES)
        chunk = body[start : end if end >= 0 else len(body)]
        if not _add_chunk(content, chunk, stream):
            for number, line in enumerate(chunk.split(b"\n"), line_number):
                if line and not line.isspace():
                    content.add(_read_one(line, stream, f"line {number}"))
        line_number += chunk.count(b"\n") + 1
        start += len(chunk) + 1
    return content


def _add_chunk(content: Body, chunk: bytes, stream: str | None) -> bool:
    """Read whole lines at once; False, with nothing added, if one of them is at fault.

    Each line becomes an array of its own, so that neither two values on a line nor one on two pass for lines. There
    are as many arrays as lines unless a line closes its own.
    """
    arrays = b"[[" + chunk.replace(b"\n", b"\n],[") + b"]]"
    num_lines = chunk.count(b"\n") + 1
    with suppress(*UNREADABLE):
        numbers = (_LINES_OF_NUMBERS if stream is not None else _NAMED_LINES_OF_NUMBERS).decode(arrays)
        if len(numbers) != num_lines:
            return False
        _add_numbers(content, [wire for line in numbers for wire in line], stream)
        return True
    with suppress(*UNREADABLE):
        lines = (_LINES if stream is not None else _NAMED_LINES).decode(arrays)
        if len(lines) != num_lines:
            return False
        for line in lines:
            for wire in line:
                content.add(_reading(wire, stream))
        return True
    return False


def _add_numbers(content: Body, wires: Sequence[_Numbers], stream: str | None) -> None:
    if not wires:  # blank lines only
        return
    if stream is not None:
        content.add_numbers(wires, stream)
    else:
        content.add_named_numbers(cast("Sequence[_NamedNumbers]", wires))


def _check_count(num: int, max_observations: int) -> None:
    if num > max_observations:
        raise TooManyObservations(f"one request may carry {max_observations} observations, this one has {num}")


def _read_single(body: bytes, stream: str | None) -> Reading:
    """A body that is one observation."""
    if stream is not None:
        try:
            wire = _NUMBER.decode(body)
        except UNREADABLE:
            pass
        else:
            return stream, Observation(wire.x, wire.t, wire.seq)
    return _read_one(body, stream, "the body")


def _read_one(text: bytes, stream: str | None, where: str) -> Reading:
    decoder = _BARE if stream is not None else _NAMED
    try:
        wire = decoder.decode(text)
    except UNREADABLE:
        return _examined(parse(text, where), stream)
    return _reading(wire, stream)


def _reading(wire: _Bare, stream: str | None) -> Reading:
    """What the decoder cannot know: bytes of a category, the calendar, the id."""
    try:
        if stream is None:
            assert isinstance(wire, _Named)  # noqa: S101 - a stream is missing only where each names its own
            stream = stream_id(wire.stream)
        return stream, observation_of(wire.x, wire.t, wire.seq)
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
        return _read_members(document, stream)
    except InvalidRequest as error:
        return error


def _read_members(document: dict[str, object], stream: str | None) -> tuple[str, Observation]:
    known = ("x", "t", "seq") if stream is not None else ("stream", "x", "t", "seq")
    for key in document:
        if key not in known:
            raise InvalidObservation(f"unknown member {key!r}; known are {', '.join(known)}", field=key)
    if stream is None:
        stream = stream_id(document.get("stream"))
    return stream, examine(document)


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
