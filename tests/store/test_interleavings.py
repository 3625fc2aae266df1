"""Two owners of one shard, in every order: the deposed one is refused, and the log tells one story."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from store_ground import RedisGround

from uoro.errors import StaleEpoch, StoreUnavailable
from uoro.store.memory import MemoryShelf, MemoryStore
from uoro.store.protocol import LogRecord, Snapshot, Store

STORY = ("acquire", "append", "trim", "snapshot", "append")
SHORT_STORY = ("acquire", "append", "snapshot", "append")


class Owner:
    """Plays its story one step at a time, believing what it was last told."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.store = store
        self.epoch = 0
        self.position = 0

    def step(self, act: str) -> LogRecord | None:
        """The record that was appended, if one was. Raises StaleEpoch."""
        if act == "acquire":
            self.epoch = self.store.acquire("the same name, so that nobody waits")
            self.position = self.store.bounds().next
        elif act == "trim":
            self.store.trim(self.epoch, self.position)
        elif act == "snapshot":
            self.store.put_snapshot(self.epoch, Snapshot("s", self.position, self.name.encode()))
        else:
            record = LogRecord(self.position, self.epoch, self.name.encode())
            self.store.append(record.epoch, record.position, record.payload)
            self.position += 1
            return record
        return None


def orders(length: int) -> Iterator[tuple[int, ...]]:
    """Every order of two stories of `length` acts: which owner steps when."""
    for first in itertools.combinations(range(2 * length), length):
        yield tuple(int(turn not in first) for turn in range(2 * length))


def play(stores: tuple[Store, Store], story: tuple[str, ...], order: tuple[int, ...]) -> list[str]:
    """What went wrong in one order; empty when every promise was kept."""
    owners = (Owner("a", stores[0]), Owner("b", stores[1]))
    acts = (iter(story), iter(story))
    current: Owner | None = None
    log: list[LogRecord] = []
    first = 1
    snapshots: list[Snapshot] = []
    wrong: list[str] = []
    for turn in order:
        owner, act = owners[turn], next(acts[turn])
        if act == "acquire":
            current = owner
        try:
            appended = owner.step(act)
        except StaleEpoch:
            if owner is current:
                wrong.append(f"{order}: {owner.name} owns the shard and was refused {act}")
            continue
        if owner is not current:
            wrong.append(f"{order}: {owner.name} is deposed and was let {act}")
        if appended is not None:
            log.append(appended)
        elif act == "trim":
            first = owner.position
        elif act == "snapshot":
            snapshots.append(Snapshot("s", owner.position, owner.name.encode()))
    bounds = stores[0].bounds()
    kept = [record for record in log if record.position >= first]
    if (bounds.first, bounds.next) != (first, 1 + len(log)):
        wrong.append(f"{order}: the log has bounds {bounds}")
    if [record.position for record in log] != list(range(1, 1 + len(log))):
        wrong.append(f"{order}: positions were given twice or left out")
    if list(stores[1].read_log(first)) != kept:
        wrong.append(f"{order}: the log differs from what was acknowledged")
    if list(stores[1].snapshots_of("s").generations) != snapshots[::-1][:2]:
        wrong.append(f"{order}: the generations differ from what was acknowledged")
    return wrong


def test_two_owners_in_every_order_in_memory() -> None:
    """All 252 orders of two five-act stories, each on a fresh shelf."""
    wrong: list[str] = []
    for order in orders(len(STORY)):
        shelf = MemoryShelf()
        wrong += play((MemoryStore(shelf), MemoryStore(shelf)), STORY, order)
    assert wrong == []


def test_two_owners_in_every_order(remote_ground: RedisGround) -> None:
    """All 70 orders of two four-act stories on each kind of server."""
    wrong: list[str] = []
    for order in orders(len(SHORT_STORY)):
        remote_ground.clear()
        wrong += play((remote_ground.open(), remote_ground.open()), SHORT_STORY, order)
    assert wrong == []


class UnfencedStore(MemoryStore):
    """Takes every epoch for the current one."""

    def append(self, epoch: int, position: int, payload: bytes) -> None:
        super().append(self._shelf.epoch, self._shelf.next, payload)


def test_the_play_finds_a_store_without_epochs() -> None:
    """Control: a store that looks at neither epoch nor position is found out."""
    wrong: list[str] = []
    for order in orders(len(SHORT_STORY)):
        shelf = MemoryShelf()
        wrong += play((UnfencedStore(shelf), UnfencedStore(shelf)), SHORT_STORY, order)
    assert any("is deposed and was let append" in line for line in wrong)


def test_the_play_does_not_hide_other_errors() -> None:
    """Control: a store that is away stops the play instead of counting as a refusal."""
    shelf = MemoryShelf()
    shelf.is_away = True
    with pytest.raises(StoreUnavailable):
        play((MemoryStore(shelf), MemoryStore(shelf)), SHORT_STORY, next(orders(len(SHORT_STORY))))
