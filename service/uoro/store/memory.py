"""All promises in memory, through the same codec: for tests, and to show what the promises ask for.

A `MemoryShelf` plays the disk: two stores on one shelf are two owners of one shard, and a store opened later
finds what earlier ones left. A test may take the shelf away or script what happens to coming appends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum

from uoro.errors import CorruptRecord, OutcomeUnknown, PositionConflict, StaleEpoch, StoreUnavailable
from uoro.store.lease import wait_for_lease
from uoro.store.protocol import LogBounds, LogRecord, Snapshot, StoredHeadings, StoredSnapshots
from uoro.store.records import (
    decode_generation,
    decode_log_record,
    decode_named,
    encode_generation,
    encode_heading,
    encode_log_record,
    encode_named,
    heading_if_intact,
)

NUM_GENERATIONS = 2


class Fault(Enum):
    """What befalls an append: it is refused, its request is lost, or its reply is lost."""

    UNAVAILABLE = "unavailable"
    REQUEST_LOST = "request lost"
    REPLY_LOST = "reply lost"


class MemoryShelf:
    """What outlives a store: one shard's epoch, lease, log and snapshots, as bytes.

    Attributes:
        is_away: every call raises StoreUnavailable.
        faults: what befalls the coming appends, in order; None lets one through.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.sleep = sleep
        self.is_away = False
        self.faults: deque[Fault | None] = deque()
        self.epoch = 0
        self.since = 1
        self.owner = ""
        self.lease_ends = float("-inf")
        self.first = 1
        self.next = 1
        self.log: dict[int, bytes] = {}
        self.generations: dict[str, list[bytes]] = {}
        self.headings: dict[str, list[bytes]] = {}
        self.named: dict[str, dict[str, bytes]] = {}


