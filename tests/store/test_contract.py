"""The promises of `store/protocol.py`, one by one, over every store."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from store_ground import Ground, RedisGround

from uoro.errors import (
    CorruptRecord,
    OutcomeUnknown,
    PositionConflict,
    StaleEpoch,
    StoreUnavailable,
    Unavailable,
)
from uoro.store.protocol import Heading, LogBounds, LogRecord, Snapshot, Store, StoredHeadings, StoredSnapshots
from uoro.store.records import OVERHEAD_BYTES

BIG_BYTES = 64 * 2**20 + 1


def everything(store: Store) -> tuple[object, ...]:
    """All that a shard holds, to see that nothing moved."""
    bounds = store.bounds()
    return (
        bounds,
        list(store.read_log(bounds.first)),
        [(stored, store.snapshots_of(stored.stream)) for stored in headings_by_stream(store)],
        {name: store.read_named("s", name) for name in store.names("s")},
    )


def headings_by_stream(store: Store) -> list[StoredHeadings]:
    """What is told of all streams, in the order of their ids."""
    return sorted(store.headings(), key=lambda stored: stored.stream)


def filled(ground: Ground) -> tuple[Store, int]:
    """A store with three records, of which the first is trimmed, and snapshots of stream `s`."""
    store = ground.open()
    epoch = store.acquire("first")
    for position in (1, 2, 3):
        store.append(epoch, position, b"payload %d" % position)
    store.trim(epoch, 2)
    store.put_snapshot(epoch, Snapshot("s", 1, b"one"))
    store.put_snapshot(epoch, Snapshot("s", 2, b"two"))
    store.put_named(epoch, "s", "kept", b"named")
    return store, epoch


WRITES: dict[str, Callable[[Store, int], object]] = {
    "append": lambda store, epoch: store.append(epoch, store.bounds().next, b"late"),
    "append elsewhere": lambda store, epoch: store.append(epoch, 99, b"late"),
    "trim": lambda store, epoch: store.trim(epoch, 3),
    "put_snapshot": lambda store, epoch: store.put_snapshot(epoch, Snapshot("s", 3, b"late")),
    "put_snapshot of another": lambda store, epoch: store.put_snapshot(epoch, Snapshot("t", 3, b"late")),
    "delete_snapshots": lambda store, epoch: store.delete_snapshots(epoch, "s"),
    "put_named": lambda store, epoch: store.put_named(epoch, "s", "late", b"late"),
    "renew": lambda store, epoch: store.renew(epoch),
    "fence": lambda store, epoch: store.fence(epoch),
}


# 1 Epoch


def test_every_acquire_raises_the_epoch(ground: Ground) -> None:
    """Epochs are 1, 2, 3 …, whoever acquires."""
    store, other = ground.open(), ground.open()
    assert store.acquire("a") == 1
    assert other.acquire("a") == 2
    other.release(2)
    assert store.acquire("b") == 3


@pytest.mark.parametrize("write", WRITES)
def test_a_stale_epoch_is_refused_and_nothing_moves(ground: Ground, write: str) -> None:
    """After another acquire no write of the old epoch is taken, and the shard is as it was."""
    store, epoch = filled(ground)
    ground.open().acquire("first")
    before = everything(store)
    with pytest.raises(StaleEpoch):
        WRITES[write](store, epoch)
    assert everything(store) == before


@pytest.mark.parametrize("write", WRITES)
def test_an_epoch_never_given_is_refused(ground: Ground, write: str) -> None:
    """An epoch ahead of the shard's (one restored from an old copy, say) is stale like an old one."""
    store, epoch = filled(ground)
    before = everything(store)
    with pytest.raises(StaleEpoch):
        WRITES[write](store, epoch + 1)
    assert everything(store) == before


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("write", WRITES)
def test_nobody_writes_before_an_acquire(ground: Ground, write: str, epoch: int) -> None:
    """On a new shard every write is refused, with the epoch of nobody as with the first."""
    store = ground.open()
    with pytest.raises(StaleEpoch):
        WRITES[write](store, epoch)
    assert everything(store) == (LogBounds(1, 1, 0), [], [], {})


