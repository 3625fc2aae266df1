"""The simulated store: a memory shelf that refuses, loses requests and replies, tears snapshots, and crashes.

`Disk` is what outlives every server. Beside the shelf it keeps the ledger: every record that was ever durable, also
those that were trimmed since. Nothing but the judge reads it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from store_ground import flip_last_bit

from uoro.errors import CorruptRecord, OutcomeUnknown, PositionConflict, StaleEpoch, StoreUnavailable, UoroError
from uoro.store.memory import MemoryShelf, MemoryStore
from uoro.store.protocol import LogBounds, LogRecord, Snapshot, StoredHeadings, StoredSnapshots
from uoro.store.records import decode_generation

T = TypeVar("T")
MAX_UNDER_WAY = 8


class Mishap(Enum):
    """What befalls a call: it does not reach the store, is lost, arrives late, or its reply is lost."""

    REFUSED = "refused"
    REQUEST_LOST = "request lost"
    REQUEST_LATE = "request late"
    REPLY_LOST = "reply lost"
    TORN = "torn"


@dataclass(frozen=True, slots=True)
class Appended:
    """A record of the ledger; `tick` is when it was written."""

    position: int
    payload: bytes
    tick: int


class Disk:
    """One shard's durable bytes.

    Args:
        mishap_share: of the calls that something befalls.
        tick: the next number of the world's count of events.

    Attributes:
        life: how often the store was started.
        under_way: requests that their senders gave up and that may still arrive.
    """

    def __init__(
        self,
        chance: random.Random,
        mishap_share: float,
        tick: Callable[[], int],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.shelf = MemoryShelf(clock, sleep)
        self.ledger: list[Appended] = []
        self.life = 0
        self.under_way: deque[Callable[[], object]] = deque(maxlen=MAX_UNDER_WAY)
        self.mishap_share = mishap_share
        self._chance = chance
        self._tick = tick

    def note(self, position: int, payload: bytes) -> None:
        """A record is on the shelf."""
        self.ledger.append(Appended(position, payload, self._tick()))

    def draw(self, *kinds: Mishap) -> Mishap | None:
        """What befalls the next call."""
        return self._chance.choice(kinds) if self._chance.random() < self.mishap_share else None

    def settle(self) -> None:
        """Called after every write: what is written is flushed. A careless disk does it now and then."""

    def crash(self) -> None:
        """The store ends and what was not flushed is gone; `shelf.is_away` until it is back."""
        self.life += 1
        self.shelf.is_away = True
        self.under_way.clear()

    def deliver_one(self) -> None:
        """A request that was given up arrives after all; nobody hears the reply."""
        if self.under_way:
            request = self.under_way.popleft()
            try:
                request()
            except UoroError:
                return

    def damage_a_generation(self) -> bool:
        """Flip a bit of some stream's newest snapshot, where the promise covers it; whether there was one.

        One damage at a time: both generations must be intact.
        """
        shelf = self.shelf
        streams = [
            stream
            for stream, slots in shelf.generations.items()
            if len(slots) == 2 and all(is_intact(slot, stream) for slot in slots)
        ]
        if streams:
            slots = shelf.generations[self._chance.choice(streams)]
            slots[0] = flip_last_bit(slots[0])
        return bool(streams)


def is_intact(raw: bytes, stream: str) -> bool:
    """Whether a generation can be read."""
    try:
        decode_generation(raw, stream)
    except CorruptRecord:
        return False
    return True


class SimulatedStore:
    """One server's line to the disk; before and after each call is a point at which anything may happen.

    Args:
        reach: called at each point with its name; it may give way to others, or never return.
    """

    def __init__(self, disk: Disk, inner: MemoryStore, reach: Callable[[str], None]) -> None:
        self.disk = disk
        self.inner = inner
        self._reach = reach

    def acquire(self, owner: str) -> int:
        return self._write("acquire", lambda: self.inner.acquire(owner), Mishap.REFUSED, Mishap.REPLY_LOST)

    def renew(self, epoch: int) -> None:
        self._write("renew", lambda: self.inner.renew(epoch))

    def fence(self, epoch: int) -> int:
        return self._write("fence", lambda: self.inner.fence(epoch))

    def release(self, epoch: int) -> None:
        self._write("release", lambda: self.inner.release(epoch))

    def append(self, epoch: int, position: int, payload: bytes) -> None:
        def append() -> None:
            self.inner.append(epoch, position, payload)
            self.disk.note(position, payload)

        self._write("append", append)

    def trim(self, epoch: int, before: int) -> None:
        self._write("trim", lambda: self.inner.trim(epoch, before))

    def put_snapshot(self, epoch: int, snapshot: Snapshot) -> None:
        slots = self.disk.shelf.generations.get(snapshot.stream, [])
        # Only one of the two generations may be damaged at a time: that is what the promise covers.
        if len(slots) == 2 and is_intact(slots[0], snapshot.stream) and self.disk.draw(Mishap.TORN):
            self._tear(epoch, snapshot)
        self._write("put_snapshot", lambda: self.inner.put_snapshot(epoch, snapshot))

    def _tear(self, epoch: int, snapshot: Snapshot) -> None:
        """The new generation comes out damaged, as `RedisStore` finds when it reads it back, and drops it again."""
        self._reach("put_snapshot: before")
        self.inner.put_snapshot(epoch, snapshot)
        slots = self.disk.shelf.generations[snapshot.stream]
        torn = slots[0] = slots[0][: len(slots[0]) // 2]
        self._reach("put_snapshot: torn")
        if slots[0] is torn:
            del slots[0], self.disk.shelf.headings[snapshot.stream][0]
        self.disk.settle()
        raise CorruptRecord("the snapshot was not read back as it was written")

    def delete_snapshots(self, epoch: int, stream: str) -> None:
        self._write("delete_snapshots", lambda: self.inner.delete_snapshots(epoch, stream))

    def put_named(self, epoch: int, stream: str, name: str, payload: bytes) -> None:
        self._write("put_named", lambda: self.inner.put_named(epoch, stream, name, payload))

    def read_record(self, position: int) -> LogRecord | None:
        return self._read("read_record", lambda: self.inner.read_record(position))

    def read_log(self, position: int) -> Iterator[LogRecord]:
        for record in self.inner.read_log(position):
            yield self._read("read_log", lambda record=record: record)  # type: ignore[misc]

    def bounds(self) -> LogBounds:
        return self._read("bounds", self.inner.bounds)

    def headings(self) -> Iterator[StoredHeadings]:
        for stored in self.inner.headings():
            yield self._read("headings", lambda stored=stored: stored)  # type: ignore[misc]

    def snapshots_of(self, stream: str) -> StoredSnapshots:
        return self._read("snapshots", lambda: self.inner.snapshots_of(stream))

    def read_named(self, stream: str, name: str) -> bytes | None:
        return self._read("read_named", lambda: self.inner.read_named(stream, name))

    def names(self, stream: str) -> list[str]:
        return self._read("names", lambda: self.inner.names(stream))

    def ping(self) -> None:
        self._read("ping", self.inner.ping)

    def close(self) -> None:
        self.inner.close()

    def _read(self, what: str, call: Callable[[], T]) -> T:
        self._reach(f"{what}: before")
        if self.disk.draw(Mishap.REFUSED) is not None:
            raise StoreUnavailable("the store did not answer")
        return call()

    def _write(self, what: str, call: Callable[[], T], *kinds: Mishap) -> T:
        mishap = self.disk.draw(
            *(kinds or (Mishap.REFUSED, Mishap.REQUEST_LOST, Mishap.REQUEST_LATE, Mishap.REPLY_LOST))
        )
        self._reach(f"{what}: before")
        if mishap is Mishap.REFUSED:
            raise StoreUnavailable("the store refused")
        if mishap in {Mishap.REQUEST_LOST, Mishap.REQUEST_LATE}:
            if mishap is Mishap.REQUEST_LATE:
                self.disk.under_way.append(call)
            raise OutcomeUnknown("the store did not answer")
        life = self.disk.life
        refusal: UoroError | None = None
        try:
            reply = call()
        except (StaleEpoch, PositionConflict) as error:
            refusal = error
        self.disk.settle()
        self._reach(f"{what}: after")
        if mishap is Mishap.REPLY_LOST or self.disk.life != life:
            raise OutcomeUnknown("the reply was lost")
        if refusal is not None:
            raise refusal
        return reply
