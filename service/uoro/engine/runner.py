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
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Event, Lock
from typing import TypeVar

from uoro.domain import Model, Observed
from uoro.engine.entries import Delete, Entry, Learn, decode
from uoro.engine.lanes import TURN_OBSERVATIONS, Lanes
from uoro.engine.meter import Meter
from uoro.engine.outcomes import Learned
from uoro.engine.planner import Answer
from uoro.engine.shelf import Resident, Shelf
from uoro.engine.subscriptions import Hub
from uoro.errors import Overloaded, StreamDamaged, UnknownStream, UoroError
from uoro.learning.learner import Learner
from uoro.learning.results import Results
from uoro.limits import Limits

MAX_WAITING_READS = 4096

T = TypeVar("T")


@dataclass(slots=True)
class Batch:
    """A record that is on disk, and who waits for it. `position` is 0 if nothing had to be logged."""

    position: int
    payload: bytes
    answers: list[Answer]


@dataclass(slots=True, eq=False)
class _Record:
    """A batch in the lanes, and how many of its steps are not done."""

    position: int
    num_left: int = 0


@dataclass(slots=True, eq=False)
class _Owed:
    """An answer that waits for so many steps."""

    answer: Answer
    is_bulk: bool
    num_left: int = 0


@dataclass(slots=True, eq=False)
class _Step:
    """One entry to be applied, or (`entry` None) duplicates to be looked up.

    Attributes:
        learned: where the results go.
    """

    record: _Record
    owed: _Owed
    entry: Entry | None
    learned: Learned | None = None
    recalled: list[tuple[int, int]] = field(default_factory=list)

    @property
    def weight(self) -> int:
        return len(self.entry.observations) if isinstance(self.entry, Learn) else 1

    @property
    def is_bulk(self) -> bool:
        return self.owed.is_bulk


@dataclass(slots=True, eq=False)
class _Call:
    """A read, or whatever else is to be done when its turn comes."""

    do: Callable[[], None]
    weight: int = 1
    is_bulk: bool = False


