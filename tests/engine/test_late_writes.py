"""Writes whose outcome is unknown: none of them may land on what was written since."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engine_ground import Ground, reference, submissions
from store_ground import flip_last_bit

from uoro.errors import OutcomeUnknown, StaleEpoch
from uoro.store.memory import Fault, MemoryStore


class LateStore(MemoryStore):
    """Loses the next request with one of `lost`; `deliver` hands it to the shelf after all.

    Attributes:
        lost: names of calls.
    """

    lost: list[str]
    held: list[Callable[[], object]]

    def _send(self, what: str, call: Callable[[], object]) -> None:
        if what in self.lost:
            self.lost.remove(what)
            self.held.append(call)
            raise OutcomeUnknown("the shelf did not answer")
        call()

    def put_snapshot(self, *arguments: object) -> None:
        put = super().put_snapshot
        self._send("put_snapshot", lambda: put(*arguments))  # type: ignore[arg-type]

    def delete_snapshots(self, epoch: int, stream: str) -> None:
        delete = super().delete_snapshots
        self._send("delete_snapshots", lambda: delete(epoch, stream))

    def put_named(self, *arguments: object) -> None:
        put = super().put_named
        self._send("put_named", lambda: put(*arguments))  # type: ignore[arg-type]

    def deliver(self) -> None:
        """All of them arrive; nobody hears what becomes of them."""
        for request in self.held:
            with pytest.raises(OutcomeUnknown):
                _unheard(request)
        self.held.clear()


def _unheard(request: Callable[[], object]) -> None:
    try:
        request()
    except Exception as error:
        raise OutcomeUnknown("nobody listens") from error
    raise OutcomeUnknown("nobody listens")


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A ground whose engine writes to a late store."""
    monkeypatch.setattr("engine_ground.MemoryStore", LateStore)
    LateStore.lost, LateStore.held = [], []
    return Ground()


def pass_by(ground: Ground) -> None:
    """A pass of the snapshotter, with every interval over."""
    ground.clock.now += 10.0
    ground.snapshot()


def test_a_late_snapshot_does_not_replace_a_newer_one(ground: Ground) -> None:
    """It was thought lost and arrives after its successor; the newest generation is then damaged: nothing is lost."""
    ground.create("s")
    store: LateStore = ground.engine.snapshotter._store  # type: ignore[assignment]
    values = []
    for turn in range(4):
        values.append(float(turn))
        ground.observe("s", [values[-1]])
        if turn == 1:
            LateStore.lost.append("put_snapshot")
            with pytest.raises(OutcomeUnknown):
                pass_by(ground)
            ground.observe("s", [0.5])
            values.append(0.5)
        pass_by(ground)
        if turn == 2:
            store.deliver()
    slots = ground.shelf.generations["s"]
    slots[0] = flip_last_bit(slots[0])
    ground.crash()
    assert ground.state("s") == reference(values).dump()


def test_a_late_deletion_does_not_take_what_began_since(ground: Ground) -> None:
    """The stream ended, its deletion was repeated, it began anew and was snapshotted; then the first request lands."""
    ground.create("s")
    pass_by(ground)
    ground.done(ground.engine.delete("s"))
    LateStore.lost.append("delete_snapshots")
    with pytest.raises(OutcomeUnknown):
        pass_by(ground)
    ground.create("s")
    for value in (1.0, 2.0, 3.0):
        ground.observe("s", [value])
        pass_by(ground)
    ground.engine.snapshotter._store.deliver()  # type: ignore[attr-defined]
    ground.crash()
    assert ground.state("s") == reference([1.0, 2.0, 3.0]).dump()


def test_a_late_named_snapshot_does_not_replace_the_one_acknowledged_since(ground: Ground) -> None:
    """The same name is written again after the first outcome was unknown: the second stays."""
    ground.create("s")
    snapshotter = ground.engine.snapshotter
    LateStore.lost.append("put_named")
    with pytest.raises(OutcomeUnknown):
        snapshotter.put_named("s", "v", b"first", snapshotter.num_ended, lambda: True)
    assert snapshotter.put_named("s", "v", b"second", snapshotter.num_ended, lambda: True)
    snapshotter._store.deliver()  # type: ignore[attr-defined]
    assert MemoryStore(ground.shelf).read_named("s", "v") == b"second"


def test_a_doubt_is_left_once(ground: Ground) -> None:
    """After an unknown outcome the epoch moves once, whatever is written afterwards."""
    ground.create("s")
    pass_by(ground)
    LateStore.lost.append("put_snapshot")
    with pytest.raises(OutcomeUnknown):
        pass_by(ground)
    before = ground.shelf.epoch
    for value in (1.0, 2.0):
        ground.observe("s", [value])
        pass_by(ground)
    assert ground.shelf.epoch == before + 1


class TakenStore(MemoryStore):
    """Another server takes the shard, and appends, between a fence and the reading back."""

    is_taken = False

    def read_record(self, position: int):  # type: ignore[no-untyped-def]  # noqa: ANN201
        if TakenStore.is_taken:
            TakenStore.is_taken = False
            other = MemoryStore(self._shelf)
            self._shelf.lease_ends = 0.0
            other.append(other.acquire("other"), position, b"another server's record")
        return super().read_record(position)


def test_a_record_of_another_server_at_the_open_position_deposes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading back an unknown append finds what another owner wrote there: this engine is lost, and applies nothing."""
    monkeypatch.setattr("engine_ground.MemoryStore", TakenStore)
    ground = Ground()
    ground.create("s")
    before = ground.state("s")
    ground.shelf.faults.append(Fault.REQUEST_LOST)
    ground.engine.observe(submissions("s", [1.0]))
    ground.work()
    TakenStore.is_taken = True
    ground.work()
    assert ground.losses == ["me"]
    assert ground.state("s") == before


class TrimmedStore(MemoryStore):
    """Another server takes the shard and trims the log between a recovery's look at the bounds and its reading."""

    is_taken = False

    def read_log(self, position: int):  # type: ignore[no-untyped-def]  # noqa: ANN201
        if TrimmedStore.is_taken:
            TrimmedStore.is_taken = False
            self._shelf.lease_ends = 0.0
            other = MemoryStore(self._shelf)
            other.trim(other.acquire("other"), self._shelf.next)
        return super().read_log(position)


def test_a_log_that_another_server_trims_during_recovery_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recovering one is deposed; it says so, instead of a log that cannot be read."""
    monkeypatch.setattr("engine_ground.MemoryStore", TrimmedStore)
    ground = Ground()
    ground.create("s")
    TrimmedStore.is_taken = True
    with pytest.raises(StaleEpoch):
        ground.crash()
    assert ground.losses == ["me"]
