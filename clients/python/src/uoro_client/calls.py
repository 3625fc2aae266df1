"""Each thing the service can be asked, as a value: what to send, how to read the reply, and whether asking
twice is the same as asking once. Nothing here sends anything; both clients send the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from uoro_client.errors import UnexpectedReply
from uoro_client.observations import Observation, encode, encode_lines
from uoro_client.replies import (
    BatchReply,
    Metrics,
    NamedSnapshot,
    ObservationReply,
    Prediction,
    StreamInfo,
    StreamPage,
    read,
)

T = TypeVar("T")

JSON = "application/json"
NDJSON = "application/x-ndjson"
MODEL = "application/octet-stream"
MAX_RECENT_RESULTS = 64
"""Results of a stream that the service keeps."""
MAX_GLANCES = 100
"""Streams on a page that shows each at a glance; the service refuses more."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the meaning of its reply.

    Attributes:
        read: the reply's body as a value.
        is_repeatable: making it twice is the same as making it once.
        done_code: a problem that means, after an attempt whose reply was lost, that this attempt succeeded.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    content: bytes | None = None
    content_type: str = JSON
    is_repeatable: bool = True
    done_code: str | None = None


@dataclass(frozen=True, slots=True)
class Delivered(Generic[T]):
    """A reply's value, and whether an earlier attempt of the same call may have been taken."""

    value: T
    was_in_doubt: bool = False


def stream_path(stream: str, *rest: str) -> str:
    """The path of a stream or of something below it, every part percent-encoded. Raises ValueError for ""."""
    if not stream or not all(rest):
        raise ValueError("an id or name is empty")
    return "/v1/streams/" + "/".join(quote(part, safe="") for part in (stream, *rest))


def create_stream(stream: str, spec: Mapping[str, object] | None, labels: Mapping[str, str] | None) -> Call[StreamInfo]:
    """PUT is the same once or twice: a stream with the same spec is answered as it is."""
    document: dict[str, object] = {}
    if spec is not None:
        document["spec"] = spec
    if labels is not None:
        document["labels"] = labels
    return Call("PUT", stream_path(stream), partial(read, StreamInfo), content=encode(document))


def describe(stream: str) -> Call[StreamInfo]:
    """One stream's spec, labels and state."""
    return Call("GET", stream_path(stream), partial(read, StreamInfo))


def list_streams(
    *, cursor: str | None, page_size: int, prefix: str, labels: Mapping[str, str] | None, glance: bool
) -> Call[StreamPage]:
    """One page of streams that carry all of the labels."""
    query: dict[str, str | list[str]] = {"limit": str(min(page_size, MAX_GLANCES) if glance else page_size)}
    if glance:
        query["glance"] = "true"
    if cursor is not None:
        query["cursor"] = cursor
    if prefix:
        query["prefix"] = prefix
    if labels:
        query["label"] = [f"{key}:{value}" for key, value in labels.items()]
    return Call("GET", "/v1/streams", partial(read, StreamPage), query)


def delete_stream(stream: str) -> Call[None]:
    """After a lost reply, not being there any more is success."""
    return Call("DELETE", stream_path(stream), _read_nothing, done_code="unknown_stream")


def observe(stream: str, observation: Observation) -> Call[ObservationReply]:
    """One observation."""
    return Call(
        "POST",
        stream_path(stream, "observations"),
        partial(read, ObservationReply),
        content=encode(observation),
        is_repeatable=observation.seq is not None,
    )


def observe_many(stream: str, chunk: Sequence[Observation], *, full: bool) -> Call[BatchReply]:
    """A chunk of one stream."""
    return Call(
        "POST",
        stream_path(stream, "observations"),
        partial(read, BatchReply),
        {"results": "full"} if full else {},
        content=encode(chunk),
        is_repeatable=all(observation.seq is not None for observation in chunk),
    )


def observe_streams(chunk: Sequence[Observation], *, full: bool) -> Call[BatchReply]:
    """A chunk of several streams."""
    return Call(
        "POST",
        "/v1/observations",
        partial(read, BatchReply),
        {"results": "full"} if full else {},
        content=encode_lines(chunk),
        content_type=NDJSON,
        is_repeatable=all(observation.seq is not None for observation in chunk),
    )


def predict(stream: str, horizon: int) -> Call[tuple[Prediction, ...]]:
    """The next `horizon` predictions; none before the first observation."""
    return Call("GET", stream_path(stream, "prediction"), _read_predictions, {"horizon": str(horizon)})


def metrics(stream: str) -> Call[Metrics]:
    """How well a stream is predicted."""
    return Call("GET", stream_path(stream, "metrics"), partial(read, Metrics))


def results(stream: str, limit: int | None) -> Call[tuple[ObservationReply, ...]]:
    """The most recent results, newest last."""
    query = {} if limit is None else {"limit": str(limit)}
    return Call("GET", stream_path(stream, "results"), _read_results, query)


def set_frozen(stream: str, *, is_frozen: bool) -> Call[StreamInfo]:
    """Stop or resume learning."""
    return Call("POST", stream_path(stream, "freeze" if is_frozen else "unfreeze"), partial(read, StreamInfo))


def export(stream: str) -> Call[bytes]:
    """The whole model as one safetensors file."""
    return Call("GET", stream_path(stream, "export"), bytes)


def import_model(stream: str, file: bytes, *, replace: bool) -> Call[StreamInfo]:
    """Without `replace` a second attempt would find its own stream in the way."""
    query = {"replace": "true"} if replace else {}
    return Call(
        "PUT",
        stream_path(stream, "import"),
        partial(read, StreamInfo),
        query,
        content=file,
        content_type=MODEL,
        is_repeatable=replace,
    )


def save_snapshot(stream: str, name: str) -> Call[NamedSnapshot]:
    """The same name again replaces, so this is repeatable."""
    return Call("POST", stream_path(stream, "snapshots"), partial(read, NamedSnapshot), content=encode({"name": name}))


def snapshots(stream: str) -> Call[tuple[NamedSnapshot, ...]]:
    """All named snapshots of a stream."""
    return Call("GET", stream_path(stream, "snapshots"), _read_snapshots)


def restore(stream: str, name: str) -> Call[StreamInfo]:
    """Not repeatable: between two attempts another caller may have taught the stream something."""
    return Call(
        "POST",
        stream_path(stream, "snapshots", name, "restore"),
        partial(read, StreamInfo),
        is_repeatable=False,
    )


def clone(stream: str, to: str) -> Call[StreamInfo]:
    """A second attempt would find its own stream in the way."""
    return Call(
        "POST",
        stream_path(stream, "clone"),
        partial(read, StreamInfo),
        content=encode({"to": to}),
        is_repeatable=False,
    )


class _Predictions(msgspec.Struct):
    prediction: Prediction | None = None
    predictions: tuple[Prediction, ...] | None = None


class _Results(msgspec.Struct):
    results: tuple[ObservationReply, ...]


class _Snapshots(msgspec.Struct):
    snapshots: tuple[NamedSnapshot, ...]


def _read_nothing(body: bytes) -> None:
    if body:
        raise UnexpectedReply("the reply should be empty")


def _read_predictions(body: bytes) -> tuple[Prediction, ...]:
    reply = read(_Predictions, body)
    if reply.predictions is not None:
        return reply.predictions
    return () if reply.prediction is None else (reply.prediction,)


def _read_results(body: bytes) -> tuple[ObservationReply, ...]:
    return read(_Results, body).results


def _read_snapshots(body: bytes) -> tuple[NamedSnapshot, ...]:
    return read(_Snapshots, body).snapshots
