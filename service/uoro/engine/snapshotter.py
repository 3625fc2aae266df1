"""Writes copies of the streams that changed and trims the log behind them.

Rules:
1. A copy is taken by the runner, between two records of its stream, so it stands at one position. Writing it blocks
   no one.
2. Snapshots of a stream that ended are deleted before anything else is written or trimmed.
3. The log is trimmed at most to the record up to which the streams were looked at: one that changed or began since
   then is not in the marks yet.
4. What `retention` decides is done in order; a store that is away ends the pass, and the next one tries again.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Lock

from uoro.engine.entries import encode
from uoro.engine.meter import Meter
from uoro.engine.ownership import Ownership
from uoro.engine.retention import Mark, due, needed_from
from uoro.engine.runner import Runner
from uoro.errors import CorruptRecord, StreamDamaged, UnknownStream
from uoro.limits import Limits
from uoro.store.protocol import LogBounds, Snapshot, Store

_log = logging.getLogger(__name__)


class Snapshotter:
    """Looks after generations, named snapshots and the length of the log.

    Attributes:
        marks: by stream.
        bounds: of the log, as of the newest pass.
        num_ended: how many streams ended.
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
        self._deleted: deque[str] = deque()
        self._unmarked: deque[str] = deque()  # deleted; only the snapshotter's own thread touches the marks
        self._writing = Lock()
        self._counting = Lock()
        self.num_ended = 0

    def forget(self, stream: str) -> None:
        """A stream ended: its snapshots are to go. From any thread."""
        with self._counting:
            self.num_ended += 1
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
        while self._unmarked:
            self.marks.pop(self._unmarked.popleft(), None)
        # What is applied from here on is not in the marks: the log is kept for it, whatever they say.
        seen = self._runner.applied
        self._look_at_streams()
        self.bounds = self._store.bounds()
        num_records = self.bounds.next - self.bounds.first
        is_full = num_records > self._limits.max_log_records or self.bounds.size_bytes > self._limits.max_log_bytes
        for stream in due(self.marks, self._clock(), self._limits.snapshot_interval_s, is_log_full=is_full or is_last):
            mark = self.marks[stream]
            if self._clock() >= until_s:
                break
            if not is_last or mark.changed > max(mark.generations, default=0):
                self._write(stream)
        with self._writing:
            # A stream that ended since has snapshots that an early trim would make the only trace of it.
            if not self._deleted:
                self._trim(seen)

    def put_named(self, stream: str, name: str, payload: bytes, num_ended: int, is_alive: Callable[[], bool]) -> bool:
        """Write a named snapshot of a stream that is still there; False if some stream ended since `num_ended` did.

        Raises UnknownStream and what the store does.
        """
        with self._writing:
            self._delete()  # or a deletion that waits would take it along
            if not is_alive():
                raise UnknownStream(stream)
            if self.num_ended != num_ended:
                return False  # the model may be that of the stream before this one
            self._ownership.write(lambda epoch: self._store.put_named(epoch, stream, name, payload))
            return True

    def _delete(self) -> None:
        while self._deleted:
            stream = self._deleted[0]
            self._ownership.write(partial(self._store.delete_snapshots, stream=stream))
            self._unmarked.append(stream)
            self._deleted.popleft()

    def _look_at_streams(self) -> None:
        for stream, resident in list(self._runner.shelf.streams.items()):
            mark = self.marks.get(stream)
            if mark is None:
                mark = Mark(resident.born, resident.position, written_s=self._clock())
                self.marks[stream] = mark
            mark.changed = resident.position
            if resident.learner is None and not mark.is_set_aside:
                # The newest generation says so; the one before it stays, for whoever wants to look.
                mark.is_set_aside = self._put(Snapshot(stream, resident.position, encode(resident.model())))

    def _write(self, stream: str) -> None:
        start = time.perf_counter()
        reading = self._runner.copy(stream)
        try:
            position, model = reading.result()
            if not self._put(Snapshot(stream, position, encode(model))):
                return
        except (UnknownStream, StreamDamaged):
            return
        except CorruptRecord:
            _log.exception("the snapshot of %s could not be read back; the log is kept", stream)
            return
        self.marks[stream].add(position, self._clock())
        self._meter.snapshot_written(time.perf_counter() - start)

    def _put(self, snapshot: Snapshot) -> bool:
        with self._writing:
            if self._deleted or snapshot.stream in self._unmarked:
                return False  # what was copied may have ended since
            self._ownership.write(lambda epoch: self._store.put_snapshot(epoch, snapshot))
            return True

    def _trim(self, seen: int) -> None:
        before = min(needed_from(self.marks, seen + 1), seen + 1)
        if before > self.bounds.first:
            self._ownership.write(lambda epoch: self._store.trim(epoch, before))
            self.bounds = self._store.bounds()
