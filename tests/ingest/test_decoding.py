"""Bodies of remote writes, made by an encoder of the tests' own, become series; what is none is refused."""

from __future__ import annotations

import math
from contextlib import suppress

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_write_ground import (
    COUNTER,
    GAUGE,
    HISTOGRAM,
    STALE,
    SUMMARY,
    Line,
    message_one,
    message_two,
    number,
    packed,
    part,
    varint,
)

from uoro.errors import BodyTooLarge, MalformedBody
from uoro.ingest.following import is_stale
from uoro.ingest.remote_write import Version, Write, is_counter, read
from uoro.ingest.snappy import unpack
from uoro.limits import MAX_SERIES_CHARS, MAX_SERIES_LABELS

UP: Line = ({"__name__": "up", "job": "a"}, [(1_000, 1.0), (2_000, 0.0)])
BUSY: Line = ({"__name__": "busy_total", "job": "a", "path": "/é"}, [(1_000, 7.5)])


def decoded(message: bytes, version: Version = Version.ONE, max_samples: int = 100) -> Write:
    return read(packed(message), version, 2**20, max_samples)


def told(write: Write) -> list[tuple[dict[str, str], list[tuple[int, float]]]]:
    return [(dict(series.labels), series.samples) for series in write.series.values()]


@pytest.mark.parametrize(
    ("message", "version"), [(message_one([UP, BUSY]), Version.ONE), (message_two([UP, BUSY]), Version.TWO)]
)
def test_both_versions_say_the_same(message: bytes, version: Version) -> None:
    """Labels and samples, in order; metadata and fields that are not known are passed over."""
    write = decoded(message + number(999, 1), version)
    assert told(write) == [(dict(labels), list(samples)) for labels, samples in (UP, BUSY)]
    assert (write.num_samples, write.invalid) == (3, [])


def test_the_bits_of_a_stale_marker_come_through() -> None:
    """It is told from another NaN by its bits."""
    write = decoded(message_one([({"__name__": "up"}, [(1, STALE), (2, math.nan)])]))
    (series,) = write.series.values()
    assert [is_stale(value) for _, value in series.samples] == [True, False]


def test_a_series_in_two_parts_is_one() -> None:
    """In whatever order the labels come; an empty one is none."""
    other: Line = ({"job": "a", "empty": "", "__name__": "up"}, [(3_000, 5.0)])
    assert told(decoded(message_one([UP, other]))) == [({"__name__": "up", "job": "a"}, [*UP[1], (3_000, 5.0)])]


def test_histograms_and_exemplars_are_counted() -> None:
    """And not read."""
    write = decoded(message_one([UP], num_histograms=3, num_exemplars=2))
    assert (write.num_histograms, write.num_exemplars, write.num_samples) == (3, 2, 2)
    assert decoded(message_two([UP], num_histograms=4), Version.TWO).num_histograms == 4


@pytest.mark.parametrize(
    ("name", "metric_type", "verdict"),
    [
        ("requests_total", 0, True), ("latency_bucket", 0, True), ("latency_sum", 0, True), ("latency_count", 0, True),
        ("temperature", 0, False), ("totals", 0, False),
        ("requests", COUNTER, True), ("requests_total", GAUGE, False), ("latency_bucket", HISTOGRAM, True),
        ("latency", SUMMARY, False), ("latency_sum", SUMMARY, True), ("latency_total", HISTOGRAM, False),
    ],
)  # fmt: skip
def test_a_counter_is_known_by_its_type_or_else_by_its_name(name: str, metric_type: int, verdict: bool) -> None:
    """The type, where it is told, has the last word."""
    assert is_counter(name, metric_type) is verdict
    write = decoded(message_two([({"__name__": name}, [(1, 1.0)])], metric_type=metric_type), Version.TWO)
    assert [series.is_counter for series in write.series.values()] == [verdict]


def test_a_series_without_a_name_is_refused_alone() -> None:
    """The others of the request are taken."""
    for labels in ({"job": "a"}, {"__name__": ""}, {"__name__": "m", "": "x"}):
        write = decoded(message_one([UP, (labels, [(1, 1.0)])]))
        assert (len(write.series), [num for num, _ in write.invalid]) == (1, [1])


def test_a_label_that_comes_twice_is_refused() -> None:
    """Which of the two it is cannot be known."""
    label = part(1, part(1, b"__name__") + part(2, b"m"))
    again = part(1, part(1, b"__name__") + part(2, b"n"))
    write = decoded(part(1, label + again + part(2, number(2, 5))))
    assert (write.series, [num for num, _ in write.invalid]) == ({}, [1])


@pytest.mark.parametrize("version", list(Version))
def test_labels_are_bounded(version: Version) -> None:
    """At the limits of their number and characters they are taken, one past them refused."""

    def verdict(labels: dict[str, str]) -> tuple[int, int]:
        lines = [(labels, [(1, 1.0)])]
        write = decoded(message_one(lines) if version is Version.ONE else message_two(lines), version)
        return len(write.series), len(write.invalid)

    most = {"__name__": "m", **{f"l{i}": "v" for i in range(MAX_SERIES_LABELS - 1)}}
    assert verdict(most) == (1, 0)
    assert verdict({**most, "one": "more"}) == (0, 1)
    longest = {"__name__": "m" * (MAX_SERIES_CHARS - len("__name__"))}
    assert verdict(longest) == (1, 0)
    assert verdict({"__name__": longest["__name__"] + "m"}) == (0, 1)


def test_references_that_lead_nowhere_are_refused() -> None:
    """An odd number of them, and one beyond the table; without a table that begins empty nothing is taken."""
    table = b"".join(part(4, symbol) for symbol in (b"", b"__name__", b"m"))
    for refs in ([1], [1, 3], [1, 2**32 - 1]):
        series = part(5, part(1, b"".join(map(varint, refs))) + part(2, number(2, 5)))
        write = decoded(table + series, Version.TWO)
        assert (write.series, [num for num, _ in write.invalid]) == ({}, [1])
    for bad_table in (b"", part(4, b"m")):
        with pytest.raises(MalformedBody):
            decoded(bad_table + part(5, b""), Version.TWO)


def test_samples_are_bounded() -> None:
    """As many as a request may have, and one more."""
    assert decoded(message_one([UP]), max_samples=2).num_samples == 2
    with pytest.raises(BodyTooLarge):
        decoded(message_one([UP]), max_samples=1)


@pytest.mark.parametrize("content", [b"", b"x", b"abc" * 1000, bytes(70_000)])
def test_a_block_of_snappy_is_unpacked(content: bytes) -> None:
    """One of literals only, and one that a real packer made; at the limit, and not one past it."""
    for block in (packed(content), bytes(cramjam.snappy.compress_raw(content))):
        assert unpack(block, len(content)) == content
        if content:
            with pytest.raises(BodyTooLarge):
                unpack(block, len(content) - 1)


def test_a_length_is_refused_before_anything_is_unpacked() -> None:
    """Four gigabytes are announced by five bytes."""
    with pytest.raises(BodyTooLarge):
        unpack(varint(2**32 - 1), 2**20)


@given(st.binary(max_size=60))
def test_no_bytes_do_anything_but_be_read_or_refused(body: bytes) -> None:
    """As a block, and as a message within one, in both versions."""
    for version in Version:
        for raw in (body, packed(body)):
            with suppress(MalformedBody, BodyTooLarge):
                read(raw, version, 2**16, 100)