class MemoryStore:
    """One shard on a shelf."""

    def __init__(self, shelf: MemoryShelf | None = None, *, lease_ttl_s: float = 5.0) -> None:
        self._shelf = shelf or MemoryShelf()
        self._lease_ttl_s = lease_ttl_s
        self._is_closed = False

    def acquire(self, owner: str) -> int:
        return wait_for_lease(lambda: self._take(owner), self._lease_ttl_s, self._shelf.clock, self._shelf.sleep)

    def _take(self, owner: str) -> int | None:
        with self._shelf.lock:
            shelf = self._reach()
            if shelf.owner != owner and shelf.clock() < shelf.lease_ends:
                return None
            shelf.epoch += 1
            shelf.since = shelf.epoch
            shelf.owner = owner
            shelf.lease_ends = shelf.clock() + self._lease_ttl_s
            return shelf.epoch

    def renew(self, epoch: int) -> None:
        with self._shelf.lock:
            shelf = self._reach()
            if not shelf.since <= epoch <= shelf.epoch:
                raise _stale(epoch, shelf.epoch)
            shelf.lease_ends = shelf.clock() + self._lease_ttl_s

    def fence(self, epoch: int) -> int:
        with self._shelf.lock:
            shelf = self._reach()
            if epoch < shelf.since or epoch not in {shelf.epoch, shelf.epoch - 1}:
                raise _stale(epoch, shelf.epoch)
            shelf.epoch = epoch + 1
            return shelf.epoch

    def release(self, epoch: int) -> None:
        with self._shelf.lock:
            shelf = self._reach()
            if shelf.since <= epoch <= shelf.epoch:
                shelf.lease_ends = float("-inf")

    def append(self, epoch: int, position: int, payload: bytes) -> None:
        record = encode_log_record(LogRecord(position, epoch, payload))
        with self._shelf.lock:
            shelf = self._reach()
            fault = shelf.faults.popleft() if shelf.faults else None
            if fault is Fault.UNAVAILABLE:
                raise StoreUnavailable("the shelf refused")
            if fault is Fault.REQUEST_LOST:
                raise OutcomeUnknown("the shelf did not answer")
            self._check(epoch)
            if position != shelf.next:
                raise PositionConflict(shelf.next, position)
            shelf.log[position] = record
            shelf.next += 1
            if fault is Fault.REPLY_LOST:
                raise OutcomeUnknown("the shelf did not answer")

    def read_record(self, position: int) -> LogRecord | None:
        with self._shelf.lock:
            record = self._reach().log.get(position)
        return None if record is None else decode_log_record(record, position)

    def read_log(self, position: int) -> Iterator[LogRecord]:
        bounds = self.bounds()
        if not bounds.first <= position <= bounds.next:
            raise CorruptRecord(f"the log has positions {bounds.first} to {bounds.next - 1}; {position} is missing")
        return self._records(position)

    def _records(self, position: int) -> Iterator[LogRecord]:
        while position < self.bounds().next:
            record = self.read_record(position)
            if record is None:
                raise CorruptRecord(f"position {position} is missing")
            yield record
            position += 1

    def bounds(self) -> LogBounds:
        with self._shelf.lock:
            shelf = self._reach()
            return LogBounds(shelf.first, shelf.next, sum(map(len, shelf.log.values())))

    def trim(self, epoch: int, before: int) -> None:
        with self._shelf.lock:
            shelf = self._check(epoch)
            before = min(before, shelf.next)
            for position in range(shelf.first, before):
                shelf.log.pop(position, None)
            shelf.first = max(shelf.first, before)

    def put_snapshot(self, epoch: int, snapshot: Snapshot) -> None:
        record, heading = encode_generation(snapshot), encode_heading(snapshot)
        with self._shelf.lock:
            shelf = self._check(epoch)
            for newest, slots in ((record, shelf.generations), (heading, shelf.headings)):
                kept = slots.setdefault(snapshot.stream, [])
                kept.insert(0, newest)
                del kept[NUM_GENERATIONS:]

    def headings(self) -> Iterator[StoredHeadings]:
        with self._shelf.lock:
            found = [(stream, list(slots)) for stream, slots in self._reach().headings.items()]
        for stream, slots in found:
            newest, older, *_ = (*(heading_if_intact(raw, stream) for raw in slots), None, None)
            yield StoredHeadings(stream, newest, older)

    def snapshots_of(self, stream: str) -> StoredSnapshots:
        with self._shelf.lock:
            records = tuple(self._reach().generations.get(stream, ()))
            headings = tuple(self._shelf.headings.get(stream, ()))
        intact: list[Snapshot] = []
        for record, heading in zip(records, headings, strict=True):
            try:
                intact.append(decode_generation(record, stream, heading_if_intact(heading, stream)))
            except CorruptRecord:
                continue
        return StoredSnapshots(stream, tuple(intact), len(records) - len(intact))

    def delete_snapshots(self, epoch: int, stream: str) -> None:
        with self._shelf.lock:
            shelf = self._check(epoch)
            shelf.generations.pop(stream, None)
            shelf.headings.pop(stream, None)
            shelf.named.pop(stream, None)

    def put_named(self, epoch: int, stream: str, name: str, payload: bytes) -> None:
        record = encode_named(stream, name, payload)
        with self._shelf.lock:
            self._check(epoch).named.setdefault(stream, {})[name] = record

    def read_named(self, stream: str, name: str) -> bytes | None:
        with self._shelf.lock:
            record = self._reach().named.get(stream, {}).get(name)
        return None if record is None else decode_named(record, stream, name)

    def names(self, stream: str) -> list[str]:
        with self._shelf.lock:
            return sorted(self._reach().named.get(stream, {}))

    def ping(self) -> None:
        self._reach()

    def close(self) -> None:
        self._is_closed = True

    def _reach(self) -> MemoryShelf:
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        if self._shelf.is_away:
            raise StoreUnavailable("the shelf is away")
        return self._shelf

    def _check(self, epoch: int) -> MemoryShelf:
        shelf = self._reach()
        if not shelf.since <= epoch == shelf.epoch:
            raise _stale(epoch, shelf.epoch)
        return shelf


def _stale(epoch: int, current: int) -> StaleEpoch:
    return StaleEpoch(f"epoch {epoch} is over; the shard is at epoch {current}")
