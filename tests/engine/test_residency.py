"""Which learners are in memory: the order in which they go, and that coming and going changes no bit."""

from __future__ import annotations

import time
from threading import Thread

import pytest
from engine_ground import SMALL, Ground, reference, request, submissions
from hypothesis import given, settings
from hypothesis import strategies as st

from uoro.domain import Observation, Observed
from uoro.engine.engine import Engine
from uoro.engine.loader import RETRY_S
from uoro.engine.meter import SilentMeter
from uoro.engine.residency import PROBATION_S, PROTECTED_SHARE, Residency
from uoro.engine.snapshotter import _snapshot as snapshot_of
from uoro.engine.specs import state_bytes
from uoro.errors import StoreUnavailable, StreamDamaged, UoroError
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits
from uoro.store.memory import MemoryShelf, MemoryStore

NBYTES = state_bytes(StreamSpec.parse(SMALL))
COMPILING_S = 600.0


class CountingMeter(SilentMeter):
    """Counts learners that came and went."""

    def __init__(self) -> None:
        self.num_brought = 0
        self.num_let_go = 0

    def brought(self, duration_s: float) -> None:
        self.num_brought += 1

    def let_go(self) -> None:
        self.num_let_go += 1


# ------------------------------------------------------------------ the order, pure


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.floats(0.0, 3.0)), max_size=60))
def test_what_is_in_memory_is_counted_and_ordered_once(life: list[tuple[str, bool, float]]) -> None:
    """Any touches and departures: the bytes are the sum of sizes, and the order names each stream once."""
    residency, sizes, now_s = Residency(100), {}, 0.0
    for stream, is_touched, passed_s in life:
        now_s += passed_s
        if is_touched:
            residency.touch(stream, 10 + ord(stream) - ord("a"), now_s)
            sizes[stream] = 10 + ord(stream) - ord("a")
        else:
            residency.forget(stream)
            sizes.pop(stream, None)
        assert residency.nbytes == sum(sizes.values())
        assert len(residency) == len(sizes)
        assert sorted(residency.coldest()) == sorted(sizes)
        assert all((stream in residency) == (stream in sizes) for stream in "abcdef")


def test_the_budget_is_kept_at_it_and_one_past() -> None:
    """A state that fills the budget has room, one byte more has none; the only one always has."""
    residency = Residency(100)
    assert residency.has_room(101)
    residency.touch("a", 60, 0.0)
    assert residency.has_room(40)
    assert not residency.has_room(41)
    residency.touch("b", 40, 0.0)
    assert not residency.is_over
    residency.touch("c", 1, 0.0)
    assert residency.is_over


def test_a_sweep_does_not_push_out_what_is_in_use() -> None:
    """Streams touched again in a later second stay while any number of others come by once, however often at once."""
    residency = Residency(1000)
    for now_s in (0.0, PROBATION_S):
        for number in range(int(PROTECTED_SHARE * 100)):
            residency.touch(f"used{number}", 10, now_s)
    for number in range(500):
        for _ in range(20):  # a burst
            residency.touch(f"sweep{number}", 10, 5.0)
        while residency.is_over:
            residency.forget(next(residency.coldest()))
    assert all(f"used{number}" in residency for number in range(int(PROTECTED_SHARE * 100)))


def test_a_plain_order_of_last_use_would_be_swept() -> None:
    """The same sweep empties a memory in which all are on probation: the test above can fail."""
    residency = Residency(1000)
    for number in range(80):
        residency.touch(f"used{number}", 10, 0.0)
    for number in range(500):
        residency.touch(f"sweep{number}", 10, 0.0)
        while residency.is_over:
            residency.forget(next(residency.coldest()))
    assert not any(f"used{number}" in residency for number in range(80))


def test_the_protected_leave_room_for_newcomers() -> None:
    """Of streams that are all in use, no more than the share is protected; the rest goes by last use."""
    residency = Residency(100)
    for now_s in (0.0, PROBATION_S):
        for number in range(10):
            residency.touch(f"s{number}", 10, now_s)
    residency.touch("s0", 10, 3.0)
    residency.touch("new", 10, 3.0)
    assert next(residency.coldest()) == "s1"


