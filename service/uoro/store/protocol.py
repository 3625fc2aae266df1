"""What the engine relies on, in sentences. Every store keeps all of them; one battery tests all stores.

A *store* holds one *shard*: its epoch, its log and its snapshots.

1. **Epoch.** `acquire` raises the shard's epoch and returns it. From then on every write that carries an
   older epoch is refused with `StaleEpoch`, decided inside the store, whatever the writer believes.
2. **Log.** A sequence of records at positions 1, 2, 3 …. `append` writes one record at one explicit
   position. It returns only when the record is on disk. A position that is not the next one (repeated or
   leaving a gap) is refused with `PositionConflict` and nothing is written.
3. **Unknown outcomes.** If the store goes away during an append, `OutcomeUnknown` is raised: the record may
   or may not be there. `read_record` at that position tells, once the store is back. No append is ever
   retried by the store itself. `StoreUnavailable` means that nothing was written.
4. **Reading.** `read_log` yields every record from a position on, in order, and raises `CorruptRecord` if
   one fails its checksum or a position is missing; one below `first` or above `next` is missing, too.
5. **Snapshots.** Each stream has at most two *generations*, the newest two written. `put_snapshot` replaces
   the older one and returns only when the new one is on disk and read back intact. Reading yields the
   generations newest first and says which are damaged instead of raising. Beside each generation lies its
   *heading*, some bytes of the writer's that are read without it: `headings` tells those of all streams.
6. **Trim.** `trim` forgets all records below a position; positions are never reused, and the next position
   survives trims and restarts.
7. **Opaque bytes.** Payloads are bytes to the store; it wraps them with a version, their place and a CRC.
8. **Lease.** `acquire` waits at most the lease's time for a live owner of another name to fall silent and
   otherwise raises `Unavailable`; the same owner name again gets the shard at once; `renew` keeps the lease;
   `release` gives it up. The lease is a courtesy that keeps two servers from taking turns; safety rests on
   the epoch alone.
9. **Fence.** `fence` raises the epoch on behalf of its owner. Afterwards no append that was under way under
   the old epoch can land any more, so that reading back settles an unknown outcome for good. The lease is
   kept. A fence whose reply was lost is repeated with the same epoch; a renewal with an epoch from before the
   owner's own fence still counts. Neither is stale until another `acquire`.
10. **Named snapshots.** Beside its generations a stream has named snapshots, opaque bytes under a name, kept
    until the stream's snapshots are deleted; the same name again replaces. Durable and checksummed like the
    rest.

All calls block and may be made from any thread. Epochs and positions start at 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of the log: its position, the epoch of its writer, and its payload."""

    position: int
    epoch: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class LogBounds:
    """`first` is the lowest readable position, `next` the position of the next append.

    The log is empty when they are equal. `size_bytes` is what the records take.
    """

    first: int
    next: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of one stream with everything up to `position` of the log applied, and what its heading says."""

    stream: str
    position: int
    payload: bytes
    heading: bytes = b""


@dataclass(frozen=True, slots=True)
class StoredSnapshots:
    """What the store holds for one stream: intact generations newest first, and how many are damaged."""

    stream: str
    generations: tuple[Snapshot, ...]
    num_damaged: int


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above a generation: the position up to which the log is applied in it, and the writer's bytes."""

    position: int
    content: bytes


@dataclass(frozen=True, slots=True)
class StoredHeadings:
    """The headings of one stream's generations; None for one that is missing or damaged, or has no generation."""

    stream: str
    newest: Heading | None
    older: Heading | None


class Store(Protocol):
    """The promises above, as calls."""

    def acquire(self, owner: str) -> int:
        """Take the shard; returns the new epoch. Raises Unavailable, StoreUnavailable."""

    def renew(self, epoch: int) -> None:
        """Keep the lease alive. Raises StaleEpoch, StoreUnavailable."""

    def fence(self, epoch: int) -> int:
        """Raise the owner's own epoch; returns the new one. Raises StaleEpoch, StoreUnavailable."""

    def release(self, epoch: int) -> None:
        """Give the lease up at an orderly stop; stale epochs are ignored."""

    def append(self, epoch: int, position: int, payload: bytes) -> None:
        """Write one record durably. Raises StaleEpoch, PositionConflict, StoreUnavailable, OutcomeUnknown."""

    def read_record(self, position: int) -> LogRecord | None:
        """The record at a position, or None. Raises CorruptRecord, StoreUnavailable."""

    def read_log(self, position: int) -> Iterator[LogRecord]:
        """All records from `position` on. Raises CorruptRecord, StoreUnavailable."""

    def bounds(self) -> LogBounds:
        """Where the log begins and ends. Raises StoreUnavailable."""

    def trim(self, epoch: int, before: int) -> None:
        """Forget records below `before`. Raises StaleEpoch, StoreUnavailable."""

    def put_snapshot(self, epoch: int, snapshot: Snapshot) -> None:
        """Write a generation durably and verify it. Raises StaleEpoch, StoreUnavailable, CorruptRecord."""

    def headings(self) -> Iterator[StoredHeadings]:
        """All streams that have snapshots, in no order. Raises StoreUnavailable."""

    def snapshots_of(self, stream: str) -> StoredSnapshots:
        """One stream's snapshots; no generations if it has none. Raises StoreUnavailable."""

    def delete_snapshots(self, epoch: int, stream: str) -> None:
        """Forget a stream's snapshots, named ones included. Raises StaleEpoch, StoreUnavailable."""

    def put_named(self, epoch: int, stream: str, name: str, payload: bytes) -> None:
        """Write a named snapshot durably. Raises StaleEpoch, StoreUnavailable."""

    def read_named(self, stream: str, name: str) -> bytes | None:
        """A named snapshot, or None. Raises CorruptRecord, StoreUnavailable."""

    def names(self, stream: str) -> list[str]:
        """Names of a stream's named snapshots, sorted. Raises StoreUnavailable."""

    def ping(self) -> None:
        """Raises StoreUnavailable when the store does not answer."""

    def close(self) -> None:
        """Let go of connections; later calls raise StoreUnavailable."""
