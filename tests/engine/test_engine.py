"""The engine end to end on a memory shelf: order, failures, crashes, ownership, damage."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from threading import Event
from time import monotonic, sleep

import pytest
from engine_ground import SMALL, Ground, reference, request, submissions
from hypothesis import given, settings
from hypothesis import strategies as st

from uoro.domain import Model, Observation, Observed
from uoro.engine.engine import Engine
from uoro.engine.lanes import TURN_OBSERVATIONS
from uoro.engine.meter import SilentMeter
from uoro.engine.shelf import Stream
from uoro.errors import (
    CorruptRecord,
    NotReady,
    OutcomeUnknown,
    Overloaded,
    StaleEpoch,
    StoreUnavailable,
    StreamDamaged,
    StreamExists,
    UnknownSnapshot,
    UnknownStream,
)
from uoro.learning import learner as learning
from uoro.learning.fused import Run
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits
from uoro.store.memory import Fault, MemoryStore


def seqs(outcomes: list[object]) -> list[tuple[int, bool]]:
    """Place and duplicate flag of each outcome."""
    assert all(isinstance(o, Observed) for o in outcomes), outcomes
    return [(o.seq, o.is_duplicate) for o in outcomes if isinstance(o, Observed)]


def test_the_engine_learns_what_a_bare_learner_learns() -> None:
    """Through queue, log and runner comes the very state that the learner alone would have."""
    ground = Ground()
    ground.create("s")
    outcomes = ground.observe("s", [1.0, 2.0, 4.0])
    assert seqs(outcomes) == [(1, False), (2, False), (3, False)]
    ground.observe("s", [8.0])
    assert ground.state("s") == reference([1.0, 2.0, 4.0, 8.0]).dump()


def test_duplicates_are_answered_with_the_kept_result_and_learn_nothing() -> None:
    """A retry with the same seqs gets the same results, marked duplicate, and moves no bit."""
    ground = Ground()
    ground.create("s")
    first = ground.observe("s", [1.0, 2.0], first_seq=1)
    before = ground.state("s")
    again = ground.observe("s", [1.0, 2.0], first_seq=1)
    assert seqs(again) == [(1, True), (2, True)]
    # What was said next is part of each kept result, so whole results are equal.
    assert [o.result for o in again] == [o.result for o in first]  # type: ignore[union-attr]
    assert ground.state("s") == before


@pytest.mark.parametrize("fault", list(Fault))
def test_a_failed_append_answers_503_and_a_retry_with_seq_learns_exactly_once(fault: Fault) -> None:
    """Refused, request lost or reply lost: the caller hears 503, the retry ends in the uninterrupted state."""
    ground = Ground()
    ground.create("s")
    ground.shelf.faults.append(fault)
    future = ground.engine.observe(submissions("s", [1.0, 2.0], first_seq=1))
    ground.work()
    assert isinstance(
        future.exception(timeout=0), OutcomeUnknown if fault is not Fault.UNAVAILABLE else StoreUnavailable
    )
    with pytest.raises(StoreUnavailable):
        ground.engine.observe(submissions("s", [3.0]))
    ground.work()  # the store is there again: settled
    assert ground.engine.checks()["store"] == "ok"
    outcomes = ground.observe("s", [1.0, 2.0], first_seq=1)
    assert seqs(outcomes) == [(1, fault is Fault.REPLY_LOST), (2, fault is Fault.REPLY_LOST)]
    assert ground.state("s") == reference([1.0, 2.0]).dump()
    assert ground.crash().catalog.get("s").last_seq == 2  # type: ignore[union-attr]
    assert ground.state("s") == reference([1.0, 2.0]).dump()


def test_while_the_store_is_away_writes_are_refused_and_reads_answer() -> None:
    """Nothing of a refused write is seen; predictions and metrics are; it heals by itself."""
    ground = Ground()
    ground.create("s")
    ground.observe("s", [1.0, 2.0])
    before = ground.state("s")
    ground.shelf.is_away = True
    future = ground.engine.observe(submissions("s", [3.0]))
    waiting = ground.engine.observe(submissions("s", [4.0]))
    ground.work()
    ground.work()
    assert isinstance(future.exception(timeout=0), StoreUnavailable)
    assert isinstance(waiting.exception(timeout=0), StoreUnavailable)
    assert not ground.engine.is_ready
    assert ground.done(ground.engine.predict("s", 3)) is not None
    assert ground.done(ground.engine.metrics("s")).observations == 2
    assert ground.state("s") == before
    ground.shelf.is_away = False
    ground.work()
    assert ground.engine.is_ready
    assert seqs(ground.observe("s", [3.0])) == [(3, False)]


def test_results_are_the_same_bits_alone_or_among_63_others_whatever_the_batching() -> None:
    """Law 1: 64 streams, posted one by one, interleaved, in blocks of any size."""
    chance = random.Random(7)
    values = {f"s{n}": [chance.gauss(n, 1.0) for _ in range(12)] for n in range(64)}
    alone = {stream: reference(its).dump() for stream, its in values.items()}
    ground = Ground(limits=Limits(memory_budget_bytes=2**32))
    for stream in values:
        ground.create(stream)
    rest = {stream: list(its) for stream, its in values.items()}
    futures = []
    while rest:
        streams = [
            stream
            for stream in chance.sample(sorted(rest), k=min(len(rest), chance.randint(1, 20)))
            for _ in range(min(len(rest[stream]), chance.randint(1, 4)))
        ]
        chance.shuffle(streams)
        futures.append(ground.engine.observe(request(*((s, Observation({"v": rest[s].pop(0)})) for s in streams))))
        rest = {stream: its for stream, its in rest.items() if its}
        if chance.random() < 0.5:
            ground.work()
    ground.work()
    assert all(future.done() for future in futures)
    assert {stream: ground.state(stream) for stream in values} == alone


class Twin:
    """A five-line model of the engine: lists of values, learned by bare learners at the end."""

    def __init__(self) -> None:
        self.streams: dict[str, list[tuple[str, float]]] = {}

    def state(self, stream: str) -> bytes:
        """The state that a life without interruptions ends in."""
        learner, learn = Learner.new(StreamSpec.parse(SMALL)), True
        for what, value in self.streams[stream]:
            if what == "observe":
                learner.observe(Observation({"v": value}), learn=learn)
            else:
                if what == "unfreeze" and not learn:
                    learner.unfreeze()
                learn = what == "unfreeze"
        return learner.dump()


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["observe"] * 6
            + ["create", "delete", "freeze", "unfreeze", "snapshot", "crash", "reply lost", "retry", "damage"]
        ),
        st.sampled_from("abc"),
        st.integers(-3, 3),
    ),
    min_size=5,
    max_size=40,
)


@pytest.mark.parametrize("budget_bytes", [1, 2**30])
@settings(deadline=None, max_examples=150)
@given(life=steps)
def test_any_life_with_crashes_ends_in_the_state_of_the_uninterrupted_one(
    budget_bytes: int, life: list[tuple[str, str, int]]
) -> None:
    """Observations, deletions, snapshots, damaged snapshots, lost replies and crashes in any order.

    With room for all streams, and with room for one only, so that each one asked for pushes another out.
    """
    limits = Limits(snapshot_interval_s=10.0, memory_budget_bytes=budget_bytes)
    ground, twin = Ground(auto_create=False, limits=limits), Twin()
    for what, stream, value in life:
        history = twin.streams.get(stream)
        if what == "create":
            ground.create(stream)
            twin.streams.setdefault(stream, [])
        elif what == "crash":
            ground.crash()
        elif what == "snapshot":
            ground.clock.now += 10.0
            ground.snapshot()
        elif what == "damage":
            if len(MemoryStore(ground.shelf).snapshots_of(stream).generations) == 2:
                # The newest generation is damaged on disk: the older one and the log must do.
                slots = ground.shelf.generations[stream]
                slots[0] = slots[0][:-1] + bytes([slots[0][-1] ^ 1])
        elif history is not None:
            if what == "delete":
                ground.done(ground.engine.delete(stream))
                del twin.streams[stream]
            elif what in {"freeze", "unfreeze"}:
                ground.done(ground.engine.set_frozen(stream, is_frozen=what == "freeze"))
                history.append((what, 0.0))
            elif what in {"observe", "reply lost"}:
                if what == "reply lost":
                    ground.shelf.faults.append(Fault.REPLY_LOST)
                ground.engine.observe(submissions(stream, [value]))
                ground.work()
                ground.work()
                history.append(("observe", float(value)))
            elif what == "retry":
                last = sum(kind == "observe" for kind, _ in history)
                if last:
                    assert seqs(ground.observe(stream, [99.0], first_seq=last)) == [(last, True)]
    for _ in range(2):
        assert {s for s, _ in ground.engine.catalog} == set(twin.streams)
        for stream in twin.streams:
            assert ground.state(stream) == twin.state(stream)
            assert len(ground.engine.runner.residency) <= 1 or budget_bytes > 1
        ground.crash()


def test_the_log_is_trimmed_behind_two_generations_and_no_further() -> None:
    """After two passes with changes the log begins behind the older generation, and a crash loses nothing."""
    ground = Ground()
    ground.create("s")
    values: list[float] = []
    for turn in range(6):
        ground.observe("s", [float(turn)])
        values.append(float(turn))
        ground.clock.now += 10.0
        ground.snapshot()
    bounds = MemoryStore(ground.shelf).bounds()
    assert bounds.first == bounds.next - 1, "the newest generation's predecessor still needs the last record"
    ground.crash()
    assert ground.state("s") == reference(values).dump()


def test_what_is_learned_during_a_pass_is_not_trimmed_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream begins and another goes on between the snapshotter's look at the streams and its trim: both survive."""
    ground = Ground()
    ground.create("old")
    for _ in range(3):
        ground.clock.now += 10.0
        ground.snapshot()
    looked_at = ground.engine.snapshotter._look_at_streams

    def look_and_go_on() -> object:
        marks = looked_at()
        ground.observe("old", [1.0])
        ground.observe("new", [2.0])
        return marks

    monkeypatch.setattr(ground.engine.snapshotter, "_look_at_streams", look_and_go_on)
    ground.snapshot()
    ground.crash()
    assert ground.state("old") == reference([1.0]).dump()
    assert ground.engine.describe("new").last_seq == 1


