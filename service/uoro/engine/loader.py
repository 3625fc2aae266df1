"""Brings the learners of cold streams into memory, and lets the least useful go for them.

Rules:
1. A learner goes only after its newest state is on disk as a generation: then the stream is what the store has of it.
2. It is brought from the newest generation that can be read. If that is not the one with which it went, the log,
   which is kept for that, makes up for the difference; if it cannot, the stream is damaged and set aside.
3. With the store away nothing is brought, and nothing goes that would have to be written: reads of cold streams are
   refused, and what was logged waits.
4. After a start, streams that changed last are brought without being asked for, as far as there is room.
5. A learner that does not fit is brought once others have gone; those that are being worked on stay.
"""

from __future__ import annotations

import logging
import time
from collections import deque

from uoro.engine.entries import decode
from uoro.engine.lanes import Lane
from uoro.engine.meter import Meter
from uoro.engine.pieces import Piece
from uoro.engine.runner import Runner
from uoro.engine.shelf import Shelf, Stream, newest_readable
from uoro.engine.snapshotter import Snapshotter
from uoro.errors import CorruptRecord, StaleEpoch, StoreUnavailable
from uoro.learning.learner import Learner
from uoro.store.protocol import Store

_log = logging.getLogger(__name__)

RETRY_S = 0.1
BUSY_S = 0.002


class Loader:
    """Looks after the lanes that the runner parked, and after the memory budget."""

    def __init__(self, store: Store, runner: Runner, snapshotter: Snapshotter, meter: Meter) -> None:
        self._store = store
        self._runner = runner
        self._snapshotter = snapshotter
        self._meter = meter
        self._ahead: deque[str] = deque()

    def begin(self) -> None:
        """Bring streams ahead of being asked, those that changed last before others."""
        cold = [(its.position, stream) for stream, its in self._runner.shelf.streams.items() if its.is_stored]
        self._ahead.extend(stream for _, stream in sorted(cold, reverse=True))

    def load_once(self, timeout_s: float) -> bool:
        """Bring what is waited for; False if nothing could be done within the timeout."""
        lanes = deque(self._runner.take_parked(0.0 if self._ahead else timeout_s))
        num_taken, is_helped, pause_s = len(lanes), False, 0.0
        try:
            while lanes and self._serve(lanes[0]):
                lanes.popleft()
            is_helped = not num_taken and (self._trim() or self._bring_ahead())
            if lanes or (self._runner.residency.is_over and not is_helped):
                pause_s = BUSY_S
        except (StoreUnavailable, StaleEpoch) as error:
            for lane in lanes:
                self._runner.refuse_reads(lane, error)
            pause_s = RETRY_S
        finally:
            self._runner.park_again(lanes)
        if pause_s:
            time.sleep(min(pause_s, timeout_s))
        return is_helped or len(lanes) < num_taken

    def _serve(self, lane: Lane[Piece]) -> bool:
        """Bring the learner that a lane waits for; False if there is no room now."""
        its = self._runner.shelf.streams.get(lane.stream)
        if its is not None and its.is_cold:
            if not self._make_room(its.nbytes):
                return False
            self._bring(lane.stream, its)
        self._runner.unpark(lane)
        return True

    def _trim(self) -> bool:
        """Let go what came in without asking: a model that was loaded through the log."""
        return self._runner.residency.is_over and self._make_room(0)

    def _bring_ahead(self) -> bool:
        """Bring the next stream that nobody asked for; False if there is none, or no room."""
        if not self._ahead:
            return False
        stream = self._ahead[0]
        its = self._runner.shelf.streams.get(stream)
        if its is not None and its.is_stored:
            if not self._runner.residency.has_room(its.nbytes):
                self._ahead.clear()
                return False
            lane = self._runner.claim(stream)
            if lane is not None:
                try:
                    self._bring(stream, its)
                finally:
                    self._runner.unpark(lane)
        self._ahead.popleft()
        return True

    def _make_room(self, nbytes: int) -> bool:
        """Let others go until so many bytes fit; False if none can go now. Raises StoreUnavailable, StaleEpoch."""
        residency = self._runner.residency
        while residency.is_over or not residency.has_room(nbytes):
            lane = self._runner.claim_coldest()
            if lane is None:
                return False
            is_saved = False
            try:
                is_saved = self._snapshotter.save(lane.stream, self._runner.shelf.streams[lane.stream])
            finally:
                self._runner.release(lane, lets_go=is_saved)
            if not is_saved:
                return False
            self._meter.let_go()
        return True

    def _bring(self, stream: str, its: Stream) -> None:
        start = time.perf_counter()
        learner = its.own_learner() or self._read(stream, its)
        if learner is None:
            self._runner.set_aside(stream, its)
        else:
            its.warm(learner)
            self._meter.brought(time.perf_counter() - start)

    def _read(self, stream: str, its: Stream) -> Learner | None:
        """The learner as it went; None if that cannot be had."""
        while True:
            read = newest_readable(self._store.snapshots_of(stream), its.born)
            if read is not None and read.position >= its.position:
                return read.own_learner()
            start = its.born if read is None else read.position + 1
            # Records before the log's first one were trimmed since this stream needs none of them.
            first = max(start, self._store.bounds().first)
            try:
                return self._relive(stream, read, first, its.position)
            except CorruptRecord as error:
                if self._store.bounds().first <= first:  # else it was trimmed meanwhile
                    _log.error("the log does not tell how stream %s was left: %s", stream, error)
                    return None

    def _relive(self, stream: str, read: Stream | None, start: int, end: int) -> Learner | None:
        """What the log makes of an older generation, or of nothing. Raises CorruptRecord."""
        shelf = Shelf()
        if read is not None:
            shelf.streams[stream] = read
        for record in self._store.read_log(start):
            if record.position > end:
                break
            entries = [entry for entry in decode(record.payload) if entry.stream == stream]
            for _ in shelf.apply(entries, record.position):
                pass
        relived = shelf.streams.get(stream)
        learner = None if relived is None else relived.own_learner()
        if learner is None:
            _log.error("neither the snapshots of stream %s nor the log tell how it was left", stream)
        return learner