# 2 Log


def test_records_lie_at_their_positions(ground: Ground) -> None:
    """Appended records are read back with position and epoch, one by one and in order."""
    store = ground.open()
    epoch = store.acquire("a")
    records = [LogRecord(position, epoch, b"x" * position) for position in range(1, 8)]
    for record in records:
        store.append(epoch, record.position, record.payload)
    assert list(store.read_log(1)) == records
    assert list(store.read_log(5)) == records[4:]
    assert list(store.read_log(8)) == []
    assert store.read_record(3) == records[2]
    assert store.read_record(8) is None
    assert store.bounds() == LogBounds(1, 8, sum(range(1, 8)) + 7 * OVERHEAD_BYTES)


@pytest.mark.parametrize("position", [0, 1, 3, 5, 2**40])
def test_a_position_that_is_not_next_is_refused(ground: Ground, position: int) -> None:
    """Repetitions and gaps are refused with both positions told, and nothing moves."""
    store, epoch = filled(ground)
    before = everything(store)
    with pytest.raises(PositionConflict) as conflict:
        store.append(epoch, position, b"elsewhere")
    assert (conflict.value.expected, conflict.value.given) == (4, position)
    assert everything(store) == before


def test_the_epoch_is_checked_before_the_position(ground: Ground) -> None:
    """A deposed owner learns that it is deposed, not that its position is wrong."""
    store, epoch = filled(ground)
    ground.open().acquire("first")
    for position in (1, 4, 99):
        with pytest.raises(StaleEpoch):
            store.append(epoch, position, b"late")


def test_payloads_of_any_bytes_and_length(ground: Ground) -> None:
    """Empty, all byte values, and more than 64 MiB; in the log, as generation and by name."""
    store = ground.open()
    epoch = store.acquire("a")
    payloads = [b"", bytes(range(256)), b"\r\n$-1\r\n", b"\xff" * BIG_BYTES]
    for position, payload in enumerate(payloads, start=1):
        store.append(epoch, position, payload)
        store.put_snapshot(epoch, Snapshot("s", position, payload))
        store.put_named(epoch, "s", f"n{position}", payload)
        assert store.snapshots_of("s").generations[0].payload == payload
        assert store.read_named("s", f"n{position}") == payload
    assert [record.payload for record in store.read_log(1)] == payloads


# 4 Reading


def test_a_long_log_is_read_across_pages(ground: Ground) -> None:
    """More records than a page has come in order, without one missing or twice."""
    store = ground.open()
    epoch = store.acquire("a")
    for position in range(1, 601):
        store.append(epoch, position, b"%d" % position)
    assert [int(record.payload) for record in store.read_log(1)] == list(range(1, 601))


def test_a_damaged_record_is_told(ground: Ground) -> None:
    """A flipped bit raises where the record is read, after the intact ones before it."""
    store, _ = filled(ground)
    ground.replace_record(3, lambda raw: raw[:-6] + bytes([raw[-6] ^ 1]) + raw[-5:])
    with pytest.raises(CorruptRecord):
        store.read_record(3)
    records = store.read_log(2)
    assert next(records).position == 2
    with pytest.raises(CorruptRecord):
        next(records)


@pytest.mark.parametrize("position", [2, 3])
def test_a_missing_record_is_told(ground: Ground, position: int) -> None:
    """A hole raises, also where it is the log's last record."""
    store, _ = filled(ground)
    ground.replace_record(position, lambda raw: None)
    with pytest.raises(CorruptRecord):
        list(store.read_log(2))


@pytest.mark.parametrize("position", [1, 5, 99])
def test_positions_outside_the_log_are_missing(ground: Ground, position: int) -> None:
    """Trimmed positions and those beyond the next are missing: who asks for them has lost records."""
    store, _ = filled(ground)
    with pytest.raises(CorruptRecord):
        store.read_log(position)