def test_an_idle_stream_does_not_pin_the_log() -> None:
    """A stream that stopped changing gets its second generation and then needs nothing."""
    ground = Ground()
    ground.create("idle")
    ground.create("busy")
    for _ in range(5):
        ground.observe("busy", [1.0])
        ground.clock.now += 10.0
        ground.snapshot()
    assert MemoryStore(ground.shelf).bounds().first > 4
    ground.crash()
    assert ground.state("idle") == reference([]).dump()


def test_a_full_log_calls_for_snapshots_before_their_time() -> None:
    """With `max_log_records` exceeded the pass writes and trims although no interval is over."""
    ground = Ground(limits=Limits(max_log_records=4, snapshot_interval_s=1e9))
    ground.create("s")
    for turn in range(12):
        ground.observe("s", [float(turn)])
        ground.snapshot()
        bounds = MemoryStore(ground.shelf).bounds()
        assert bounds.next - bounds.first <= 6


def test_the_stale_writer_is_refused_and_stops_answering() -> None:
    """A second owner takes the shard; the first one's next write fails, it is told, and reads stop too."""
    ground = Ground(owner="first")
    old = ground.engine
    ground.create("s")
    ground.observe("s", [1.0])
    ground.shelf.lease_ends = 0.0  # the first owner was paused beyond its lease
    ground.begin("second")
    ground.observe("s", [2.0])
    future = old.observe(submissions("s", [3.0]))
    old.committer.commit_once(0.0)
    assert isinstance(future.exception(timeout=0), StaleEpoch)
    assert ground.losses == ["first"]
    for call in (lambda: old.describe("s"), lambda: old.predict("s", 1), lambda: old.observe(submissions("s", [4.0]))):
        with pytest.raises(StaleEpoch):
            call()
    assert ground.state("s") == reference([1.0, 2.0]).dump()


