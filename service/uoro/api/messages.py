"""Messages of the websocket protocol, from bytes and to bytes."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from uoro import limits
from uoro.api.documents import UNREADABLE, parse
from uoro.api.observations import Fields, Seq, Timestamp, examine, observation_of
from uoro.api.paths import stream_id
from uoro.api.problems import members_of
from uoro.api.replies import Reply, reply_to
from uoro.domain import Observation, Observed, Value
from uoro.errors import InvalidObservation, InvalidRequest, MalformedBody, RequestError, UoroError

NO_ID = Raw(b"null")


class _Wire(msgspec.Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True):
    id: Raw = NO_ID
    stream: str | None = None


class _Observe(_Wire, tag="observe"):
    x: Fields
    t: Timestamp = None
    seq: Seq = None


class _Predict(_Wire, tag="predict"):
    horizon: Annotated[int, Meta(ge=1, le=limits.MAX_HORIZON_STEPS)] | None = None


class _Subscribe(_Wire, tag="subscribe"):
    pass


class _Unsubscribe(_Wire, tag="unsubscribe"):
    pass


class Observe(msgspec.Struct, frozen=True):
    """Learn an observation. `id` is the caller's, as JSON; `stream` is None where the path says it."""

    id: Raw
    stream: str | None
    observation: Observation


class Predict(msgspec.Struct, frozen=True):
    """Tell what is expected; `horizon` is None where none was given."""

    id: Raw
    stream: str | None
    horizon: int | None


class Subscribe(msgspec.Struct, frozen=True):
    """Tell every result of a stream from now on."""

    id: Raw
    stream: str | None


class Unsubscribe(msgspec.Struct, frozen=True):
    """No longer."""

    id: Raw
    stream: str | None


ClientMessage = Observe | Predict | Subscribe | Unsubscribe


class RefusedMessage(Exception):
    """A message that cannot be honoured: the id it came with, what kind it was, and why."""

    def __init__(self, request_id: Raw, kind: object, error: RequestError) -> None:
        super().__init__(str(error))
        self.request_id = request_id
        self.kind = kind
        self.error = error


_DECODER = msgspec.json.Decoder(_Observe | _Predict | _Subscribe | _Unsubscribe)
_MEMBERS = {
    "observe": ("type", "id", "stream", "x", "t", "seq"),
    "predict": ("type", "id", "stream", "horizon"),
    "subscribe": ("type", "id", "stream"),
    "unsubscribe": ("type", "id", "stream"),
}


def read_message(text: bytes | str) -> ClientMessage:
    """What a client said. Raises RefusedMessage."""
    try:
        wire = _DECODER.decode(text)
    except UNREADABLE:
        return _examine(text)
    try:
        stream = None if wire.stream is None else stream_id(wire.stream)
        if isinstance(wire, _Observe):
            return Observe(wire.id, stream, observation_of(wire.x, wire.t, wire.seq))
    except InvalidRequest as error:
        raise RefusedMessage(wire.id, wire.__struct_config__.tag, error) from error
    if isinstance(wire, _Predict):
        return Predict(wire.id, stream, wire.horizon)
    return (Subscribe if isinstance(wire, _Subscribe) else Unsubscribe)(wire.id, stream)


def _examine(text: bytes | str) -> ClientMessage:
    """Read a message that the decoder refused, member by member, to say what is at fault."""
    try:
        document = parse(text, "the message")
        if not isinstance(document, dict):
            raise InvalidRequest("a message is a JSON object")  # noqa: TRY301 - refused like the rest
    except (MalformedBody, InvalidRequest) as error:
        raise RefusedMessage(NO_ID, None, error) from error
    request_id, kind = _echo(document.get("id")), document.get("type")
    try:
        return _message_of(document, request_id, kind)
    except InvalidRequest as error:
        raise RefusedMessage(request_id, kind, error) from error


def _message_of(document: dict[str, object], request_id: Raw, kind: object) -> ClientMessage:
    members = _MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None:
        raise InvalidRequest(f"type must be one of {', '.join(_MEMBERS)}", field="type")
    for key in document:
        if key not in members:
            unknown = InvalidObservation if kind == "observe" else InvalidRequest
            raise unknown(f"unknown member {key!r}; known are {', '.join(members)}", field=key)
    stream = document.get("stream")
    named = None if stream is None else stream_id(stream)
    if kind == "observe":
        return Observe(request_id, named, examine(document))
    if kind == "predict":
        horizon = document.get("horizon")
        if horizon is not None and (
            not isinstance(horizon, int) or isinstance(horizon, bool) or not 1 <= horizon <= limits.MAX_HORIZON_STEPS
        ):
            raise InvalidRequest(f"horizon must be an integer from 1 to {limits.MAX_HORIZON_STEPS}", field="horizon")
        return Predict(request_id, named, horizon)
    return (Subscribe if kind == "subscribe" else Unsubscribe)(request_id, named)


def _echo(value: object) -> Raw:
    """An id as JSON again; one that cannot be written goes back as null."""
    try:
        return Raw(msgspec.json.encode(value))
    except (UnicodeEncodeError, RecursionError):
        return NO_ID


class _Result(Reply, frozen=True, tag_field="type", tag="result", kw_only=True):
    """A result for a subscriber, with the values that came."""

    x: dict[str, Value] | None = None


class _OwnResult(Reply, frozen=True, tag_field="type", tag="result", kw_only=True):
    """The reply to one's own observation."""

    id: Raw


def result_message(observed: Observed) -> _Result:
    """A result for a subscriber."""
    return _Result(*msgspec.structs.astuple(reply_to(observed)), x=observed.x)


def own_result_message(request_id: Raw, observed: Observed) -> _OwnResult:
    """The reply to one's own observation."""
    result = observed.result
    if result is None:
        return _OwnResult(observed.stream, observed.seq, duplicate=observed.is_duplicate, id=request_id)
    return _OwnResult(
        observed.stream,
        result.seq,
        result.t,
        observed.is_duplicate,
        result.prediction,
        result.loss,
        result.baseline_loss,
        result.anomaly,
        result.next,
        id=request_id,
    )


def error_message(request_id: Raw, error: UoroError) -> dict[str, object]:
    """Why a message was not honoured; the socket stays open."""
    return {"type": "error", "id": request_id, **members_of(error)}