class Runner:
    """Owns the shelf once recovery is over.

    Args:
        damaged: streams that are set aside; kept up to date here.
        on_deleted: called with the id of a stream that ended.
        on_room: called when bulk is taken again.
        num_workers: threads that call `apply_once`.

    Attributes:
        applied: every record up to this position has been applied.
    """

    def __init__(
        self,
        damaged: set[str],
        meter: Meter,
        hub: Hub,
        limits: Limits,
        on_deleted: Callable[[str], None],
        on_room: Callable[[], None],
        num_workers: int = 1,
    ) -> None:
        self._num_workers = num_workers
        self.shelf = Shelf()
        self.applied = 0
        self._newest = 0
        self._damaged = damaged
        self._on_deleted = on_deleted
        self._on_room = on_room
        self._meter = meter
        self._hub = hub
        self._limits = limits
        self._lanes: Lanes[_Step | _Call] = Lanes()
        self._records: deque[_Record] = deque()
        self._num_observations = 0
        self._num_reads = 0
        self._is_room_awaited = False
        self._lock = Lock()
        self._ready = Condition(self._lock)
        self._room = Condition(self._lock)

    def begin(self, shelf: Shelf, position: int) -> None:
        """Take over what recovery made of the log up to a position."""
        self.shelf = shelf
        self.applied = self._newest = position

    def has_room(self) -> bool:
        """Whether more bulk may come; after a no, `on_room` tells when it may."""
        with self._lock:
            self._is_room_awaited = self._num_observations >= self._limits.max_unapplied_observations
            return not self._is_room_awaited

    def put(self, batch: Batch) -> None:
        """Hand a batch over; blocks while too many wait."""
        record, steps, complete = _laid_out(batch)
        with self._lock:
            while len(self._records) >= self._limits.max_unapplied_batches:
                self._room.wait()
            if steps:
                self._records.append(record)
            for stream, step in steps:
                self._num_observations += step.weight
                if self._lanes.push(stream, step):
                    self._ready.notify()
            if batch.position:
                self._newest = batch.position
        for answer in complete:
            _complete(answer)

    def read(self, stream: str, call: Callable[[Resident, Learner], T]) -> Future[T]:
        """Ask something of one stream in order. Fails with UnknownStream, StreamDamaged; raises Overloaded."""
        return self._read(stream, lambda resident, learner, _: call(resident, learner))

    def copy(self, stream: str) -> Future[tuple[int, Model]]:
        """A stream's model, and a position: it has seen every record up to there and none beyond."""
        return self._read(stream, lambda resident, _, position: (position, resident.model()))

    def _read(self, stream: str, call: Callable[[Resident, Learner, int], T]) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def answer(position: int) -> None:
            resident = self.shelf.streams.get(stream)
            try:
                if resident is None:
                    raise UnknownStream(stream)  # noqa: TRY301 - answered like any error of the call
                if resident.learner is None:
                    raise StreamDamaged(stream)  # noqa: TRY301 - same
                future.set_result(call(resident, resident.learner, position))
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, not to this thread
                future.set_exception(error)

        self._push_reads([(stream, answer)])
        return future

    def read_several(self, streams: Sequence[str], call: Callable[[Learner], T]) -> Future[list[T | None]]:
        """Ask the same of several streams, each in its order; None for one gone or damaged. Raises Overloaded."""
        future: Future[list[T | None]] = Future()
        future.set_running_or_notify_cancel()
        found: list[T | None] = [None] * len(streams)
        failures: list[Exception] = []
        num_left = len(streams)

        def answer(place: int, stream: str, _: int) -> None:
            nonlocal num_left
            resident = self.shelf.streams.get(stream)
            try:
                if resident is not None and resident.learner is not None:
                    found[place] = call(resident.learner)
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

    def _push_reads(self, reads: Sequence[tuple[str, Callable[[int], None]]]) -> None:
        """Let each read take its turn in its stream's lane, with the position of the newest record before it."""

        def count_off(read: Callable[[int], None], position: int) -> None:
            read(position)
            with self._lock:
                self._num_reads -= 1

        with self._lock:
            if self._num_reads + len(reads) > MAX_WAITING_READS:
                raise Overloaded(f"{MAX_WAITING_READS} reads are waiting, which is the limit")
            self._num_reads += len(reads)
            for stream, read in reads:
                if self._lanes.push(stream, _Call(partial(count_off, read, self._newest))):
                    self._ready.notify()

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything that waits now is done; False if that took longer than the timeout."""
        is_done = Event()
        with self._lock:
            streams = self._lanes.streams()
            num_left = len(streams)

            def pass_by() -> None:
                nonlocal num_left
                with self._lock:
                    num_left -= 1
                    if not num_left:
                        is_done.set()

            for stream in streams:
                self._lanes.push(stream, _Call(pass_by))
            if not streams:
                is_done.set()
        return is_done.wait(timeout_s)

    def apply_once(self, timeout_s: float) -> bool:
        """Do the next lane's turn; False if there was nothing to do within the timeout. From any worker."""
        with self._lock:
            if not self._lanes.is_any_ready:
                self._ready.wait(timeout_s)
            if not self._lanes.is_any_ready:
                return False
            turn = self._lanes.take_several(self._num_workers)
        published = self._do([(lane.stream, pieces) for lane, pieces in turn])
        with self._lock:
            complete = [its for _, pieces in turn for its in map(self._done, pieces) if its is not None]
            for lane, _ in turn:
                self._lanes.give_back(lane)
            self._advance()
            is_room = self._is_room_awaited and self._num_observations < self._limits.max_unapplied_observations
            self._is_room_awaited = self._is_room_awaited and not is_room
        if is_room:
            self._on_room()
        for answer in complete:
            _complete(answer)
        for learned, results in published:
            self._hub.publish(learned.stream, results, learned.observations)
        return True

    def _do(self, turn: list[tuple[str, list[_Step | _Call]]]) -> list[tuple[Learn, Results]]:
        """Do the pieces of different streams, each stream's in order; returns what was learned."""
        told: list[tuple[Learn, Results]] = []
        groups = [(stream, _grouped(pieces)) for stream, pieces in turn]
        for rank in range(max(len(its) for _, its in groups)):
            runs: list[list[_Step]] = []
            for stream, its in groups:
                group = its[rank] if rank < len(its) else []
                if isinstance(group, _Call):
                    group.do()
                elif group and isinstance(group[0].entry, Learn):
                    runs.append(group)
                elif group:
                    self._apply(stream, group[0])
            if runs:
                told += self._learn(runs)
        return told

    def _apply(self, stream: str, step: _Step) -> None:
        """Do a step that learns nothing."""
        entry = step.entry
        if entry is None:
            self._recall(stream, step)
            return
        self.shelf.take(entry, step.record.position)
        self._mark(stream)
        if isinstance(entry, Delete):
            self._meter.forgot([stream])
            self._on_deleted(stream)

    def _learn(self, runs: list[list[_Step]]) -> list[tuple[Learn, Results]]:
        """Learn runs of different streams, each the entries of one or several records in a row."""
        entries = [(_joined(run), run[-1].record.position) for run in runs]
        start = time.perf_counter()
        found = self.shelf.learn_each(entries)
        duration_s = (time.perf_counter() - start) / sum(len(entry.observations) for entry, _ in entries)
        told: list[tuple[Learn, Results]] = []
        for run, (entry, _), results in zip(runs, entries, found, strict=True):
            self._mark(entry.stream)
            if results is not None:
                self._tell(entry, self.shelf.streams[entry.stream], results, duration_s)
                told.append((entry, results))
            _deal(run, results)
        return told

    def _mark(self, stream: str) -> None:
        """Keep in step which streams are set aside."""
        resident = self.shelf.streams.get(stream)
        if resident is not None and resident.learner is None:
            self._damaged.add(stream)
        elif stream in self._damaged:
            self._damaged.discard(stream)

    def _tell(self, entry: Learn, resident: Resident, results: Results, duration_s: float) -> None:
        skill, num_resets = resident.health()
        losses = results.losses.tolist()
        self._meter.learned(entry.stream, entry.observations, results, losses, skill, duration_s)
        if num_resets > resident.num_resets:
            self._meter.numeric_reset(num_resets - resident.num_resets)
            resident.num_resets = num_resets

    def _recall(self, stream: str, step: _Step) -> None:
        resident = self.shelf.streams.get(stream)
        learner = resident.learner if resident is not None else None
        for place, seq in step.recalled:
            result = learner.result(seq) if learner else None
            step.owed.answer.outcomes.recalled[place] = Observed(stream, seq, True, result)

    def _done(self, piece: _Step | _Call) -> Answer | None:
        """Count a piece off; the answer that waits for nothing more, if that was the last of its pieces."""
        if isinstance(piece, _Call):
            return None
        self._num_observations -= piece.weight
        piece.record.num_left -= 1
        piece.owed.num_left -= 1
        return None if piece.owed.num_left else piece.owed.answer

    def _advance(self) -> None:
        """Let `applied` follow the records that are done, and whoever waits for room go on."""
        records = self._records
        if not records or records[0].num_left:
            return
        while records and not records[0].num_left:
            self.applied = records.popleft().position or self.applied
        self._room.notify()


