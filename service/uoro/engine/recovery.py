"""Snapshots and the log behind them become the state that the server had: recovery before ready.

Rules:
1. Of each stream the newest intact generation is taken; the log then brings it to the end.
2. Every record from the log's first one on is read, in order, and applied by the same `Shelf.apply` as live.
3. A stream of which no generation can be read and whose beginning is no longer in the log is set aside; the others
   serve. A damaged log stops the start: which streams it concerns cannot be known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from uoro.engine.catalog import Catalog, Known
from uoro.engine.entries import Delete, Entry, Learn, decode, decode_model, decode_named
from uoro.engine.retention import Mark
from uoro.engine.shelf import Resident, Shelf
from uoro.errors import CorruptRecord, InvalidSpec
from uoro.store.protocol import LogBounds, Snapshot, Store, StoredSnapshots

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovered:
    """What recovery found.

    Attributes:
        bounds: of the log.
        num_observations: how many were replayed.
        ended: streams that ended and whose snapshots are still in the store.
        lost: streams that have snapshots of which none can be read.
    """

    bounds: LogBounds
    shelf: Shelf = field(default_factory=Shelf)
    catalog: Catalog = field(default_factory=Catalog)
    marks: dict[str, Mark] = field(default_factory=dict)
    num_observations: int = 0
    ended: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def recover(store: Store, now_s: float, progress: Callable[[int, int], None] | None = None) -> Recovered:
    """Read everything back. Raises CorruptRecord, StoreUnavailable.

    Args:
        store: of the shard, which the caller owns.
        now_s: of the engine's clock.
        progress: told the position of each record and the position after the last one.
    """
    recovered = Recovered(store.bounds())
    shelf = recovered.shelf
    unreadable: set[str] = set()
    for stored in store.snapshots():
        _place(stored, recovered, unreadable, now_s)
    ended: dict[str, int] = {}
    expected = recovered.bounds.first
    for record in store.read_log(expected):
        if record.position != expected:
            raise CorruptRecord(f"the log goes from record {expected - 1} to {record.position}")
        entries = decode(record.payload)
        for entry, results in zip(entries, shelf.apply(entries, record.position), strict=True):
            recovered.num_observations += len(results or ())
            _note(entry, record.position, shelf, unreadable, ended)
        expected += 1
        if progress is not None:
            progress(record.position, recovered.bounds.next)
    recovered.bounds = LogBounds(
        recovered.bounds.first, max(expected, recovered.bounds.next), recovered.bounds.size_bytes
    )
    _settle_ended(store, recovered, ended)
    recovered.lost = sorted(unreadable)
    for stream in recovered.lost:
        _log.error("no snapshot of stream %s can be read and the log does not reach its beginning", stream)
        recovered.catalog.put(stream, Known(None, {}, is_frozen=False, last_seq=0, nbytes=0))
        recovered.catalog.damaged.add(stream)
    for stream, resident in shelf.streams.items():
        recovered.catalog.put(stream, _known(resident))
        if resident.learner is None:
            recovered.catalog.damaged.add(stream)
    return recovered


def _known(resident: Resident) -> Known:
    learner = resident.learner
    return Known(
        resident.spec,
        resident.labels,
        resident.is_frozen,
        last_seq=0 if learner is None else learner.seq,
        nbytes=0 if learner is None else learner.nbytes,
    )


def _place(stored: StoredSnapshots, recovered: Recovered, unreadable: set[str], now_s: float) -> None:
    """Take the newest generation that can be read."""
    first = recovered.bounds.first
    for generation in stored.generations:
        try:
            resident = Resident.of(decode_model(generation.payload), generation.position, first)
        except (CorruptRecord, InvalidSpec) as error:
            _log.warning("a snapshot of stream %s cannot be read: %s", stored.stream, error)
            continue
        recovered.shelf.streams[stored.stream] = resident
        recovered.marks[stored.stream] = _mark(stored, generation, first, now_s, is_damaged=resident.learner is None)
        return
    unreadable.add(stored.stream)


def _mark(stored: StoredSnapshots, taken: Snapshot, first: int, now_s: float, *, is_damaged: bool) -> Mark:
    positions = sorted(
        generation.position for generation in stored.generations if generation.position <= taken.position
    )
    return Mark(first, taken.position, positions, now_s, is_set_aside=is_damaged)


def _note(entry: Entry, position: int, shelf: Shelf, unreadable: set[str], ended: dict[str, int]) -> None:
    if isinstance(entry, Delete):
        unreadable.discard(entry.stream)
        ended[entry.stream] = position
    elif entry.stream in shelf.streams:
        unreadable.discard(entry.stream)
    elif isinstance(entry, Learn):
        # Its beginning is gone and so are its snapshots: there is nothing to apply this to.
        unreadable.add(entry.stream)


def _settle_ended(store: Store, recovered: Recovered, ended: dict[str, int]) -> None:
    """Streams whose deletion may not have reached their snapshots."""
    for stream, position in ended.items():
        mark = recovered.marks.get(stream)
        # Snapshots behind the deletion are those of a stream that began anew under the same id. Nothing is written
        # for it before those of the old one are gone, so any that tells its age tells that of all.
        if stream not in recovered.shelf.streams:
            is_left = True
        elif mark is not None:
            is_left = mark.generations[-1] < position
        else:
            is_left = _has_name_before(store, stream, position)
        if is_left:
            recovered.ended.append(stream)
            recovered.marks.pop(stream, None)


def _has_name_before(store: Store, stream: str, position: int) -> bool:
    """Whether a stream has a named snapshot from before a position, as far as that can be told."""
    for name in store.names(stream):
        try:
            payload = store.read_named(stream, name)
            if payload is not None and 0 < decode_named(payload).position < position:
                return True
        except CorruptRecord as error:
            _log.warning("the named snapshot %s of stream %s cannot be read: %s", name, stream, error)
    return False
