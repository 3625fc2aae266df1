"""Applies records to learners and answers whoever waits; the only one that touches a learner in operation.

Rules:
1. Records are applied in the order of their positions, each once; reads take their turn between them, so a read
   sees every write that was answered before it was asked.
2. What is applied is decoded from the bytes that were logged.
3. At most `max_unapplied_batches` records and `MAX_WAITING_READS` reads wait here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from threading import Condition, Event
from typing import TypeVar

from uoro.domain import Observed
from uoro.engine.entries import Delete, Entry, Learn, decode
from uoro.engine.meter import Meter
from uoro.engine.operations import ObserveRequest
from uoro.engine.planner import Answer
from uoro.engine.shelf import Resident, Shelf
from uoro.engine.subscriptions import Hub
from uoro.errors import Overloaded, StreamDamaged, UnknownStream, UoroError
from uoro.learning.learner import Learner
from uoro.learning.results import Results

MAX_WAITING_READS = 4096

T = TypeVar("T")


@dataclass(slots=True)
class Batch:
    """A record that is on disk, and who waits for it. `position` is 0 if nothing had to be logged."""

    position: int
    payload: bytes
    answers: list[Answer]


class Runner:
    """Owns the shelf once recovery is over.

    Args:
        damaged: streams that are set aside; kept up to date here.
        on_deleted: called with the id of a stream that ended.

    Attributes:
        applied: position of the newest record applied.
    """

    def __init__(
        self,
        damaged: set[str],
        meter: Meter,
        hub: Hub,
        max_unapplied_batches: int,
        on_deleted: Callable[[str], None],
    ) -> None:
        self.shelf = Shelf()
        self.applied = 0
        self._damaged = damaged
        self._on_deleted = on_deleted
        self._meter = meter
        self._hub = hub
        self._max_batches = max_unapplied_batches
        self._waiting: deque[Batch | Callable[[], None]] = deque()
        self._num_batches = 0
        self._changed = Condition()

    def put(self, batch: Batch) -> None:
        """Hand a batch over; blocks while too many wait."""
        with self._changed:
            while self._num_batches >= self._max_batches:
                self._changed.wait()
            self._num_batches += 1
            self._waiting.append(batch)
            self._changed.notify_all()

    def read(self, stream: str, call: Callable[[Resident, Learner], T]) -> Future[T]:
        """Ask something of one stream in order. Fails with UnknownStream, StreamDamaged; raises Overloaded."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def answer() -> None:
            resident = self.shelf.streams.get(stream)
            try:
                if resident is None:
                    raise UnknownStream(stream)  # noqa: TRY301 - answered like any error of the call
                if resident.learner is None:
                    raise StreamDamaged(stream)  # noqa: TRY301 - same
                future.set_result(call(resident, resident.learner))
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, not to this thread
                future.set_exception(error)

        self._put_read(answer)
        return future

    def read_several(self, streams: Sequence[str], call: Callable[[Learner], T]) -> Future[list[T | None]]:
        """Ask the same of several streams in one turn; None for one that is gone or damaged. Raises Overloaded."""
        future: Future[list[T | None]] = Future()
        future.set_running_or_notify_cancel()

        def answer() -> None:
            residents = [self.shelf.streams.get(stream) for stream in streams]
            learners = [None if resident is None else resident.learner for resident in residents]
            try:
                future.set_result([None if learner is None else call(learner) for learner in learners])
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, not to this thread
                future.set_exception(error)

        self._put_read(answer)
        return future

    def _put_read(self, answer: Callable[[], None]) -> None:
        with self._changed:
            if len(self._waiting) - self._num_batches >= MAX_WAITING_READS:
                raise Overloaded(f"{MAX_WAITING_READS} reads are waiting, which is the limit")
            self._waiting.append(answer)
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything that waits now is done; False if that took longer than the timeout."""
        is_done = Event()
        with self._changed:
            self._waiting.append(is_done.set)
            self._changed.notify_all()
        return is_done.wait(timeout_s)

    def apply_once(self, timeout_s: float) -> bool:
        """Do the next piece of work; False if there was none within the timeout."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return False
            work = self._waiting.popleft()
        if isinstance(work, Batch):
            try:
                self._apply(work)
            finally:
                with self._changed:
                    self._num_batches -= 1
                    self._changed.notify_all()
        else:
            work()
        return True

    def _apply(self, batch: Batch) -> None:
        entries = decode(batch.payload) if batch.position else []
        results = self._step(entries, batch.position)
        published: list[Observed] = []
        for answer in batch.answers:
            applied = list(islice(results, answer.num_entries))
            published += self._answer(answer, applied)
        # A record whose callers were already answered (its outcome was unknown for a while) is applied all the same.
        for _ in results:
            pass
        if batch.position:
            self.applied = batch.position
        self._hub.publish(published)

    def _step(self, entries: list[Entry], position: int) -> Iterator[Results | None]:
        applied = self.shelf.apply(entries, position)
        for entry in entries:
            start = time.perf_counter()
            results = next(applied)
            duration_s = time.perf_counter() - start
            resident = self.shelf.streams.get(entry.stream)
            if resident is not None and resident.learner is None:
                self._damaged.add(entry.stream)
            else:
                self._damaged.discard(entry.stream)
            if isinstance(entry, Delete):
                self._meter.forgot([entry.stream])
                self._on_deleted(entry.stream)
            elif isinstance(entry, Learn) and resident is not None and results:
                self._tell(entry, resident, results, duration_s)
            yield results

    def _tell(self, entry: Learn, resident: Resident, results: Results, duration_s: float) -> None:
        learner = resident.learner
        if learner is None:
            return
        metrics = learner.metrics()
        each_s = duration_s / len(results)
        for observation, result in zip(entry.observations, results, strict=True):
            self._meter.learned(entry.stream, observation, result, metrics, each_s)
        if metrics.numeric_resets > resident.num_resets:
            self._meter.numeric_reset(metrics.numeric_resets - resident.num_resets)
            resident.num_resets = metrics.numeric_resets

    def _answer(self, answer: Answer, applied: list[Results | None]) -> list[Observed]:
        """Complete one operation's answer; returns what subscribers are to see."""
        fresh: list[Observed] = []
        request = answer.operation.request
        asked = request.submissions if isinstance(request, ObserveRequest) else ()
        for results, slots, stream in zip(applied, answer.learned, answer.streams, strict=False):
            for place, slot in enumerate(slots):
                if results is None:
                    answer.outcomes[slot] = StreamDamaged(stream)
                else:
                    result = results[place]
                    observed = Observed(stream, result.seq, False, result, asked[slot].observation.x)
                    answer.outcomes[slot] = observed
                    fresh.append(observed)
        for slot, stream, seq in answer.recalled:
            resident = self.shelf.streams.get(stream)
            learner = resident.learner if resident is not None else None
            answer.outcomes[slot] = Observed(stream, seq, True, learner.result(seq) if learner else None)
        if isinstance(answer.outcome, UoroError):
            answer.operation.fail(answer.outcome)
        else:
            answer.operation.answer(answer.outcomes if answer.is_observe else answer.outcome)
        return fresh
