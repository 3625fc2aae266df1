"""Specs that are alike are one: a hundred thousand streams of a kind keep it once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from uoro.errors import CorruptRecord
from uoro.learning.learner import plan_of
from uoro.learning.spec import StreamSpec

MAX_SHARED = 4096

_encode = msgspec.json.Encoder().encode


def shared_spec(document: Mapping[str, object]) -> StreamSpec:
    """The spec of a JSON document. Raises InvalidSpec."""
    return _of(_encode(document))


def spec_of(packed: bytes) -> StreamSpec:
    """The spec of a JSON document in msgpack. Raises InvalidSpec, CorruptRecord."""
    return _of_packed(packed)


def alike(spec: StreamSpec) -> StreamSpec:
    """The one of those that are like this one."""
    return shared_spec(spec.document())


def state_bytes(spec: StreamSpec) -> int:
    """Length of the state of a stream of this spec. Raises InvalidSpec if it is over the limit."""
    return _nbytes(spec.model_dump_json())


@lru_cache(maxsize=MAX_SHARED)
def _of(document: bytes) -> StreamSpec:
    return StreamSpec.parse(msgspec.json.decode(document))


@lru_cache(maxsize=MAX_SHARED)
def _of_packed(packed: bytes) -> StreamSpec:
    try:
        document = msgspec.msgpack.decode(packed)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(f"a stored spec cannot be read: {error}") from error
    return shared_spec(document)


@lru_cache(maxsize=MAX_SHARED)
def _nbytes(document: str) -> int:
    return plan_of(document).layout.nbytes