# ------------------------------------------------------------------ in the engine


def observe(ground: Ground, stream: str, values: list[float]) -> list[Observed | UoroError]:
    """Post to a stream of the small spec, which is created if it is not there."""
    if ground.engine.catalog.get(stream) is None:
        ground.create(stream)
    return ground.observe(stream, values)


def settled(ground: Ground, num: int) -> None:
    """So many streams that learned, each safe in two generations."""
    for number in range(num):
        observe(ground, f"s{number}", [1.0])
    for _ in range(2):
        ground.clock.now += 10.0
        ground.snapshot()


def small(num_resident: int, **more: float) -> Limits:
    """Limits with room for so many streams of the small spec."""
    return Limits(snapshot_interval_s=10.0, memory_budget_bytes=num_resident * NBYTES, **more)  # type: ignore[arg-type]


def test_streams_beyond_the_budget_live_in_the_store() -> None:
    """Of twenty streams in turn, three are in memory; every one ends as a learner that never moved."""
    ground = Ground(limits=small(3))
    values: dict[str, list[float]] = {f"s{number}": [] for number in range(20)}
    for turn in range(3):
        for number, (stream, its) in enumerate(values.items()):
            observe(ground, stream, [float(turn), float(number)])
            its += [float(turn), float(number)]
            assert len(ground.engine.runner.residency) <= 3
    told = ground.engine.status()
    assert told.streams["learning"] == 20
    assert told.resident_streams == 3
    assert told.resident_bytes == 3 * NBYTES
    assert sum(ground.engine.describe(stream).is_resident for stream in values) == 3
    for stream, its in values.items():
        assert ground.state(stream) == reference(its).dump()


def test_one_request_for_more_streams_than_fit_is_answered_whole() -> None:
    """A record that moves nine streams is applied with room for two, in the request's order."""
    ground = Ground(limits=small(2))
    for number in range(9):
        ground.create(f"s{number}")
    observations = [(f"s{number % 9}", Observation({"v": float(number)})) for number in range(27)]
    outcomes = list(ground.done(ground.engine.observe(request(*observations))))
    assert [outcome.stream for outcome in outcomes if isinstance(outcome, Observed)] == [s for s, _ in observations]
    for number in range(9):
        assert ground.state(f"s{number}") == reference([float(number), number + 9.0, number + 18.0]).dump()


def test_a_stream_that_saw_nothing_takes_no_room() -> None:
    """Registered streams have no state, in memory or in their snapshots, and begin like any other."""
    ground = Ground(limits=small(2))
    for number in range(30):
        ground.create(f"s{number}")
    assert ground.engine.status().resident_streams == 0
    for _ in range(2):
        ground.clock.now += 10.0
        ground.snapshot()
    assert max(len(its[0]) for its in ground.shelf.generations.values()) < NBYTES / 2
    ground.crash()
    assert ground.engine.describe("s7").last_seq == 0
    observe(ground, "s7", [1.0])
    assert ground.state("s7") == reference([1.0]).dump()
    assert ground.state("s8") == reference([]).dump(), "a read makes the learner that the spec says"


@pytest.mark.parametrize("headings", [(), (0,), (1,), (0, 1)])
def test_headings_that_cannot_be_read_are_made_up_for(headings: tuple[int, ...]) -> None:
    """Whichever headings are damaged, the start knows every stream as it was: here one frozen, one with labels."""
    ground = Ground()
    ground.done(ground.engine.create("s", StreamSpec.parse(SMALL), {"team": "a"}))
    for value in (1.0, 2.0):
        observe(ground, "s", [value])
        ground.clock.now += 10.0
        ground.snapshot()
    ground.done(ground.engine.set_frozen("s", is_frozen=True))
    ground.clock.now += 10.0
    ground.snapshot()
    before = ground.engine.describe("s"), ground.state("s")
    for age in headings:
        slots = ground.shelf.headings["s"]
        slots[age] = slots[age][:-1] + bytes([slots[age][-1] ^ 1])
    ground.crash()
    assert (ground.engine.describe("s"), ground.state("s")) == before


