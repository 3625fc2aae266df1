"""What the log is made of: one record is a list of entries, in the order in which they take effect.

Encode and decode stand side by side. What is applied, live or in recovery, is what `decode` reads back from
the very bytes that were logged, so the two cannot differ.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec

from uoro.domain import Model, Observation
from uoro.errors import CorruptRecord


class Create(msgspec.Struct, frozen=True, array_like=True, tag="create"):
    """A stream begins; `spec` is its JSON document, defaults included."""

    stream: str
    spec: dict[str, object]
    labels: dict[str, str]


class Learn(msgspec.Struct, frozen=True, array_like=True, tag="learn"):
    """Observations of one stream, in order; the first has the place `first_seq`."""

    stream: str
    first_seq: int
    observations: list[Observation]


class Label(msgspec.Struct, frozen=True, array_like=True, tag="label"):
    """A stream's labels are replaced."""

    stream: str
    labels: dict[str, str]


class Freeze(msgspec.Struct, frozen=True, array_like=True, tag="freeze"):
    """A stream stops learning, or learns again."""

    stream: str
    is_frozen: bool


class Load(msgspec.Struct, frozen=True, array_like=True, tag="load"):
    """A stream becomes this model, whatever it was."""

    stream: str
    model: Model


class Delete(msgspec.Struct, frozen=True, array_like=True, tag="delete"):
    """A stream ends; its snapshots go."""

    stream: str


class Named(msgspec.Struct, frozen=True, array_like=True):
    """The payload of a named snapshot: the model after `seq` observations, kept at `created_at` (epoch seconds)."""

    seq: int
    created_at: float
    model: Model


Entry: TypeAlias = Create | Learn | Label | Freeze | Load | Delete


_ENCODER = msgspec.msgpack.Encoder()
_ENTRIES = msgspec.msgpack.Decoder(list[Entry])
_MODEL = msgspec.msgpack.Decoder(Model)
_NAMED = msgspec.msgpack.Decoder(Named)

T = TypeVar("T")


def encode(content: list[Entry] | Model | Named) -> bytes:
    """The payload of a log record, a snapshot, or a named snapshot."""
    return _ENCODER.encode(content)


def decode(payload: bytes) -> list[Entry]:
    """The entries of a log record. Raises CorruptRecord."""
    return _read(_ENTRIES, payload)


def decode_model(payload: bytes) -> Model:
    """The model of a snapshot. Raises CorruptRecord."""
    return _read(_MODEL, payload)


def decode_named(payload: bytes) -> Named:
    """The content of a named snapshot. Raises CorruptRecord."""
    return _read(_NAMED, payload)


def _read(decoder: msgspec.msgpack.Decoder[T], payload: bytes) -> T:
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptRecord(f"a stored payload cannot be read: {error}") from error