def test_nobody_who_waits_is_left_hanging_when_the_shard_is_lost() -> None:
    """Live threads: what waits in the queue is refused, what had got into the log is applied and answered."""
    ground = Ground()
    ground.create("s")
    ground.shelf.lease_ends = 0.0
    engine = _start(ground)
    released = Event()
    learned = engine.runner.read("s", lambda *_: released.wait(20))  # the stream's lane is busy until then
    logged = engine.observe(submissions("s", [1.0]))
    soon(lambda: ground.shelf.next == 3)
    with ground.shelf.lock:  # the committer waits in its append
        refused = engine.observe(submissions("s", [2.0]))
        soon(lambda: not len(engine.queue))
        waiting = engine.observe(submissions("s", [3.0]))
        ground.shelf.epoch += 1
        ground.shelf.since = ground.shelf.epoch
    soon(lambda: engine.ownership.is_lost)
    for future in (refused, waiting):
        assert isinstance(future.exception(timeout=20), StaleEpoch)
    released.set()
    assert learned.result(timeout=20)
    assert seqs(list(logged.result(timeout=20))) == [(1, False)]
    engine.stop()


def test_a_paused_owners_late_append_is_refused_after_its_outcome_was_unknown() -> None:
    """The first owner's append is settled by raising the epoch; with another owner there it finds itself lost."""
    ground = Ground(owner="first")
    old = ground.engine
    ground.create("s")
    ground.shelf.faults.append(Fault.REQUEST_LOST)
    future = old.observe(submissions("s", [1.0]))
    old.committer.commit_once(0.0)
    ground.shelf.lease_ends = 0.0
    ground.begin("second")
    old.committer.commit_once(0.0)
    assert isinstance(future.exception(timeout=0), OutcomeUnknown)
    assert ground.losses == ["first"]
    assert seqs(ground.observe("s", [5.0])) == [(1, False)]


