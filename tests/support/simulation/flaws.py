"""Worse parts for the controls: each breaks one promise, and the judge must say so."""

from __future__ import annotations

from typing import Any

from simulation.disk import Disk, Mishap, SimulatedStore
from simulation.world import Parts
from uoro.store.memory import MemoryShelf, MemoryStore

WRITES_A_FLUSH = 4


class ForgetfulDisk(Disk):
    """Flushes every fourth write only; a crash takes the shelf back to the last flush."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._num_writes = 0
        self._flush()

    def settle(self) -> None:
        self._num_writes += 1
        if self._num_writes % WRITES_A_FLUSH == 0:
            self._flush()

    def _flush(self) -> None:
        shelf = self.shelf
        self._plain = (shelf.epoch, shelf.since, shelf.owner, shelf.first, shelf.next)
        self._log = dict(shelf.log)
        self._generations = {stream: list(its) for stream, its in shelf.generations.items()}
        self._headings = {stream: list(its) for stream, its in shelf.headings.items()}
        self._named = {stream: dict(its) for stream, its in shelf.named.items()}
        self._num_records = len(self.ledger)

    def crash(self) -> None:
        super().crash()
        shelf = self.shelf
        shelf.epoch, shelf.since, shelf.owner, shelf.first, shelf.next = self._plain
        shelf.log = dict(self._log)
        shelf.generations = {stream: list(its) for stream, its in self._generations.items()}
        shelf.headings = {stream: list(its) for stream, its in self._headings.items()}
        shelf.named = {stream: dict(its) for stream, its in self._named.items()}
        del self.ledger[self._num_records :]


class AutomaticStore(SimulatedStore):
    """Positions given by the store, and a client library that sends an append again when its reply is lost."""

    def append(self, epoch: int, position: int, payload: bytes) -> None:
        self._reach("append: before")
        for _ in range(2 if self.disk.draw(Mishap.REPLY_LOST) else 1):
            shelf = self.disk.shelf
            position = shelf.next
            self.inner.append(shelf.epoch, position, payload)
            self.disk.note(position, payload)
        self._reach("append: after")


class UnfencedStore(MemoryStore):
    """Looks at no epoch."""

    def _check(self, epoch: int) -> MemoryShelf:
        return self._reach()


FLAWED = {
    "weaker flush": Parts(disk=ForgetfulDisk),
    "automatic positions": Parts(store=AutomaticStore),
    "no epoch check": Parts(inner=UnfencedStore),
}