# 5 Snapshots


def test_two_generations_newest_first(ground: Ground) -> None:
    """The third generation replaces the first, the fourth the second."""
    store = ground.open()
    epoch = store.acquire("a")
    assert store.snapshots_of("s") == StoredSnapshots("s", (), 0)
    generations = [Snapshot("s", position, b"at %d" % position) for position in (5, 9, 9, 12)]
    for count, generation in enumerate(generations, start=1):
        store.put_snapshot(epoch, generation)
        newest_two = tuple(reversed(generations[:count][-2:]))
        assert store.snapshots_of("s") == StoredSnapshots("s", newest_two, 0)


@pytest.mark.parametrize(("ages", "left"), [((0,), (b"one",)), ((1,), (b"two",)), ((0, 1), ())])
def test_a_damaged_generation_is_told_and_the_other_read(
    ground: Ground, ages: tuple[int, ...], left: tuple[bytes, ...]
) -> None:
    """Damage is counted instead of raised; what is intact comes back."""
    store, _ = filled(ground)
    for age in ages:
        ground.damage_generation("s", age)
    stored = store.snapshots_of("s")
    assert tuple(generation.payload for generation in stored.generations) == left
    assert stored.num_damaged == len(ages)


def test_a_generation_after_damage_is_the_newest(ground: Ground) -> None:
    """A stream whose newest generation is damaged takes the next one like any other."""
    store, epoch = filled(ground)
    ground.damage_generation("s", 0)
    store.put_snapshot(epoch, Snapshot("s", 3, b"three"))
    assert store.snapshots_of("s").generations[0].payload == b"three"


def test_all_streams_are_told_once(ground: Ground) -> None:
    """Every stream with generations is among the headings once, whatever its id contains."""
    store = ground.open()
    epoch = store.acquire("a")
    streams = {f"plant/{number}:a.b_c-d" for number in range(250)}
    for stream in streams:
        store.put_snapshot(epoch, Snapshot(stream, 1, b"", stream.encode()))
    assert headings_by_stream(store) == [
        StoredHeadings(stream, Heading(1, stream.encode()), None) for stream in sorted(streams)
    ]


def test_headings_are_those_of_the_newest_two(ground: Ground) -> None:
    """Each generation keeps its own heading, newest first, whichever was written last."""
    store = ground.open()
    epoch = store.acquire("a")
    headings: list[Heading | None] = [None]
    for position in (5, 9, 9, 12):
        heading = Heading(position, b"about %d" % len(headings))
        headings.append(heading)
        store.put_snapshot(epoch, Snapshot("s", position, b"", heading.content))
        assert list(store.headings()) == [StoredHeadings("s", heading, headings[-2])]


@pytest.mark.parametrize("age", [0, 1])
def test_a_damaged_heading_is_none(ground: Ground, age: int) -> None:
    """A heading that fails its checksum is not told; its generation and the other heading are as they were."""
    store, epoch = filled(ground)
    before = store.snapshots_of("s")
    found = [Heading(2, b""), Heading(1, b"")]
    assert list(store.headings()) == [StoredHeadings("s", *found)]
    ground.damage_heading("s", age)
    told = [None if place == age else heading for place, heading in enumerate(found)]
    assert list(store.headings()) == [StoredHeadings("s", *told)]
    assert store.snapshots_of("s") == before
    store.put_snapshot(epoch, Snapshot("s", 3, b"three", b"h"))
    assert next(iter(store.headings())).newest == Heading(3, b"h")


def test_deleted_snapshots_are_gone(ground: Ground) -> None:
    """Generations and named snapshots go, those of other streams stay, a second delete is quiet."""
    store, epoch = filled(ground)
    store.put_snapshot(epoch, Snapshot("t", 1, b"stays"))
    for _ in range(2):
        store.delete_snapshots(epoch, "s")
        assert store.snapshots_of("s") == StoredSnapshots("s", (), 0)
        assert store.names("s") == []
        assert store.read_named("s", "kept") is None
        assert [stored.stream for stored in store.headings()] == ["t"]


