"""A Redis Stream learned exactly once, in its order.

Rules:
1. Which entry has which `seq` is decided once and kept in that Redis: the id of the last entry that was learned and
   the `seq` of the next, bound to one stream, replaced in one transaction after the service has answered. What is
   behind that position is read again after any failure, and has the same numbers again, so the service knows it.
2. A duplicate is believed only if the service's own result has the entry's time. At most MAX_ENTRIES are on their way,
   no more than results the service keeps, so that each can be looked at. Anything else means that the position and
   the stream no longer belong together, and ends the feed: it does not guess.
3. One reader, for the order's sake. A second one reads the same entries under the same numbers and does no harm; it
   ends when it finds the position moved.
4. The position is also the last delivered id of a consumer group, which is how Redis shows how far a reader is behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError, ResponseError, WatchError
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoReply

from uoro.feeds.entries import infer_spec, kinds_of, ms_of, observation_of
from uoro.feeds.errors import FeedEndedError, MisfitError, SourceAwayError
from uoro.limits import MAX_RECENT_RESULTS
from uoro_client import Client, NotFound, Observation

MAX_ENTRIES = MAX_RECENT_RESULTS
BEGINNING = "0-0"
SOCKET_TIMEOUT_S = 10.0

Entry = tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a feed is: the last entry that was learned or set aside, and the `seq` of the next observation."""

    stream: str
    last_id: str
    next_seq: int

    def document(self) -> dict[str, str]:
        """As it is kept."""
        return {"stream": self.stream, "last_id": self.last_id, "next_seq": str(self.next_seq)}


def connect(url: str) -> Redis:
    """A connection as a feed needs it. Raises ValueError for a bad address."""
    return Redis.from_url(url, decode_responses=True, encoding_errors="replace", socket_timeout=SOCKET_TIMEOUT_S)


