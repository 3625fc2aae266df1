"""Writes copies of the streams that changed and trims the log behind them.

Rules:
1. A copy is taken by the runner, between two records of its stream, so it stands at one position. Writing it blocks
   no one.
2. Snapshots of a stream that ended are deleted before others of that id are written, or anything is trimmed.
3. The log is trimmed at most to the record up to which the streams were looked at: one that changed or began since
   then is not in the marks yet.
4. A generation never replaces one that is newer: the loader writes some, too, of streams that leave memory.
5. A pass looks at streams that changed, and at those that are not safe yet; never at all of them.
6. What `retention` decides is done in order; a store that is away ends the pass, and the next one tries again.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock

from uoro.engine.entries import encode, encode_about
from uoro.engine.meter import Meter
from uoro.engine.ownership import Ownership
from uoro.engine.retention import Mark, due, needed_from
from uoro.engine.runner import Runner
from uoro.engine.shelf import Copy, Stream
from uoro.errors import CorruptRecord, StreamDamaged, UnknownStream
from uoro.limits import Limits
from uoro.store.protocol import LogBounds, Snapshot, Store

_log = logging.getLogger(__name__)


class Snapshotter:
    """Looks after generations, named snapshots and the length of the log.

    Attributes:
        marks: by stream; from any thread, under a lock.
        bounds: of the log, as of the newest pass.
    """

    def __init__(
        self,
        store: Store,
        ownership: Ownership,
        runner: Runner,
        meter: Meter,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self.marks: dict[str, Mark] = {}
        self.bounds = LogBounds(1, 1, 0)
        self._store = store
        self._ownership = ownership
        self._runner = runner
        self._meter = meter
        self._limits = limits
        self._clock = clock
        self._open: set[str] = set()
        self._again: set[str] = set()
        self._deleted: deque[str] = deque()
        self._writing = Lock()

    def begin(self, marks: dict[str, Mark], bounds: LogBounds) -> None:
        """Take over what recovery found."""
        self.marks = marks
        self.bounds = bounds
        self._open = {stream for stream, mark in marks.items() if mark.is_behind}

    def forget(self, stream: str) -> None:
        """A stream ended: its snapshots are to go. From any thread."""
        self._deleted.append(stream)

    def snapshot_once(self, *, is_last: bool = False, until_s: float = math.inf) -> None:
        """One pass; the last one before an orderly stop takes every stream that changed.

        Args:
            is_last: take what changed, whatever the interval.
            until_s: begin no snapshot after this time of the engine's clock.

        Raises StaleEpoch, StoreUnavailable.
        """
        with self._writing:
            self._delete()
        # What is applied from here on is not in the marks: the log is kept for it, whatever they say.
        seen = self._runner.applied
        open_marks = self._look_at_streams()
        self._set_aside(open_marks)
        self.bounds = self._store.bounds()
        num_records = self.bounds.next - self.bounds.first
        is_full = num_records > self._limits.max_log_records or self.bounds.size_bytes > self._limits.max_log_bytes
        for stream in due(open_marks, self._clock(), self._limits.snapshot_interval_s, is_log_full=is_full or is_last):
            mark = open_marks[stream]
            if self._clock() >= until_s:
                break
            if not is_last or mark.changed > mark.newest:
                self._write(stream)
        with self._writing:
            # A stream that ended since has snapshots that an early trim would make the only trace of it.
            if not self._deleted:
                self._trim(seen, open_marks)

    def put_named(self, stream: str, name: str, payload: bytes, is_alive: Callable[[], bool]) -> None:
        """Write a named snapshot of a stream that is still there. Raises UnknownStream and what the store does."""
        with self._writing:
            if not is_alive():
                raise UnknownStream(stream)
            self._ownership.write(lambda epoch: self._store.put_named(epoch, stream, name, payload))

    def save(self, stream: str, its: Stream) -> bool:
        """Have the state of a stream that nobody works on in the store; False if that cannot be now.

        Raises StaleEpoch, StoreUnavailable.
        """
        with self._writing:
            self._delete()
            mark = self.marks.get(stream)
            if mark is not None and mark.newest >= its.position:
                return True
        try:
            return self._put(_snapshot(stream, its.copy(its.position)))
        except CorruptRecord:
            _log.exception("the snapshot of %s could not be read back; it stays in memory", stream)
            return False

    def _delete(self) -> None:
        while self._deleted:
            stream = self._deleted[0]
            self._ownership.write(partial(self._store.delete_snapshots, stream=stream))
            self.marks.pop(stream, None)
            self._open.discard(stream)
            self._again.add(stream)  # it may have begun anew, and been looked at before
            self._deleted.popleft()

    def _look_at_streams(self) -> dict[str, Mark]:
        """Note what changed; the marks of all streams that are not safe yet."""
        with self._writing:
            for stream in self._runner.take_changed() | self._again:
                its = self._runner.shelf.streams.get(stream)
                if its is not None:
                    self._mark(stream, its).changed = its.position
                    self._open.add(stream)
            self._again.clear()
            open_marks = {stream: mark for stream in self._open if self._is_open(stream, mark := self.marks[stream])}
            self._open = set(open_marks)
        return open_marks

    def _is_open(self, stream: str, mark: Mark) -> bool:
        its = self._runner.shelf.streams.get(stream)
        is_newly_damaged = its is not None and its.is_damaged and not mark.is_set_aside
        return mark.is_behind or is_newly_damaged

    def _mark(self, stream: str, its: Stream) -> Mark:
        mark = self.marks.get(stream)
        if mark is None:
            mark = self.marks[stream] = Mark(its.born, its.position, written_s=self._clock())
        return mark

    def _set_aside(self, marks: Mapping[str, Mark]) -> None:
        for stream, mark in marks.items():
            its = self._runner.shelf.streams.get(stream)
            if its is not None and its.is_damaged:
                # The newest generation says so; the one before it stays, for whoever wants to look.
                mark.is_set_aside = self._put(_snapshot(stream, its.copy(max(its.position, mark.newest))))

    def _write(self, stream: str) -> None:
        """Write a generation of the stream as it is, or once more as it is in the store."""
        start = time.perf_counter()
        try:
            copy = self._runner.copy(stream).result()
            snapshot = self._stored(stream) if copy is None else _snapshot(stream, copy)
            if snapshot is not None and self._put(snapshot):
                self._meter.snapshot_written(time.perf_counter() - start)
        except (UnknownStream, StreamDamaged):
            return
        except CorruptRecord:
            _log.exception("the snapshot of %s could not be read back; the log is kept", stream)

    def _stored(self, stream: str) -> Snapshot | None:
        """The newest generation of a stream that is not in memory; None if it cannot be read as it was left."""
        newest = next(iter(self._store.snapshots_of(stream).generations), None)
        with self._writing:
            mark = self.marks.get(stream)
            if mark is None or (newest is not None and newest.position >= mark.changed):
                return newest
            mark.written_s = self._clock()  # not again at once
        # Brought into memory by way of the older one and the log, it is written from there.
        self._runner.read(stream, lambda *_: None)
        return None

    def _put(self, snapshot: Snapshot) -> bool:
        """Write a generation, unless what was copied has ended since, or a newer one is there."""
        with self._writing:
            its = self._runner.shelf.streams.get(snapshot.stream)
            if its is None or snapshot.position < its.born or snapshot.stream in self._deleted:
                return False
            mark = self._mark(snapshot.stream, its)
            if snapshot.position < mark.newest:
                return False
            self._ownership.write(lambda epoch: self._store.put_snapshot(epoch, snapshot))
            mark.add(snapshot.position, self._clock())
            return True

    def _trim(self, seen: int, marks: Mapping[str, Mark]) -> None:
        before = min(needed_from(marks, seen + 1), seen + 1)
        if before > self.bounds.first:
            self._ownership.write(lambda epoch: self._store.trim(epoch, before))
            self.bounds = self._store.bounds()


def _snapshot(stream: str, copy: Copy) -> Snapshot:
    heading = encode_about(copy.model, copy.last_seq, copy.nbytes)
    return Snapshot(stream, copy.position, encode(copy.model), heading)