# 6 Trim


def test_trim_forgets_and_keeps_the_next_position(ground: Ground) -> None:
    """Trimming moves `first` and the bytes, never `next`; beyond the end it empties the log."""
    store = ground.open()
    epoch = store.acquire("a")
    store.trim(epoch, 10)
    assert store.bounds() == LogBounds(1, 1, 0)
    for position in range(1, 6):
        store.append(epoch, position, b"x" * position)
    store.trim(epoch, 4)
    assert store.bounds() == LogBounds(4, 6, 9 + 2 * OVERHEAD_BYTES)
    assert store.read_record(3) is None
    store.trim(epoch, 2)
    assert store.bounds().first == 4
    store.trim(epoch, 99)
    assert store.bounds() == LogBounds(6, 6, 0)
    assert list(store.read_log(6)) == []
    with pytest.raises(PositionConflict):
        store.append(epoch, 5, b"used before")
    store.append(epoch, 6, b"xx")
    assert store.bounds() == LogBounds(6, 7, 2 + OVERHEAD_BYTES)


def test_everything_survives_a_restart(ground: Ground) -> None:
    """Log, bounds, snapshots and epoch are the same after the server was stopped and started."""
    store, epoch = filled(ground)
    before = everything(store)
    ground.restart()
    assert everything(store) == before
    store.append(epoch, 4, b"after")
    store.trim(epoch, 99)
    ground.restart()
    reopened = ground.open()
    assert reopened.bounds() == LogBounds(5, 5, 0)
    assert reopened.acquire("first") == epoch + 1
    with pytest.raises(StaleEpoch):
        store.append(epoch, 5, b"late")


# 8 Lease


def test_a_live_owner_of_another_name_is_waited_for_and_then_respected(ground: Ground) -> None:
    """While an owner renews, another gives up with Unavailable and the epoch stands."""
    store, other = ground.open(lease_ttl_s=60.0), ground.open(lease_ttl_s=0.1)
    epoch = store.acquire("a")
    with pytest.raises(Unavailable) as refusal:
        other.acquire("b")
    assert type(refusal.value) is Unavailable
    store.append(epoch, 1, b"still ours")


def test_a_silent_owner_is_succeeded(ground: Ground) -> None:
    """Without renewals the lease runs out within the successor's wait."""
    assert ground.open(lease_ttl_s=0.1).acquire("a") == 1
    assert ground.open(lease_ttl_s=5.0).acquire("b") == 2


def test_the_same_name_gets_the_shard_at_once(ground: Ground) -> None:
    """A restarted owner does not wait for its own lease: this one outlasts the test."""
    assert ground.open(lease_ttl_s=600.0).acquire("a") == 1
    assert ground.open(lease_ttl_s=600.0).acquire("a") == 2


def test_a_released_lease_is_free(ground: Ground) -> None:
    """After a release another name gets the shard; a stale release frees nobody's lease."""
    store, other = ground.open(lease_ttl_s=600.0), ground.open(lease_ttl_s=600.0)
    third = ground.open(lease_ttl_s=0.05)
    epoch = store.acquire("a")
    store.release(epoch)
    other.acquire("b")
    store.release(epoch)
    with pytest.raises(Unavailable):
        third.acquire("c")


@pytest.mark.parametrize("is_renewed", [False, True])
def test_a_lease_ends_in_its_time_although_the_servers_clock_was_set_back(
    remote_ground: RedisGround, is_renewed: bool
) -> None:
    """A day back makes an expiry a day longer; whoever waits gets the shard after the lease that was given."""
    owner = remote_ground.open(lease_ttl_s=600.0 if is_renewed else 0.2)
    epoch = owner.acquire("a")
    if is_renewed:
        remote_ground.open(lease_ttl_s=0.2).renew(epoch)
    remote_ground.client.pexpire(remote_ground.keys.lease, 86_400_000)
    assert remote_ground.open(lease_ttl_s=5.0).acquire("b") == 2