class RedisFeed:
    """One Redis Stream, posted to one stream of a server.

    Args:
        redis: with decoded replies.
        key: of the Redis Stream.
        group: names the position, and the consumer group that shows it.
        on_misfit: told the id of an entry that is set aside, and why.

    Attributes:
        num_learned: entries that were learned, or had been before.
        num_misfits: entries that were set aside.
    """

    def __init__(
        self,
        redis: Redis,
        client: Client,
        *,
        key: str,
        group: str,
        stream: str,
        on_misfit: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.num_learned = 0
        self.num_misfits = 0
        self._redis: Any = redis  # its types do not tell plain replies from awaited ones
        self._client = client
        self._key = key
        self._group = group
        self._stream = stream
        self._on_misfit = on_misfit
        self._position: Position | None = None
        self._kinds: dict[str, str] = {}

    @property
    def position_key(self) -> str:
        """Where the position is kept."""
        return f"uoro:ingest:{self._group}:{self._key}"

    def step(self, wait_ms: int) -> int:
        """Learn the next entries; returns how many there were. 0: none came in that time.

        Raises FeedEndedError; SourceAwayError and ClientError, after which it may be called again.
        """
        try:
            return self._step(wait_ms)
        except (NoConnection, NoReply, BusyLoadingError) as error:
            raise SourceAwayError(f"the other Redis: {error}") from error
        except RedisError as error:
            raise FeedEndedError(f"the other Redis refuses: {error}") from error

    def _step(self, wait_ms: int) -> int:
        position, self._position = self._position or self._open(), None  # until this step is through
        if position is None:
            return 0
        entries = self._read(position.last_id, wait_ms)
        if entries:
            taken, misfits = self._sift(entries, position.next_seq)
            if taken:
                self._post(taken)
            position = self._move(position, Position(self._stream, entries[-1][0], position.next_seq + len(taken)))
            self.num_learned += len(taken)
            self.num_misfits += len(misfits)
            for entry_id, reason in misfits:
                self._on_misfit(entry_id, reason)
        self._position = position
        return len(entries)

    def _read(self, after: str, wait_ms: int) -> list[Entry]:
        found = self._redis.xread({self._key: after}, count=MAX_ENTRIES, block=max(1, wait_ms))
        return [(its[0], its[1]) for _, entries in found for its in entries]

    def _open(self) -> Position | None:
        """Where the feed goes on; None while there is nothing to begin with. Raises FeedEndedError."""
        kept = self._redis.hgetall(self.position_key)
        if not kept:
            return self._begin()
        position = Position(kept["stream"], kept["last_id"], int(kept["next_seq"]))
        if position.stream != self._stream:
            raise FeedEndedError(
                f"the group {self._group!r} feeds the stream {position.stream!r}; another stream needs another group"
            )
        try:
            known = self._client.stream(self._stream)
        except NotFound as error:
            raise FeedEndedError(f"the stream {self._stream!r} is gone; {self._how_to_begin_anew()}") from error
        if not position.next_seq - 1 <= known.last_seq < position.next_seq + MAX_ENTRIES:
            raise FeedEndedError(
                f"the stream {self._stream!r} is at {known.last_seq} and this feed left it at {position.next_seq - 1}: "
                f"it was fed from elsewhere, restored or made anew; {self._how_to_begin_anew()}"
            )
        self._kinds = kinds_of(known.spec)
        return position

    def _begin(self) -> Position | None:
        """Bind the first entry to the stream's next place; the stream is made if need be."""
        try:
            known = self._client.stream(self._stream)
        except NotFound:
            first = self._read(BEGINNING, 1)
            if not first:
                return None
            try:
                known = self._client.create_stream(self._stream, infer_spec(entry for _, entry in first))
            except MisfitError as error:
                raise FeedEndedError(f"no stream can be made of the first entries: {error}") from error
        try:
            self._redis.xgroup_create(self._key, self._group, id=BEGINNING, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._kinds = kinds_of(known.spec)
        return self._move(None, Position(self._stream, BEGINNING, known.last_seq + 1))

    def _sift(self, entries: list[Entry], next_seq: int) -> tuple[list[Observation], list[tuple[str, str]]]:
        """What is learned of some entries, numbered; and the ids of the others, with the reasons."""
        taken: list[Observation] = []
        misfits: list[tuple[str, str]] = []
        for entry_id, fields in entries:
            try:
                one = observation_of(fields, int(entry_id.partition("-")[0]), self._kinds)
            except MisfitError as error:
                misfits.append((entry_id, str(error)))
            else:
                taken.append(msgspec.structs.replace(one, seq=next_seq + len(taken)))
        return taken, misfits

    def _post(self, taken: list[Observation]) -> None:
        """Have observations learned, or make sure that they were. Raises FeedEndedError, ClientError."""
        reply = self._client.observe_many(self._stream, taken, full=True)
        if reply.errors or reply.results is None or len(reply.results) != len(taken):
            reason = reply.errors[0].detail if reply.errors else "results are missing"
            raise FeedEndedError(f"the stream {self._stream!r} does not take what fits it: {reason}")
        for one, result in zip(taken, reply.results, strict=True):
            if result.duplicate and ms_of(result.t) != ms_of(one.t if isinstance(one.t, str) else None):
                raise FeedEndedError(
                    f"place {one.seq} of the stream {self._stream!r} holds another observation than the entry of "
                    f"{one.t}: it was fed from elsewhere, or this Redis lost entries; {self._how_to_begin_anew()}"
                )

    def _move(self, before: Position | None, after: Position) -> Position:
        """Keep a new position in place of the one that was read. Raises FeedEndedError if that was replaced."""
        with self._redis.pipeline() as transaction:
            transaction.watch(self.position_key)
            kept = transaction.hgetall(self.position_key)
            if kept != ({} if before is None else before.document()):
                raise FeedEndedError(f"another reader has moved the position of the group {self._group!r}")
            transaction.multi()
            transaction.hset(self.position_key, mapping=after.document())
            transaction.xgroup_setid(self._key, self._group, after.last_id)
            try:
                transaction.execute()
            except WatchError as error:
                raise FeedEndedError(f"another reader has moved the position of the group {self._group!r}") from error
        return after

    def _how_to_begin_anew(self) -> str:
        return f"to begin anew from the first entry, delete the key {self.position_key!r}"