def evicted(ground: Ground, values: list[float]) -> None:
    """Stream `s` with these values, cold, and a generation behind each."""
    for value in values:
        observe(ground, "s", [value])
        observe(ground, "other", [value])
        ground.clock.now += 10.0
        ground.snapshot()
    assert not ground.engine.describe("s").is_resident


def test_a_cold_stream_whose_newest_generation_is_damaged_comes_from_the_older_one_and_the_log() -> None:
    """Damage that is found when it is brought is mended then, and the mended state is written."""
    ground = Ground(limits=small(1))
    evicted(ground, [1.0, 2.0, 3.0])
    slots = ground.shelf.generations["s"]
    slots[0] = slots[0][:-1] + b"?"
    assert ground.state("s") == reference([1.0, 2.0, 3.0]).dump()
    observe(ground, "other", [4.0])
    ground.crash()
    assert ground.state("s") == reference([1.0, 2.0, 3.0]).dump()


def test_a_cold_stream_that_cannot_be_brought_is_set_aside_alone() -> None:
    """Both generations are damaged: what is asked of it is refused, its status says so, the other goes on."""
    ground = Ground(limits=small(1))
    evicted(ground, [1.0, 2.0, 3.0])
    ground.shelf.generations["s"] = [b"torn", b"torn"]
    reading = ground.engine.metrics("s")
    ground.work()
    assert isinstance(reading.exception(timeout=0), StreamDamaged)
    assert ground.engine.describe("s").state == "damaged"
    assert isinstance(observe(ground, "s", [4.0])[0], StreamDamaged)
    assert ground.state("other") == reference([1.0, 2.0, 3.0]).dump()
    for _ in range(2):
        ground.clock.now += 10.0
        ground.snapshot()
    ground.crash()
    assert ground.engine.describe("s").state == "damaged"
    ground.done(ground.engine.delete("s"))
    observe(ground, "s", [5.0])
    assert ground.state("s") == reference([5.0]).dump()


def test_reads_of_cold_streams_are_refused_while_the_store_is_away() -> None:
    """What is in memory answers, what is not is refused as unavailable, and an observation in the log is kept."""
    ground = Ground(limits=small(1))
    evicted(ground, [1.0, 2.0])
    waiting = ground.engine.observe(submissions("s", [3.0]))
    assert ground.engine.committer.commit_once(0.0)
    ground.shelf.is_away = True
    cold, hot = ground.engine.metrics("s"), ground.engine.metrics("other")
    for _ in range(3):
        ground.engine.runner.apply_once(0.0)
        ground.engine.loader.load_once(0.0)
    assert isinstance(cold.exception(timeout=0), StoreUnavailable)
    assert hot.result(timeout=0).observations == 2
    assert not waiting.done()
    ground.shelf.is_away = False
    assert isinstance(ground.done(waiting)[0], Observed)
    assert ground.state("s") == reference([1.0, 2.0, 3.0]).dump()


def test_the_loader_rests_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """With streams to bring ahead, or one to let go, it waits between its tries; nothing else is on its mind."""
    ground = Ground(limits=small(3))
    settled(ground, 2)
    engine = Engine(MemoryStore(ground.shelf), "me", ground.limits, SilentMeter(), auto_create=True)
    engine.recover()
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    ground.shelf.is_away = True
    assert not engine.loader.load_once(60.0)
    assert rests == [RETRY_S]
    ground.shelf.is_away = False
    assert engine.loader.load_once(60.0), "and goes on where it was"
    assert rests == [RETRY_S]
    assert engine.describe("s1").is_resident


def test_a_copy_of_what_ended_is_not_written_over_what_began_since() -> None:
    """It was taken before a deletion, whose snapshots are gone when it comes to be written."""
    ground = Ground()
    observe(ground, "s", [1.0])
    observe(ground, "other", [1.0])
    copying = ground.engine.runner.copy("s")
    ground.work()
    copied = copying.result(timeout=0)
    assert copied is not None
    ground.done(ground.engine.delete("s"))
    observe(ground, "s", [2.0])
    snapshotter = ground.engine.snapshotter
    assert snapshotter.save("other", ground.engine.runner.shelf.streams["other"])
    assert not snapshotter._put(snapshot_of("s", copied))
    assert "s" not in ground.shelf.generations
    ground.crash()
    assert ground.state("s") == reference([2.0]).dump()