def test_renewal_keeps_the_lease(ground: Ground) -> None:
    """A renewal with a long time replaces a short one."""
    epoch = ground.open(lease_ttl_s=0.3).acquire("a")
    ground.open(lease_ttl_s=600.0).renew(epoch)
    with pytest.raises(Unavailable):
        ground.open(lease_ttl_s=0.5).acquire("b")


# 9 Fence


def test_after_a_fence_the_old_epoch_is_over(ground: Ground) -> None:
    """The new epoch writes, the old one does not, and the lease is still held."""
    store = ground.open(lease_ttl_s=600.0)
    epoch = store.acquire("a")
    fenced = store.fence(epoch)
    assert fenced == epoch + 1
    for write in WRITES.keys() - {"renew", "fence"}:
        with pytest.raises(StaleEpoch):
            WRITES[write](store, epoch)
    assert store.read_record(1) is None
    store.append(fenced, 1, b"new")
    assert store.read_record(1) == LogRecord(1, fenced, b"new")
    with pytest.raises(Unavailable):
        ground.open(lease_ttl_s=0.05).acquire("b")


def test_a_fence_may_be_repeated(ground: Ground) -> None:
    """A fence whose reply was lost gives the same epoch again; older ones are stale; renewals cross it."""
    store = ground.open()
    epoch = store.acquire("a")
    assert store.fence(epoch) == store.fence(epoch) == epoch + 1
    store.renew(epoch)
    assert store.fence(epoch + 1) == epoch + 2
    with pytest.raises(StaleEpoch):
        store.fence(epoch)


# 10 Named snapshots


def test_named_snapshots_are_kept_and_replaced(ground: Ground) -> None:
    """Names are listed in order, the same name replaces, generations do not disturb them."""
    store = ground.open()
    epoch = store.acquire("a")
    for name, payload in (("b", b"1"), ("ä c", b"2"), ("a", b"3"), ("b", b"4")):
        store.put_named(epoch, "s", name, payload)
    for position in (1, 2, 3):
        store.put_snapshot(epoch, Snapshot("s", position, b""))
    assert store.names("s") == ["a", "b", "ä c"]
    assert [store.read_named("s", name) for name in store.names("s")] == [b"3", b"4", b"2"]
    assert store.read_named("s", "other") is None
    assert store.names("t") == []


def test_a_damaged_named_snapshot_is_told(ground: Ground) -> None:
    """A flipped bit in a named snapshot raises."""
    store, _ = filled(ground)
    ground.damage_named("s", "kept")
    with pytest.raises(CorruptRecord):
        store.read_named("s", "kept")


# Threads, and the end


def test_calls_come_from_many_threads(ground: Ground) -> None:
    """Of several threads that append at a position exactly one wins; readers see whole records."""
    store = ground.open()
    epoch = store.acquire("a")
    won: list[tuple[int, bytes]] = []

    def write(name: bytes) -> None:
        for number in range(25):
            while True:
                position = store.bounds().next
                try:
                    store.append(epoch, position, b"%s %d" % (name, number))
                except PositionConflict:
                    continue
                won.append((position, b"%s %d" % (name, number)))
                break
            store.put_snapshot(epoch, Snapshot("s", number, name))
            store.snapshots_of("s")

    threads = [threading.Thread(target=write, args=(name,)) for name in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(record.position, record.payload) for record in store.read_log(1)] == sorted(won)
    assert len(won) == 100
    assert store.snapshots_of("s").num_damaged == 0


def test_a_closed_store_is_unavailable(ground: Ground) -> None:
    """After `close` calls say so; another store on the shard is not disturbed."""
    store, epoch = filled(ground)
    store.ping()
    store.close()
    for call in (store.ping, store.bounds, lambda: store.append(epoch, 4, b"")):
        with pytest.raises(StoreUnavailable) as refusal:
            call()
        assert not isinstance(refusal.value, OutcomeUnknown)
    ground.open().append(epoch, 4, b"")
