"""Applies records to learners and answers whoever waits; the only one that touches a learner in operation.

Rules:
1. A stream's records are applied in the order of their positions, each once, by one worker at a time; its reads take
   their turn between them, so a read sees every write that was answered before it was asked. Streams owe each other
   no order, so workers apply different ones side by side.
2. What is applied is decoded from the bytes that were logged.
3. At most `max_unapplied_batches` records and `MAX_WAITING_READS` reads wait here; of bulk no more is asked for while
   `max_unapplied_observations` wait.
4. An operation is answered when the last of its observations is applied. `applied` is a position up to which every
   record has been applied to every stream.
5. What needs the learner of a cold stream is *parked* with its lane until the loader has brought it; workers go on
   with others. A learner goes only while its lane is claimed, so never under a worker's hands.
6. What is replayed goes through the lanes like back-fill: up to `MAX_REPLAY_OBSERVATIONS` wait, and a stream that is
   asked for has its turn first.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Condition, Event, Lock
from typing import TypeVar

from uoro.domain import Observed
from uoro.engine.entries import Delete, Entry, Learn
from uoro.engine.lanes import Lane, Lanes, Lines
from uoro.engine.meter import Meter
from uoro.engine.pieces import Batch, Call, Piece, Record, Step, complete, laid_out, replayed
from uoro.engine.planner import Answer
from uoro.engine.residency import Residency
from uoro.engine.shelf import Copy, Shelf, Stream
from uoro.engine.subscriptions import Hub
from uoro.errors import Overloaded, StreamDamaged, UnknownStream, UoroError
from uoro.learning.learner import Learner
from uoro.learning.results import Results
from uoro.limits import Limits

MAX_WAITING_READS = 4096
MAX_REPLAY_OBSERVATIONS = 1_000_000
MAX_PARKED_TAKEN = 16
LOOK_S = 0.05
"""How often a replay that waits for room looks for it, in seconds."""

T = TypeVar("T")


class Runner:
    """Owns the shelf once recovery is over.

    Args:
        damaged: streams that are set aside; kept up to date here.
        on_deleted: called with the id of a stream that ended.
        on_room: called when bulk is taken again.
        clock: seconds, monotonic.

    Attributes:
        applied: every record up to this position has been applied.
        num_replayed: observations that were replayed.
        residency: the streams whose learners are in memory.
    """

    def __init__(
        self,
        damaged: set[str],
        meter: Meter,
        hub: Hub,
        limits: Limits,
        on_deleted: Callable[[str], None],
        on_room: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shelf = Shelf()
        self.applied = 0
        self.num_replayed = 0
        self.residency = Residency(limits.memory_budget_bytes)
        self._newest = 0
        self._damaged = damaged
        self._on_deleted = on_deleted
        self._on_room = on_room
        self._meter = meter
        self._hub = hub
        self._limits = limits
        self._clock = clock
        self._lanes: Lanes[Piece] = Lanes()
        self._parked: Lines[Piece] = Lines()
        self._changed: set[str] = set()
        self._records: deque[Record] = deque()
        self._num_batches = 0
        self._num_observations = 0
        self._num_reads = 0
        self._is_room_awaited = False
        self._lock = Lock()
        self._ready = Condition(self._lock)
        self._room = Condition(self._lock)
        self._load = Condition(self._lock)

    def begin(self, shelf: Shelf, position: int) -> None:
        """Take over the streams as the snapshots have them; the log goes on behind a position."""
        self.shelf = shelf
        self.applied = self._newest = position

    def has_room(self) -> bool:
        """Whether more bulk may come; after a no, `on_room` tells when it may."""
        with self._lock:
            self._is_room_awaited = self._num_observations >= self._limits.max_unapplied_observations
            return not self._is_room_awaited

    def put(self, batch: Batch) -> None:
        """Hand a batch over; blocks while too many wait."""
        record, steps, answers = laid_out(batch, self.shelf)
        with self._lock:
            while self._num_batches >= self._limits.max_unapplied_batches:
                self._room.wait()
            self._num_batches += bool(steps)
            self._begin_record(record, steps)
        for answer in answers:
            complete(answer)

    def replay(self, position: int, entries: list[Entry]) -> None:
        """Hand over what of a record is still to be applied; blocks while too many observations wait."""
        record, steps = replayed(position, entries, self.shelf)
        with self._lock:
            while self._num_observations >= MAX_REPLAY_OBSERVATIONS:
                self._room.wait(LOOK_S)
            self._begin_record(record, steps)

    def _begin_record(self, record: Record, steps: Sequence[tuple[str, Step]]) -> None:
        if record.position:
            self._newest = record.position
            self._records.append(record)
        for stream, step in steps:
            self._num_observations += step.weight
            self._push(stream, step)
        self._advance()

    def _push(self, stream: str, piece: Piece) -> None:
        """Add a piece to its stream's lane; with a learner that is to be brought, the loader hears of it at once."""
        lane = self._lanes.push(stream, piece)
        if lane is None:
            return
        its = self.shelf.streams.get(stream)
        if piece.needs_learner and its is not None and its.is_stored:
            self._parked.add(lane)
            self._load.notify()
        else:
            self._give_back(lane)

    def _give_back(self, lane: Lane[Piece]) -> None:
        if self._lanes.give_back(lane):
            self._ready.notify()

    def read(self, stream: str, call: Callable[[Stream, Learner], T]) -> Future[T]:
        """Ask something of one stream in order.

        Fails with UnknownStream, StreamDamaged, StoreUnavailable if it is cold and cannot be brought; raises
        Overloaded.
        """

        def ask(its: Stream, _: int) -> T:
            if its.learner is None:
                raise StreamDamaged(stream)
            return call(its, its.learner)

        return self._read(stream, ask)

    def copy(self, stream: str) -> Future[Copy | None]:
        """A copy of a stream that has seen every record up to its position and none beyond; None if it is cold."""

        def copy(its: Stream, position: int) -> Copy | None:
            if its.is_damaged:
                raise StreamDamaged(stream)
            return None if its.is_stored else its.copy(position)

        return self._read(stream, copy, needs_learner=False)

    def _read(self, stream: str, call: Callable[[Stream, int], T], *, needs_learner: bool = True) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def answer(position: int, trouble: UoroError | None) -> None:
            its = self.shelf.streams.get(stream)
            try:
                if trouble is not None:
                    raise trouble  # noqa: TRY301 - answered like any error of the call
                if its is None:
                    raise UnknownStream(stream)  # noqa: TRY301 - same
                future.set_result(call(its, position))
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, not to this thread
                future.set_exception(error)

        self._push_reads([(stream, answer)], needs_learner=needs_learner)
        return future

    def read_several(self, streams: Sequence[str], call: Callable[[Learner], T]) -> Future[list[T | None]]:
        """Ask the same of several streams, each in its order; None for one gone or damaged. Raises Overloaded."""
        future: Future[list[T | None]] = Future()
        future.set_running_or_notify_cancel()
        found: list[T | None] = [None] * len(streams)
        failures: list[Exception] = []
        num_left = len(streams)

        def answer(place: int, stream: str, _: int, trouble: UoroError | None) -> None:
            nonlocal num_left
            its = self.shelf.streams.get(stream)
            try:
                if trouble is not None:
                    raise trouble  # noqa: TRY301 - answered like any error of the call
                if its is not None and its.learner is not None:
                    found[place] = call(its.learner)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, not to this thread
                failures.append(error)
            with self._lock:
                num_left -= 1
                is_last = not num_left
            if is_last and failures:
                future.set_exception(failures[0])
            elif is_last:
                future.set_result(found)

        self._push_reads([(stream, partial(answer, place, stream)) for place, stream in enumerate(streams)])
        if not streams:
            future.set_result(found)
        return future

    def _push_reads(
        self, reads: Sequence[tuple[str, Callable[[int, UoroError | None], None]]], *, needs_learner: bool = True
    ) -> None:
        """Let each read take its turn in its stream's lane, with the position of the newest record before it."""

        def count_off(read: Callable[[int, UoroError | None], None], position: int, trouble: UoroError | None) -> None:
            read(position, trouble)
            with self._lock:
                self._num_reads -= 1

        with self._lock:
            if self._num_reads + len(reads) > MAX_WAITING_READS:
                raise Overloaded(f"{MAX_WAITING_READS} reads are waiting, which is the limit")
            self._num_reads += len(reads)
            for stream, read in reads:
                self._push(stream, Call(partial(count_off, read, self._newest), needs_learner))

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything that waits now is done; False if that took longer than the timeout."""
        is_done = Event()
        self.once_settled(is_done.set)
        return is_done.wait(timeout_s)

    def once_settled(self, then: Callable[[], None]) -> None:
        """Call back, from a worker or at once, when everything that waits now is done."""
        with self._lock:
            streams = self._lanes.streams()
            num_left = len(streams)

            def pass_by(_: UoroError | None) -> None:
                nonlocal num_left
                with self._lock:
                    num_left -= 1
                    is_last = not num_left
                if is_last:
                    then()

            for stream in streams:
                self._lanes.push(stream, Call(pass_by, needs_learner=False, is_bulk=True))
        if not streams:
            then()

    def take_parked(self, timeout_s: float) -> list[Lane[Piece]]:
        """Lanes that wait for a learner, at most `MAX_PARKED_TAKEN`; theirs until each is unparked or parked again."""
        with self._lock:
            if not self._parked and not self.residency.is_over:
                self._load.wait(timeout_s)
            parked: list[Lane[Piece]] = []
            while self._parked and len(parked) < MAX_PARKED_TAKEN:
                parked.append(self._parked.pop())
            return parked

    def unpark(self, lane: Lane[Piece]) -> None:
        """Let workers go on with a lane, whose learner is here, or will not be."""
        with self._lock:
            self._note(lane.stream, is_used=True)
            self._give_back(lane)

    def park_again(self, lanes: Sequence[Lane[Piece]]) -> None:
        """Lanes still wait, before those that came later; those in which nothing waits any more are over."""
        with self._lock:
            for lane in reversed(lanes):
                if lane.waiting:
                    self._parked.add(lane, is_first=True)
                else:
                    self._lanes.give_back(lane)

    def refuse_reads(self, lane: Lane[Piece], error: UoroError) -> None:
        """Answer the reads that wait in a parked lane with an error."""
        with self._lock:
            refused = [piece for piece in lane.waiting if isinstance(piece, Call) and piece.needs_learner]
            for piece in refused:
                lane.waiting.remove(piece)
                lane.num_live -= 1
        for piece in refused:
            piece.do(error)

    def claim_coldest(self) -> Lane[Piece] | None:
        """The lane of the least useful stream in memory that nobody works on; None if there is none."""
        with self._lock:
            lanes = map(self._lanes.claim, self.residency.coldest())
            return next((lane for lane in lanes if lane is not None), None)

    def claim(self, stream: str) -> Lane[Piece] | None:
        """The lane of a stream that nobody works on; None if somebody does, or something waits."""
        with self._lock:
            return self._lanes.claim(stream)

    def release(self, lane: Lane[Piece], *, lets_go: bool) -> None:
        """Give a claimed lane back, with the learner gone or as it was."""
        with self._lock:
            if lets_go:
                self.shelf.streams[lane.stream].learner = None
                self.residency.forget(lane.stream)
            self._give_back(lane)

    def set_aside(self, stream: str, its: Stream) -> None:
        """The state of a stream whose lane is parked cannot be had."""
        its.set_aside()
        self._damaged.add(stream)
        with self._lock:
            self._changed.add(stream)

    def take_changed(self) -> set[str]:
        """Streams that records changed since the last time, as far as `applied` at least."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed

    def apply_once(self, timeout_s: float) -> bool:
        """Do the next lane's turn; False if there was nothing to do within the timeout. From any worker."""
        taken = self._take(timeout_s)
        if taken is None:
            return False
        lane, pieces = taken
        num_done, published = self._work(lane.stream, pieces)
        with self._lock:
            answers = [its for its in map(self._done, pieces[:num_done]) if its is not None]
            self._look_at(lane.stream, pieces[:num_done])
            if num_done < len(pieces):
                lane.put_back(pieces[num_done:])
                self._parked.add(lane)
                self._load.notify()
            else:
                self._lanes.give_back(lane)
            self._advance()
            is_room = self._is_room_awaited and self._num_observations < self._limits.max_unapplied_observations
            self._is_room_awaited = self._is_room_awaited and not is_room
        if is_room:
            self._on_room()
        for answer in answers:
            complete(answer)
        for results, entry in published:
            self._hub.publish(lane.stream, results, entry.observations)
        return True

    def _take(self, timeout_s: float) -> tuple[Lane[Piece], list[Piece]] | None:
        with self._lock:
            taken = self._lanes.take()
            if taken is None:
                self._ready.wait(timeout_s)
                taken = self._lanes.take()
            return taken

    def _work(self, stream: str, pieces: Sequence[Piece]) -> tuple[int, list[tuple[Results, Learn]]]:
        """Do the pieces of a turn, up to one whose learner is not here; how many, and what there is to publish."""
        published: list[tuple[Results, Learn]] = []
        for num_done, piece in enumerate(pieces):
            if piece.needs_learner and not self._has_learner(stream):
                return num_done, published
            if isinstance(piece, Call):
                piece.do(None)
            elif piece.entry is None:
                self._recall(stream, piece)
            elif (results := self._apply(stream, piece, piece.entry)) is not None:
                assert isinstance(piece.entry, Learn)  # noqa: S101 - nothing else has results
                published.append((results, piece.entry))
        return len(pieces), published

    def _has_learner(self, stream: str) -> bool:
        """Whether a turn can go on: the learner is here, or there is none to be brought."""
        its = self.shelf.streams.get(stream)
        if its is None or not its.is_cold:
            return True
        learner = its.own_learner() if self.residency.has_room(its.nbytes) else None
        if learner is None:
            return False
        its.warm(learner)
        return True

    def _look_at(self, stream: str, done: Sequence[Piece]) -> None:
        """Note what a turn came to: for the snapshotter, and for residency."""
        if any(isinstance(piece, Step) and piece.entry is not None for piece in done):
            self._changed.add(stream)
        self._note(stream, is_used=any(piece.needs_learner for piece in done))

    def _note(self, stream: str, *, is_used: bool) -> None:
        its = self.shelf.streams.get(stream)
        if its is None or its.learner is None:
            self.residency.forget(stream)
        elif is_used or stream not in self.residency:
            self.residency.touch(stream, its.nbytes, self._clock())
            if self.residency.is_over:
                self._load.notify()

    def _apply(self, stream: str, step: Step, entry: Entry) -> Results | None:
        start = time.perf_counter()
        results = next(step.applied)
        duration_s = time.perf_counter() - start
        its = self.shelf.streams.get(stream)
        if its is not None and its.is_damaged:
            self._damaged.add(stream)
        elif stream in self._damaged:
            self._damaged.discard(stream)
        if isinstance(entry, Delete) and step.owed.answer is not None:  # recovery looks after those it replays
            self._meter.forgot([stream])
            self._on_deleted(stream)
        if not isinstance(entry, Learn):
            return None
        if step.owed.answer is None:
            self.num_replayed += len(results or ())
            return None
        if its is not None and results is not None:
            self._tell(entry, its, results, duration_s)
        if step.learned is not None:
            if results is not None:
                step.learned.parts.append(results)
            else:
                step.owed.answer.outcomes.set_aside(step.learned, StreamDamaged(stream))
        return results

    def _tell(self, entry: Learn, its: Stream, results: Results, duration_s: float) -> None:
        skill, num_resets = its.health()
        losses = results.losses.tolist()
        self._meter.learned(entry.stream, entry.observations, results, losses, skill, duration_s / len(losses))
        if num_resets > its.num_resets:
            self._meter.numeric_reset(num_resets - its.num_resets)
            its.num_resets = num_resets

    def _recall(self, stream: str, step: Step) -> None:
        its = self.shelf.streams.get(stream)
        learner = its.learner if its is not None else None
        assert step.owed.answer is not None  # noqa: S101 - duplicates are not replayed
        for place, seq in step.recalled:
            result = learner.result(seq) if learner else None
            step.owed.answer.outcomes.recalled[place] = Observed(stream, seq, True, result)

    def _done(self, piece: Piece) -> Answer | None:
        """Count a piece off; the answer that waits for nothing more, if that was the last of its pieces."""
        if isinstance(piece, Call):
            return None
        self._num_observations -= piece.weight
        piece.record.num_left -= 1
        piece.owed.num_left -= 1
        if not piece.record.num_left and not piece.record.is_replayed:
            self._num_batches -= 1
            self._room.notify()
        return None if piece.owed.num_left else piece.owed.answer

    def _advance(self) -> None:
        """Let `applied` follow the records that are done."""
        records = self._records
        while records and not records[0].num_left:
            self.applied = records.popleft().position
