"""The record codec: every damaged byte is found, and nothing is read in the wrong place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro.errors import CorruptRecord
from uoro.store.protocol import Heading, LogRecord, Snapshot
from uoro.store.records import (
    OVERHEAD_BYTES,
    decode_generation,
    decode_heading,
    decode_log_record,
    decode_named,
    encode_generation,
    encode_heading,
    encode_log_record,
    encode_named,
)

LOG = encode_log_record(LogRecord(7, 3, b"payload"))
GENERATION = encode_generation(Snapshot("a/b:c", 9, b"payload"))
HEADING = encode_heading(Snapshot("a/b:c", 9, b"payload", b"heading"))
NAMED = encode_named("a/b:c", "before ü", b"payload")

READERS = {
    "log": (LOG, lambda raw: decode_log_record(raw, 7)),
    "generation": (GENERATION, lambda raw: decode_generation(raw, "a/b:c")),
    "heading": (HEADING, lambda raw: decode_heading(raw, "a/b:c")),
    "named": (NAMED, lambda raw: decode_named(raw, "a/b:c", "before ü")),
}

naturals = st.integers(0, 2**64 - 1)


@given(naturals, naturals, st.binary(max_size=300))
def test_log_record_comes_back(position: int, epoch: int, payload: bytes) -> None:
    """What was encoded is decoded, for every position, epoch and payload."""
    record = LogRecord(position, epoch, payload)
    assert decode_log_record(encode_log_record(record), position) == record


@given(st.text(max_size=50), st.text(max_size=50), naturals, st.binary(max_size=300))
def test_snapshots_come_back(stream: str, name: str, position: int, payload: bytes) -> None:
    """What was encoded is decoded, for every stream, name, position and payload."""
    snapshot = Snapshot(stream, position, payload)
    assert decode_heading(encode_heading(Snapshot(stream, position, b"", payload)), stream) == Heading(
        position, payload
    )
    assert decode_generation(encode_generation(snapshot), stream) == snapshot
    assert decode_named(encode_named(stream, name, payload), stream, name) == payload


@pytest.mark.parametrize("kind", READERS)
def test_every_changed_byte_is_found(kind: str) -> None:
    """Each byte of a record is changed to each other value; none of the changes is read."""
    raw, read = READERS[kind]
    read(raw)
    for index in range(len(raw)):
        for change in range(1, 256):
            damaged = bytearray(raw)
            damaged[index] ^= change
            with pytest.raises(CorruptRecord):
                read(bytes(damaged))


@pytest.mark.parametrize("kind", READERS)
def test_cut_or_grown_records_are_found(kind: str) -> None:
    """A record cut at any length, or followed by a byte, is not read."""
    raw, read = READERS[kind]
    for length in range(len(raw)):
        with pytest.raises(CorruptRecord):
            read(raw[:length])
    with pytest.raises(CorruptRecord):
        read(raw + b"\0")


def test_intact_records_in_the_wrong_place_are_refused() -> None:
    """A record of another position, stream, name or kind is refused although its checksum is right."""
    for read in (
        lambda: decode_log_record(LOG, 8),
        lambda: decode_generation(GENERATION, "a/b"),
        lambda: decode_named(NAMED, "a/b:c", "before"),
        lambda: decode_named(encode_named("a", "bc", b""), "ab", "c"),
        lambda: decode_log_record(encode_generation(Snapshot("", 7, b"payload")), 7),
        lambda: decode_generation(LOG, ""),
    ):
        with pytest.raises(CorruptRecord):
            read()


def test_overhead_is_what_a_record_adds() -> None:
    """`OVERHEAD_BYTES` is the length of a log record without its payload."""
    assert len(encode_log_record(LogRecord(1, 1, b""))) == OVERHEAD_BYTES