def test_a_fence_whose_reply_was_lost_does_not_look_like_another_owner() -> None:
    """The store is one epoch ahead of what the engine knows: its next write finds that out and goes on."""
    ground = Ground()
    ground.create("s")
    MemoryStore(ground.shelf).fence(ground.shelf.epoch)
    assert seqs(ground.observe("s", [1.0])) == [(1, False)]
    assert ground.losses == []
    assert ground.engine.is_ready


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> float:
    """A value at which the learner raises."""
    run_each = learning.run_each

    def fail(runs: Sequence[Run]) -> object:
        if any(observation.x.get("v") == 666.0 for run in runs for observation in run.observations):
            raise ZeroDivisionError("poison")
        return run_each(runs)

    monkeypatch.setattr(learning, "run_each", fail)
    return 666.0


def test_a_poison_observation_sets_its_stream_aside_and_no_other_notices(poisoned: float) -> None:
    """It answers StreamDamaged, before and after a crash, also when the log is trimmed; the neighbour is exact."""
    ground = Ground()
    ground.create("bad")
    ground.create("good")
    ground.observe("good", [1.0])
    ground.observe("bad", [1.0])
    assert isinstance(ground.observe("bad", [poisoned])[0], StreamDamaged)
    for _ in range(2):
        assert isinstance(ground.observe("bad", [2.0])[0], StreamDamaged)
        assert ground.engine.describe("bad").state == "damaged"
        assert isinstance(_error(ground, "bad"), StreamDamaged)
        for _ in range(3):
            ground.observe("good", [3.0])
            ground.clock.now += 10.0
            ground.snapshot()
        bounds = MemoryStore(ground.shelf).bounds()
        assert bounds.next - bounds.first <= 3, "a damaged stream pins the log"
        ground.crash()
    assert ground.state("good") == reference([1.0] + [3.0] * 6).dump()
    ground.done(ground.engine.delete("bad"))
    ground.create("bad")
    assert seqs(ground.observe("bad", [1.0])) == [(1, False)]


