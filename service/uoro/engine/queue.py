"""Bounded admission: operations wait here, in order, for a batch.

Rules:
1. An operation is admitted whole or refused whole; refused means `Overloaded`, and nothing moved.
2. Every stream's operations keep the order of their arrival. Live ones (few observations) go before bulk ones of
   other streams; one whose stream has bulk waiting stands behind it.
3. The bound is in observations. An operation is admitted to an empty queue whatever its weight: its size has a
   limit of its own. The last eighth of the room is for live ones, so that back-fill does not shut them out.
4. What an event loop admits is announced once, at the end of the loop's turn: what many connections brought together
   then makes one batch, and the committer does not fight the loop for the interpreter's lock meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from itertools import islice
from threading import Condition

from uoro.engine.operations import Operation
from uoro.engine.scheduler import num_to_take, wait_s
from uoro.errors import Overloaded
from uoro.limits import Limits


class Queue:
    """Operations that were admitted and are in no batch yet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._live: deque[tuple[Operation, float]] = deque()
        self._bulk: deque[tuple[Operation, float]] = deque()
        self._in_bulk: Counter[str] = Counter()
        self._weight = 0
        self._is_bulk_next = True
        self._is_announced = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = Condition()

    def __len__(self) -> int:
        return self._weight

    def admit(self, operation: Operation, now: float) -> None:
        """Add an operation that arrived at `now`, in seconds. Raises Overloaded."""
        most = self._limits.max_queue_observations
        room = most - most // 8 if operation.is_bulk else most
        with self._changed:
            if self._weight and self._weight + operation.weight > room:
                raise Overloaded(f"{self._weight} observations are waiting and {most} may; none was taken")
            if operation.is_bulk or (self._in_bulk and not self._in_bulk.keys().isdisjoint(operation.streams)):
                self._bulk.append((operation, now))
                self._in_bulk.update(operation.streams)
            else:
                self._live.append((operation, now))
            self._weight += operation.weight
        self._announce_soon()

    def take(self, now: float, timeout_s: float, *, takes_bulk: bool = True) -> list[Operation]:
        """The operations of the next batch; an empty list if none is due within the timeout."""
        with self._changed:
            if not self._has_any(takes_bulk=takes_bulk):
                self._changed.wait(timeout_s)
            if self._has_any(takes_bulk=takes_bulk):
                oldest = min(waiting[0][1] for waiting in (self._live, self._bulk) if waiting)
                delay = wait_s(self._weight, max(0.0, now - oldest), self._limits)
                if delay > 0:
                    self._changed.wait(delay)
            taken = self._take(takes_bulk=takes_bulk)
            self._is_announced = self._is_any
            return taken

    def wake(self) -> None:
        """Whoever waits in `take` is to look again."""
        with self._changed:
            self._is_announced = self._is_any
            self._changed.notify_all()

    def drain(self) -> list[Operation]:
        """Everything that waits."""
        with self._changed:
            return [self._pop(waiting) for waiting in (self._live, self._bulk) for _ in range(len(waiting))]

    def _announce_soon(self) -> None:
        """Wake whoever takes: now, or from an event loop at the end of its turn."""
        loop = asyncio._get_running_loop()  # noqa: SLF001 - public for event loops; the other one raises
        if loop is None:
            self.wake()
        elif self._loop is not loop:  # else this turn's announcement is already to come
            self._loop = loop
            loop.call_soon(self._announce)

    def _announce(self) -> None:
        self._loop = None
        self.wake()

    @property
    def _is_any(self) -> bool:
        return bool(self._live or self._bulk)

    def _has_any(self, *, takes_bulk: bool) -> bool:
        return self._is_announced and bool(self._live or (takes_bulk and self._bulk))

    def _take(self, *, takes_bulk: bool) -> list[Operation]:
        """Live ones until the batch is full; with every other batch bulk ones until it is full once more."""
        taken = self._take_of(self._live)
        self._is_bulk_next = takes_bulk and (self._is_bulk_next or not taken)
        if self._is_bulk_next:
            taken += self._take_of(self._bulk)
        self._is_bulk_next = not self._is_bulk_next
        return taken

    def _take_of(self, waiting: deque[tuple[Operation, float]]) -> list[Operation]:
        # An operation weighs one at least, so no more than these can be taken.
        first = islice(waiting, self._limits.max_batch_observations + 1)
        count = num_to_take([operation.weight for operation, _ in first], self._limits)
        return [self._pop(waiting) for _ in range(count)]

    def _pop(self, waiting: deque[tuple[Operation, float]]) -> Operation:
        operation, _ = waiting.popleft()
        self._weight -= operation.weight
        if waiting is self._bulk:
            for stream in operation.streams:
                self._in_bulk[stream] -= 1
                if not self._in_bulk[stream]:
                    del self._in_bulk[stream]
        return operation
