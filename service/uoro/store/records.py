"""Record <-> bytes: one layout for log records, generations, their headings and named snapshots.

    magic "UORO" | version u8 | kind u8 | place length u16 | position u64 | epoch u64 | payload length u64
    | place | payload | CRC-32 of all before, u32                                  (little-endian throughout)

The *place* says where the record belongs: nothing for a log record, whose place is its position; the
stream for a generation and its heading; stream and name for a named snapshot. It is inside the checksummed part and is
compared on reading, so intact bytes that turn up in the wrong place are refused like damaged ones.

CRC-32 (zlib's, since the standard library has no CRC-32C) finds every error burst of up to 32 bits, hence
every flipped bit and byte; the lengths find what was cut off or added.
"""

from __future__ import annotations

import struct
import zlib

from uoro.errors import CorruptRecord
from uoro.store.protocol import Heading, LogRecord, Snapshot

RECORD_VERSION = 1

_MAGIC = b"UORO"
_HEADER = struct.Struct("<4sBBHQQQ")
_CRC = struct.Struct("<I")
_KIND_LOG = 1
_KIND_GENERATION = 2
_KIND_NAMED = 3
_KIND_HEADING = 4

OVERHEAD_BYTES = _HEADER.size + _CRC.size


def encode_log_record(record: LogRecord) -> bytes:
    """A log record's bytes."""
    return _wrap(_KIND_LOG, b"", record.position, record.epoch, record.payload)


def decode_log_record(raw: bytes, position: int) -> LogRecord:
    """The log record that belongs at `position`. Raises CorruptRecord."""
    found_position, epoch, payload = _unwrap(raw, _KIND_LOG, b"", f"the log record at position {position}")
    if found_position != position:
        raise CorruptRecord(f"the log record at position {position} says that it is number {found_position}")
    return LogRecord(position, epoch, payload)


def encode_generation(snapshot: Snapshot) -> bytes:
    """A generation's bytes."""
    return _wrap(_KIND_GENERATION, snapshot.stream.encode(), snapshot.position, 0, snapshot.payload)


def decode_generation(raw: bytes, stream: str, heading: Heading | None = None) -> Snapshot:
    """The generation that belongs to `stream`, under its heading, if that is there. Raises CorruptRecord."""
    position, _, payload = _unwrap(raw, _KIND_GENERATION, stream.encode(), f"a snapshot of stream {stream!r}")
    return Snapshot(stream, position, payload, heading.content if heading and heading.position == position else b"")


def encode_heading(snapshot: Snapshot) -> bytes:
    """The bytes of a generation's heading."""
    return _wrap(_KIND_HEADING, snapshot.stream.encode(), snapshot.position, 0, snapshot.heading)


def decode_heading(raw: bytes, stream: str) -> Heading:
    """The heading of a generation that belongs to `stream`. Raises CorruptRecord."""
    position, _, content = _unwrap(raw, _KIND_HEADING, stream.encode(), f"a heading of stream {stream!r}")
    return Heading(position, content)


def heading_if_intact(raw: bytes | None, stream: str) -> Heading | None:
    """`decode_heading`; None for one that is missing or damaged."""
    try:
        return None if raw is None else decode_heading(raw, stream)
    except CorruptRecord:
        return None


def encode_named(stream: str, name: str, payload: bytes) -> bytes:
    """A named snapshot's bytes."""
    return _wrap(_KIND_NAMED, _named_place(stream, name), 0, 0, payload)


def decode_named(raw: bytes, stream: str, name: str) -> bytes:
    """The payload of a stream's named snapshot. Raises CorruptRecord."""
    _, _, payload = _unwrap(raw, _KIND_NAMED, _named_place(stream, name), f"the snapshot {name!r} of stream {stream!r}")
    return payload


def _named_place(stream: str, name: str) -> bytes:
    encoded = stream.encode()
    return struct.pack("<H", len(encoded)) + encoded + name.encode()


def _wrap(kind: int, place: bytes, position: int, epoch: int, payload: bytes) -> bytes:
    header = _HEADER.pack(_MAGIC, RECORD_VERSION, kind, len(place), position, epoch, len(payload))
    crc = zlib.crc32(payload, zlib.crc32(header + place))
    return b"".join((header, place, payload, _CRC.pack(crc)))


def _unwrap(raw: bytes, kind: int, place: bytes, what: str) -> tuple[int, int, bytes]:
    if len(raw) < OVERHEAD_BYTES:
        raise CorruptRecord(f"{what} has {len(raw)} bytes, fewer than an empty one")
    magic, version, found_kind, num_place, position, epoch, num_payload = _HEADER.unpack_from(raw)
    if magic != _MAGIC:
        raise CorruptRecord(f"{what} does not begin as a record does")
    if version != RECORD_VERSION:
        raise CorruptRecord(f"{what} has layout version {version}; this program reads {RECORD_VERSION}")
    if len(raw) != OVERHEAD_BYTES + num_place + num_payload:
        raise CorruptRecord(f"{what} has {len(raw)} bytes, which is not what its header says")
    end = len(raw) - _CRC.size
    if zlib.crc32(memoryview(raw)[:end]) != _CRC.unpack_from(raw, end)[0]:
        raise CorruptRecord(f"{what} fails its checksum")
    if found_kind != kind or raw[_HEADER.size : _HEADER.size + num_place] != place:
        raise CorruptRecord(f"{what} belongs to another place")
    return position, epoch, raw[_HEADER.size + num_place : end]
