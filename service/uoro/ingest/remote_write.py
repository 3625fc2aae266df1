"""Prometheus remote write: bytes -> series with their samples, for both versions of the protocol. Pure.

Rules:
1. The series of a request are told apart by their whole label sets; what came of one series in several parts is put
   together, in order. A label without a value is none.
2. What is wrong with one series refuses that series; what is wrong with the message refuses the message.
3. Lengths are judged before strings are put together: in version 2 a symbol may be referred to any number of times.
4. Native histograms and exemplars are counted and not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from google.protobuf.message import DecodeError

from uoro.errors import BodyTooLarge, MalformedBody
from uoro.ingest.labels import NAME, Labels, fingerprint_of
from uoro.ingest.snappy import unpack
from uoro.ingest.wire.remote_write_v1_pb2 import WriteRequest
from uoro.ingest.wire.remote_write_v2_pb2 import Metadata, Request
from uoro.limits import MAX_SERIES_CHARS, MAX_SERIES_LABELS

COUNTING_SUFFIXES = ("_total", "_count", "_sum", "_bucket")
PARTS_OF_A_DISTRIBUTION = ("_count", "_sum", "_bucket")


class Version(Enum):
    """The message that a body holds."""

    ONE = "prometheus.WriteRequest"
    TWO = "io.prometheus.write.v2.Request"


@dataclass(slots=True)
class Series:
    """One label set and what came of it.

    Attributes:
        fingerprint: of the label set, 16 bytes.
        labels: by name, ascending.
        is_counter: whether it only ever grows, but for resets.
        samples: (milliseconds since the epoch, value), in the order in which they came.
    """

    fingerprint: bytes
    labels: Labels
    is_counter: bool
    samples: list[tuple[int, float]]


@dataclass(slots=True)
class Write:
    """A whole request.

    Attributes:
        invalid: (number of samples, reason) of each series that was refused.
    """

    series: dict[bytes, Series] = field(default_factory=dict)
    invalid: list[tuple[int, str]] = field(default_factory=list)
    num_samples: int = 0
    num_histograms: int = 0
    num_exemplars: int = 0


def read(body: bytes, version: Version, max_bytes: int, max_samples: int) -> Write:
    """The request in a body. Raises MalformedBody; BodyTooLarge over `max_bytes` unpacked or `max_samples`."""
    message = unpack(body, max_bytes)
    try:
        return _read_one(message, max_samples) if version is Version.ONE else _read_two(message, max_samples)
    except DecodeError as error:
        raise MalformedBody(f"the body is not a {version.value}") from error


def _read_one(message: bytes, max_samples: int) -> Write:
    write = Write()
    for its in WriteRequest.FromString(message).timeseries:
        labels = its.labels
        if len(labels) > MAX_SERIES_LABELS:
            _refuse(write, len(its.samples), f"a series has {len(labels)} labels and may have {MAX_SERIES_LABELS}")
        else:
            pairs = [(label.name, label.value) for label in labels]
            _add(write, pairs, [(s.timestamp, s.value) for s in its.samples], Metadata.METRIC_TYPE_UNSPECIFIED)
        _count(write, len(its.samples), len(its.histograms), len(its.exemplars), max_samples)
    return write


def _read_two(message: bytes, max_samples: int) -> Write:
    write = Write()
    request = Request.FromString(message)
    symbols = list(request.symbols)
    if request.timeseries and (not symbols or symbols[0]):
        raise MalformedBody("the symbols must begin with the empty one")
    for its in request.timeseries:
        refs = list(its.labels_refs)
        reason = _misfit(refs, symbols)
        if reason is not None:
            _refuse(write, len(its.samples), reason)
        else:
            pairs = [(symbols[name], symbols[value]) for name, value in zip(refs[::2], refs[1::2], strict=True)]
            _add(write, pairs, [(s.timestamp, s.value) for s in its.samples], its.metadata.type)
        _count(write, len(its.samples), len(its.histograms), len(its.exemplars), max_samples)
    return write


def _misfit(refs: Sequence[int], symbols: Sequence[str]) -> str | None:
    """Why the references of a series are no label set."""
    if len(refs) % 2:
        return "a series has a label name without a value"
    if len(refs) > 2 * MAX_SERIES_LABELS:
        return f"a series has {len(refs) // 2} labels and may have {MAX_SERIES_LABELS}"
    if refs and max(refs) >= len(symbols):
        return "a series refers to a symbol that is not there"
    return None


def _add(write: Write, pairs: list[tuple[str, str]], samples: list[tuple[int, float]], metric_type: int) -> None:
    num_chars = sum(len(name) + len(value) for name, value in pairs)
    if num_chars > MAX_SERIES_CHARS:
        _refuse(write, len(samples), f"the labels of a series have {num_chars} characters, over {MAX_SERIES_CHARS}")
        return
    labels = tuple(sorted(pair for pair in pairs if pair[1]))
    names = {name for name, _ in labels}
    if len(names) < len(labels) or NAME not in names or "" in names:
        _refuse(write, len(samples), "a series needs a name, and each label once")
        return
    fingerprint = fingerprint_of(labels)
    known = write.series.get(fingerprint)
    if known is None:
        write.series[fingerprint] = Series(fingerprint, labels, is_counter(dict(labels)[NAME], metric_type), samples)
    else:
        known.samples += samples


def _refuse(write: Write, num_samples: int, reason: str) -> None:
    write.invalid.append((num_samples, reason))


def _count(write: Write, num_samples: int, num_histograms: int, num_exemplars: int, max_samples: int) -> None:
    write.num_samples += num_samples
    write.num_histograms += num_histograms
    write.num_exemplars += num_exemplars
    if write.num_samples > max_samples:
        raise BodyTooLarge(f"a request may have {max_samples} samples and has more")


def is_counter(name: str, metric_type: int) -> bool:
    """Whether a metric is a counter: by its type where that is told, else by its name."""
    if metric_type == Metadata.METRIC_TYPE_UNSPECIFIED:
        return name.endswith(COUNTING_SUFFIXES)
    if metric_type in {Metadata.METRIC_TYPE_HISTOGRAM, Metadata.METRIC_TYPE_SUMMARY}:
        return name.endswith(PARTS_OF_A_DISTRIBUTION)
    return metric_type == Metadata.METRIC_TYPE_COUNTER