def test_a_stream_set_aside_amid_a_deletion_is_set_aside_after_a_crash_too(poisoned: float) -> None:
    """Its last snapshot had to wait for another stream's deletion: the log is kept until it is written."""
    ground = Ground()
    ground.create("bad")
    ground.create("other")
    for turn in range(3):
        ground.observe("bad", [float(turn)])
        ground.clock.now += 10.0
        ground.snapshot()
    ground.observe("bad", [poisoned])
    snapshotter = ground.engine.snapshotter
    delete = snapshotter._delete

    def delete_and_end_another() -> None:
        delete()
        if "other" in ground.engine.runner.shelf.streams:
            ground.done(ground.engine.delete("other"))

    snapshotter._delete = delete_and_end_another  # type: ignore[method-assign]
    ground.snapshot()
    ground.create("more")
    ground.observe("more", [1.0])
    ground.snapshot()
    ground.crash()
    assert ground.engine.describe("bad").state == "damaged"


def test_poison_amid_a_long_run_refuses_the_run_and_the_server_goes_on(poisoned: float) -> None:
    """A run of several turns that fails in the second is refused whole, before and after a crash; others are served."""
    ground = Ground()
    ground.create("bad")
    ground.create("good")
    values = [1.0] * (3 * TURN_OBSERVATIONS)
    values[TURN_OBSERVATIONS + 5] = poisoned
    outcomes = ground.observe("bad", values)
    assert len(outcomes) == len(values)
    assert all(isinstance(outcome, StreamDamaged) for outcome in outcomes)
    assert seqs(ground.observe("good", [1.0])) == [(1, False)]
    assert ground.engine.runner.applied == max(ground.shelf.log)
    ground.crash()
    assert ground.engine.describe("bad").state == "damaged"
    assert ground.state("good") == reference([1.0]).dump()


def _error(ground: Ground, stream: str) -> BaseException | None:
    future = ground.engine.predict(stream, 1)
    ground.work()
    return future.exception(timeout=0)


def test_a_stream_without_any_readable_snapshot_is_set_aside_alone() -> None:
    """Both generations are damaged, the log no longer reaches back: set aside; the other serves, none is recreated."""
    ground = Ground()
    ground.create("lost")
    ground.create("kept")
    for _ in range(3):
        ground.observe("lost", [1.0])
        ground.observe("kept", [1.0])
        ground.clock.now += 10.0
        ground.snapshot()
    ground.shelf.generations["lost"] = [b"torn" for _ in ground.shelf.generations["lost"]]
    ground.crash()
    assert ground.engine.describe("lost").state == "damaged"
    assert isinstance(ground.observe("lost", [1.0])[0], StreamDamaged)
    assert ground.state("kept") == reference([1.0] * 3).dump()


def test_a_damaged_log_stops_the_start() -> None:
    """A flipped bit in a record is refused at recovery: nothing is served that may be wrong."""
    ground = Ground()
    ground.create("s")
    ground.observe("s", [1.0])
    position = max(ground.shelf.log)
    record = ground.shelf.log[position]
    ground.shelf.log[position] = record[:-1] + bytes([record[-1] ^ 1])
    with pytest.raises(CorruptRecord):
        ground.crash()


def test_freezing_stops_learning_and_survives_a_crash() -> None:
    """A frozen stream's weights stay; it stays frozen through a restart."""
    ground = Ground()
    ground.create("s")
    ground.observe("s", [1.0, 2.0])
    assert ground.done(ground.engine.set_frozen("s", is_frozen=True)).state == "frozen"
    theta = _theta(ground)
    ground.observe("s", [5.0, -5.0])
    assert (_theta(ground) == theta).all()
    ground.crash()
    assert ground.engine.describe("s").state == "frozen"
    assert (_theta(ground) == theta).all()
    ground.done(ground.engine.set_frozen("s", is_frozen=False))
    ground.observe("s", [5.0, -5.0])
    assert (_theta(ground) != theta).any()


def _theta(ground: Ground):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a numpy array
    learner = ground.engine.runner.shelf.streams["s"].learner
    assert learner is not None
    return learner.block["core.theta"].copy()


def _whole(ground: Ground, future):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - any future
    """Work until an operation on a whole model, which runs on a thread of its own, is done."""
    while not future.done():
        ground.work()
    return future.result()


