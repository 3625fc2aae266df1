"""Writers own the numbering of the streams that they post to: nothing is ever learned twice.

`sequences.py` states the rules and decides; here it is driven, once for plain and once for awaited code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from uoro_client.observations import Observation, Observations, Timestamp, Value
from uoro_client.replies import BatchReply, ObservationReply
from uoro_client.sequences import Sequences

if TYPE_CHECKING:
    from uoro_client.async_client import AsyncClient
    from uoro_client.client import Client


class Writer:
    """Posts through a `Client`. One writer a stream; not to be shared between threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sequences = Sequences()

    def next_seq(self, stream: str) -> int | None:
        """The next `seq` of a stream, or None before its first post."""
        return self._sequences.next_seq(stream)

    def start_at(self, stream: str, seq: int) -> None:
        """Begin at a known `seq` instead of asking the service."""
        self._sequences.start_at(stream, seq)

    def observe(self, stream: str, x: Mapping[str, Value], *, t: Timestamp | None = None) -> ObservationReply:
        """Post one observation. Raises SequenceTaken if someone else writes to the stream."""
        return self._client.follow(self._sequences.observe(stream, Observation(x, t)))

    def observe_many(self, stream: str, observations: Observations, *, full: bool = False) -> BatchReply:
        """Post observations of one stream, in order; refused ones are left out and take no number."""
        return self._client.follow(self._sequences.observe_many(stream, observations, full=full))

    def observe_streams(self, observations: Observations, *, full: bool = False) -> BatchReply:
        """Post observations of several streams, each naming its own."""
        return self._client.follow(self._sequences.observe_many(None, observations, full=full))


class AsyncWriter:
    """Posts through an `AsyncClient`. One writer a stream, and one call at a time."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._sequences = Sequences()

    def next_seq(self, stream: str) -> int | None:
        """The next `seq` of a stream, or None before its first post."""
        return self._sequences.next_seq(stream)

    def start_at(self, stream: str, seq: int) -> None:
        """Begin at a known `seq` instead of asking the service."""
        self._sequences.start_at(stream, seq)

    async def observe(self, stream: str, x: Mapping[str, Value], *, t: Timestamp | None = None) -> ObservationReply:
        """Post one observation. Raises SequenceTaken if someone else writes to the stream."""
        return await self._client.follow(self._sequences.observe(stream, Observation(x, t)))

    async def observe_many(self, stream: str, observations: Observations, *, full: bool = False) -> BatchReply:
        """Post observations of one stream, in order; refused ones are left out and take no number."""
        return await self._client.follow(self._sequences.observe_many(stream, observations, full=full))

    async def observe_streams(self, observations: Observations, *, full: bool = False) -> BatchReply:
        """Post observations of several streams, each naming its own."""
        return await self._client.follow(self._sequences.observe_many(None, observations, full=full))