def test_a_restart_brings_the_newest_ahead_and_stops_at_the_budget() -> None:
    """Without being asked the loader brings the streams that changed last, as many as fit, and lets none go for it."""
    ground = Ground(limits=small(3))
    settled(ground, 6)
    ground.crash()
    resident = {stream for stream, _ in ground.engine.catalog if ground.engine.describe(stream).is_resident}
    assert resident == {"s3", "s4", "s5"}


def test_a_pass_over_silent_streams_reads_and_writes_none() -> None:
    """Once two hundred streams are safe, a pass asks for the log's bounds and nothing else."""
    ground = Ground()
    for number in range(200):
        ground.create(f"s{number}")
    for _ in range(3):
        ground.clock.now += 10.0
        ground.snapshot()
    calls: list[str] = []
    store = ground.engine.snapshotter._store
    for name in ("put_snapshot", "snapshots_of", "delete_snapshots", "trim"):
        setattr(store, name, lambda *_, called=name: calls.append(called))
    ground.clock.now += 10.0
    ground.snapshot()
    assert calls == []
    assert ground.engine.snapshotter._open == set()


def test_a_silent_stream_lets_go_of_the_log() -> None:
    """One that changed between its two generations and then fell silent, cold or not, pins nothing for good."""
    for limits in (small(1), small(9)):
        ground = Ground(limits=limits)
        evicted_or_not = ["silent", "busy"]
        for turn in range(6):
            for stream in evicted_or_not if turn < 2 else ["busy"]:
                observe(ground, stream, [float(turn)])
            ground.clock.now += 10.0
            ground.snapshot()
        bounds = MemoryStore(ground.shelf).bounds()
        assert bounds.next - bounds.first <= 2
        ground.crash()
        assert ground.state("silent") == reference([0.0, 1.0]).dump()


@pytest.mark.parametrize("num_runners", [1, 3])
def test_threads_that_thrash_change_no_bit(num_runners: int) -> None:
    """Four writers over twelve streams with room for three, snapshots running: the bits of learners left alone."""
    shelf = MemoryShelf()
    limits = small(3, lease_ttl_s=30.0)
    meter = CountingMeter()
    engine = Engine(MemoryStore(shelf), "me", limits, meter, auto_create=True, num_runners=num_runners)
    engine.start()
    while not engine.is_ready:
        pass
    for number in range(12):
        engine.create(f"s{number}", StreamSpec.parse(SMALL), {}).result(timeout=COMPILING_S)

    def write(first: int) -> None:
        for turn in range(40):
            for number in range(first, 12, 4):
                engine.observe(submissions(f"s{number}", [float(turn), float(number)])).result(timeout=COMPILING_S)

    writers = [Thread(target=write, args=(first,)) for first in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    values = {f"s{number}": [v for turn in range(40) for v in (float(turn), float(number))] for number in range(12)}
    for stream, its in values.items():
        state = engine.runner.read(stream, lambda _, learner: learner.dump()).result(timeout=COMPILING_S)
        assert state == reference(its).dump()
    engine.stop()
    assert meter.num_let_go > 12, "nothing was thrashed"
    again = Engine(MemoryStore(shelf), "me", limits, SilentMeter(), auto_create=True)
    again.start()
    while not again.is_ready:
        pass
    for stream, its in values.items():
        state = again.runner.read(stream, lambda _, learner: learner.dump()).result(timeout=COMPILING_S)
        assert state == reference(its).dump()
    again.stop()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 3)), min_size=1, max_size=30), st.integers(1, 8))
def test_the_room_there_is_changes_no_bit(life: list[tuple[int, int]], num_resident: int) -> None:
    """Any posts with any room, and a restart: the states of learners that stayed where they were."""
    ground = Ground(limits=small(num_resident))
    values: dict[str, list[float]] = {}
    for number, num in life:
        its = [float(number + step) for step in range(num)]
        observe(ground, f"s{number}", its)
        values.setdefault(f"s{number}", []).extend(its)
    for _ in range(2):
        for stream, its in values.items():
            assert ground.state(stream) == reference(its).dump()
        ground.crash()