def test_models_move_whole_and_restore_brings_back_every_bit() -> None:
    """Export and import, clone, named snapshot and restore: equal states, before and after a crash."""
    ground = Ground()
    ground.create("s")
    ground.observe("s", [1.0, 2.0])
    then = ground.state("s")
    kept = _whole(ground, ground.engine.save_snapshot("s", "before"))
    assert (kept.name, kept.seq) == ("before", 2)
    file = _whole(ground, ground.engine.export("s"))
    assert _whole(ground, ground.engine.clone("s", "t")).last_seq == 2
    with pytest.raises(StreamExists):
        _whole(ground, ground.engine.clone("s", "t"))
    ground.observe("s", [9.0])
    assert ground.state("s") != then
    assert _whole(ground, ground.engine.import_model("u", file, replace=False)).last_seq == 2
    with pytest.raises(StreamExists):
        _whole(ground, ground.engine.import_model("s", file, replace=False))
    with pytest.raises(UnknownSnapshot):
        _whole(ground, ground.engine.restore("s", "no such"))
    assert _whole(ground, ground.engine.restore("s", "before")).last_seq == 2
    for _ in range(2):
        assert [ground.state(stream) for stream in "stu"] == [then] * 3
        assert [its.name for its in _whole(ground, ground.engine.snapshots("s"))] == ["before"]
        ground.crash()
    ground.done(ground.engine.delete("s"))
    ground.snapshot()
    ground.create("s")
    assert _whole(ground, ground.engine.snapshots("s")) == []


def test_what_is_not_there_is_unknown() -> None:
    """Every call on an unknown stream says so, and nothing appears."""
    ground = Ground(auto_create=False)
    assert isinstance(ground.observe("s", [1.0])[0], UnknownStream)
    for call in (ground.engine.delete, lambda s: ground.engine.set_frozen(s, is_frozen=True)):
        with pytest.raises(UnknownStream):
            ground.done(call("s"))
    for call in (ground.engine.describe, ground.engine.metrics, ground.engine.export, ground.engine.snapshots):
        with pytest.raises(UnknownStream):
            call("s")
    assert len(ground.engine.catalog) == 0


def test_a_full_queue_refuses_and_takes_nothing() -> None:
    """One past the bound is refused; what was admitted is learned."""
    ground = Ground(limits=Limits(max_queue_observations=3))
    ground.create("s")
    admitted = ground.engine.observe(submissions("s", [1.0, 2.0, 3.0]))
    with pytest.raises(Overloaded):
        ground.engine.observe(submissions("s", [4.0]))
    assert seqs(ground.done(admitted)) == [(1, False), (2, False), (3, False)]
    assert ground.state("s") == reference([1.0, 2.0, 3.0]).dump()


def test_threads_serve_and_drain_in_order() -> None:
    """Started for real: ready, learns, stops with a snapshot, and the next start replays nothing."""
    ground = Ground(limits=dataclasses.replace(Limits(), lease_ttl_s=0.3))
    engine = _start(ground)
    engine.create("s", StreamSpec.parse(SMALL), {}).result(timeout=10)
    futures = [engine.observe(submissions("s", [float(n)])) for n in range(20)]
    engine.stop()
    assert [seqs(list(future.result(timeout=0))) for future in futures] == [[(n + 1, False)] for n in range(20)]
    with pytest.raises(NotReady):
        engine.observe(submissions("s", [1.0]))
    assert len(ground.shelf.generations["s"]) == 1
    ground.crash()
    assert ground.state("s") == reference([float(n) for n in range(20)]).dump()


def soon(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; the deadline is generous."""
    deadline = monotonic() + 20
    while not is_so():
        assert monotonic() < deadline
        sleep(0.005)


def _start(ground: Ground) -> Engine:
    engine = Engine(MemoryStore(ground.shelf), "me", ground.limits, SilentMeter(), auto_create=True)
    engine.start()
    deadline = monotonic() + 20
    while not engine.is_ready:
        assert monotonic() < deadline, engine.checks()
        sleep(0.01)
    return engine


def test_a_model_without_a_state_is_a_damaged_stream() -> None:
    """The marker that a damaged stream leaves as its newest snapshot is read as such."""
    assert Stream.of(Model(SMALL, {}, False, b"", 1), 5).learner is None
