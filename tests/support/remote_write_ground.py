"""Remote writes, byte by byte: an encoder of its own, so that no code of the service judges itself."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
ONE = "application/x-protobuf"
TWO = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
COUNTER, GAUGE, HISTOGRAM, SUMMARY = 1, 2, 3, 5
"""Types of metrics in version 2."""

Samples = Sequence[tuple[int, float]]
Line = tuple[Mapping[str, str], Samples]
"""A series and its samples, (milliseconds, value)."""


def varint(number: int) -> bytes:
    """Seven bits at a time, lowest first."""
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(0x80 | number & 0x7F)
        number >>= 7
    out.append(number)
    return bytes(out)


def part(field: int, content: bytes) -> bytes:
    """A field with a length."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    """A field with an integer."""
    return varint(field << 3) + varint(value)


def sample(ms: int, value: float) -> bytes:
    """A Sample, alike in both versions."""
    return varint(1 << 3 | 1) + struct.pack("<d", value) + number(2, ms)


def packed(content: bytes) -> bytes:
    """A block of snappy of literals only."""
    out = bytearray(varint(len(content)))
    for first in range(0, len(content), 60):
        piece = content[first : first + 60]
        out.append((len(piece) - 1) << 2)
        out += piece
    return bytes(out)


def message_one(lines: Iterable[Line], *, num_histograms: int = 0, num_exemplars: int = 0) -> bytes:
    """A prometheus.WriteRequest; the histograms and exemplars go to the last series."""
    lines = list(lines)
    out = b""
    for place, (labels, samples) in enumerate(lines):
        series = b"".join(part(1, part(1, k.encode()) + part(2, v.encode())) for k, v in labels.items())
        series += b"".join(part(2, sample(ms, value)) for ms, value in samples)
        if place == len(lines) - 1:
            series += part(3, number(3, 7)) * num_exemplars + part(4, number(15, 7)) * num_histograms
        out += part(1, series)
    return out + part(3, number(1, 1) + part(2, b"up"))  # metadata, which is passed over


def message_two(lines: Iterable[Line], *, metric_type: int = 0, num_histograms: int = 0) -> bytes:
    """An io.prometheus.write.v2.Request; all series are of one type."""
    symbols = {"": 0}
    body = b""
    for labels, samples in lines:
        refs = [symbols.setdefault(text, len(symbols)) for pair in labels.items() for text in pair]
        series = part(1, b"".join(map(varint, refs)))
        series += b"".join(part(2, sample(ms, value)) for ms, value in samples)
        series += part(3, number(15, 7)) * num_histograms
        series += part(5, number(1, metric_type) + number(3, 0)) + number(6, 1)
        body += part(5, series)
    return b"".join(part(4, text.encode()) for text in symbols) + body


def write(client: Any, message: bytes, content_type: str = ONE, **headers: str) -> Any:
    """Send a message as Prometheus does."""
    given = {"content-type": content_type, "content-encoding": "snappy", **headers}
    return client.post("/api/v1/write", content=packed(message), headers=given)


def write_one(client: Any, *lines: Line, **headers: str) -> Any:
    """Send series in version 1."""
    return write(client, message_one(lines), ONE, **headers)


def num_written(response: Any) -> int:
    """What the answer says was written."""
    return int(response.headers["x-prometheus-remote-write-samples-written"])