def _laid_out(batch: Batch) -> tuple[_Record, list[tuple[str, _Step]], list[Answer]]:
    """A batch as steps in order, each with its stream, and the answers that need none."""
    record = _Record(batch.position)
    entries = [_in_turns(entry) for entry in decode(batch.payload)] if batch.position else []
    steps: list[tuple[str, _Step]] = []
    complete: list[Answer] = []
    rest = iter(entries)
    for answer in batch.answers:
        owed = _Owed(answer, answer.operation.is_bulk)
        first = len(steps)
        for learned in answer.entries:
            steps += ((its.stream, _Step(record, owed, its, learned)) for its in next(rest))
        if answer.recalled:
            recalled: dict[str, list[tuple[int, int]]] = {}
            for place, stream, seq in answer.recalled:
                recalled.setdefault(stream, []).append((place, seq))
            steps += ((stream, _Step(record, owed, None, None, its)) for stream, its in recalled.items())
        owed.num_left = len(steps) - first
        if not owed.num_left:
            complete.append(answer)
    record.num_left = len(steps)
    return record, steps, complete


def _grouped(pieces: list[_Step | _Call]) -> list[list[_Step] | _Call]:
    """The pieces of a stream in order, those together that learn in a row."""
    groups: list[list[_Step] | _Call] = []
    for piece in pieces:
        last = groups[-1] if groups else None
        if isinstance(piece, _Call):
            groups.append(piece)
        elif isinstance(piece.entry, Learn) and isinstance(last, list) and isinstance(last[0].entry, Learn):
            last.append(piece)
        else:
            groups.append([piece])
    return groups


def _joined(run: list[_Step]) -> Learn:
    """The entries of a run as one."""
    first = run[0].entry
    assert isinstance(first, Learn)  # noqa: S101 - that is what makes a run
    if len(run) == 1:
        return first
    observations = [its for step in run if isinstance(step.entry, Learn) for its in step.entry.observations]
    return Learn(first.stream, first.first_seq, observations)


def _deal(run: list[_Step], results: Results | None) -> None:
    """Give each step of a run its part of the results; without any its observations are refused."""
    end = 0
    for step in run:
        assert step.learned is not None  # noqa: S101 - an entry that learns is that of a request
        if results is None:
            step.owed.answer.outcomes.set_aside(step.learned, StreamDamaged(step.learned.stream))
        elif len(run) == 1:
            step.learned.parts.append(results)
        else:
            step.learned.parts.append(results.part(end, step.weight))
            end += step.weight


def _in_turns(entry: Entry) -> list[Entry]:
    """An entry in parts that are no longer than a worker's turn."""
    if not isinstance(entry, Learn) or len(entry.observations) <= TURN_OBSERVATIONS:
        return [entry]
    return [
        Learn(entry.stream, entry.first_seq + first, entry.observations[first : first + TURN_OBSERVATIONS])
        for first in range(0, len(entry.observations), TURN_OBSERVATIONS)
    ]


def _complete(answer: Answer) -> None:
    if isinstance(answer.outcome, UoroError):
        answer.operation.fail(answer.outcome)
    else:
        answer.operation.answer(answer.outcomes if answer.is_observe else answer.outcome)
