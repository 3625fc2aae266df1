"""Requests that take several calls, told once for both clients.

A flow is a generator: it yields calls and is sent their deliveries, or thrown their errors; what it returns
is the answer. `Client` drives it with plain calls, `AsyncClient` with awaited ones.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import chain, islice
from typing import Any, TypeAlias, TypeVar

from uoro_client import calls
from uoro_client.calls import Call, Delivered
from uoro_client.errors import ClientError
from uoro_client.observations import Observation, Observations, observation
from uoro_client.replies import BatchReply, merge

T = TypeVar("T")
Flow: TypeAlias = Generator[Call[Any], Delivered[Any], T]

MAX_CHUNK_OBSERVATIONS = 1_000


def chunked(observations: Observations) -> Iterator[list[Observation]]:
    """Checked observations in chunks that the service takes in one request."""
    remaining = iter(observations)
    while chunk := [observation(given) for given in islice(remaining, MAX_CHUNK_OBSERVATIONS)]:
        yield chunk


def observe_many(stream: str | None, observations: Observations, *, full: bool) -> Flow[BatchReply]:
    """Post observations of one stream, or with None those of several, chunk by chunk."""
    total, num_posted = BatchReply(), 0
    chunks = chunked(observations)
    for chunk in chunks:
        try:
            delivered = yield post(stream, chunk, full=full)
        except ClientError as error:
            error.partial, error.remaining = total, chain(chunk, chain.from_iterable(chunks))
            raise
        total = merge(total, delivered.value, num_posted)
        num_posted += len(chunk)
    return total


def post(stream: str | None, chunk: list[Observation], *, full: bool) -> Call[BatchReply]:
    """The call that posts a chunk. Raises ValueError if an observation of several streams names none."""
    if stream is not None:
        return calls.observe_many(stream, chunk, full=full)
    if any(given.stream is None for given in chunk):
        raise ValueError("an observation of several streams needs the id of its stream")
    return calls.observe_streams(chunk, full=full)
