"""Bounded admission: operations wait here, in order, for a batch.

Rules:
1. An operation is admitted whole or refused whole; refused means `Overloaded`, and nothing moved.
2. First in, first out; so every stream's observations keep the order of their arrival.
3. The bound is in observations. An operation is admitted to an empty queue whatever its weight: its size has a
   limit of its own.
"""

from __future__ import annotations

from collections import deque
from threading import Condition

from uoro.engine.operations import Operation
from uoro.engine.scheduler import num_to_take, wait_s
from uoro.errors import Overloaded
from uoro.limits import Limits


class Queue:
    """Operations that were admitted and are in no batch yet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[tuple[Operation, float]] = deque()
        self._weight = 0
        self._changed = Condition()

    def __len__(self) -> int:
        return self._weight

    def admit(self, operation: Operation, now: float) -> None:
        """Add an operation that arrived at `now`, in seconds. Raises Overloaded."""
        with self._changed:
            weight = operation.weight
            if self._waiting and self._weight + weight > self._limits.max_queue_observations:
                raise Overloaded(
                    f"{self._weight} observations are waiting and {self._limits.max_queue_observations} may; "
                    "none was taken"
                )
            self._waiting.append((operation, now))
            self._weight += weight
            self._changed.notify_all()

    def take(self, now: float, timeout_s: float) -> list[Operation]:
        """The operations of the next batch; an empty list if none is due within the timeout."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            if self._waiting:
                delay = wait_s(self._weight, max(0.0, now - self._waiting[0][1]), self._limits)
                if delay > 0:
                    self._changed.wait(delay)
            return self._pop(num_to_take([op.weight for op, _ in self._waiting], self._limits))

    def drain(self) -> list[Operation]:
        """Everything that waits."""
        with self._changed:
            return self._pop(len(self._waiting))

    def _pop(self, count: int) -> list[Operation]:
        taken = [self._waiting.popleft()[0] for _ in range(count)]
        self._weight -= sum(operation.weight for operation in taken)
        return taken
