"""The runner and its lanes: whatever the number of workers, each stream is what it is alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import pytest
from engine_ground import SMALL, reference, request
from hypothesis import given, settings
from hypothesis import strategies as st

from uoro.domain import Observation, Observed
from uoro.engine.catalog import Catalog
from uoro.engine.entries import decode, encode
from uoro.engine.lanes import LIVE_TURNS, TURN_OBSERVATIONS, Lanes
from uoro.engine.meter import SilentMeter
from uoro.engine.operations import CreateRequest, ObserveRequest, Operation
from uoro.engine.pieces import Batch
from uoro.engine.planner import Planner
from uoro.engine.runner import Runner
from uoro.engine.shelf import Shelf
from uoro.engine.subscriptions import Hub
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits

SPEC = StreamSpec.parse(SMALL)
STREAMS = "abcde"
COMPILING_S = 600.0
"""The first run after a change of the kernel compiles it, on a machine that may have other work."""

requests = st.lists(
    st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(1, 6)), min_size=1, max_size=4), min_size=1, max_size=6
)
"""Batches: per request, streams and how many observations of each; one request more is long enough for many turns."""


@contextmanager
def working(num: int) -> Iterator[Runner]:
    """A runner with so many workers."""
    runner = Runner(set(), SilentMeter(), Hub(1, 1), Limits(), lambda _: None, lambda: None)
    is_over = Event()

    def work() -> None:
        while not is_over.is_set():
            runner.apply_once(0.01)

    workers = [Thread(target=work) for _ in range(num)]
    for worker in workers:
        worker.start()
    try:
        yield runner
    finally:
        is_over.set()
        for worker in workers:
            worker.join()


@pytest.mark.parametrize("num_workers", [1, 2, 4])
@settings(deadline=None, max_examples=12)
@given(st.lists(requests, min_size=1, max_size=4))
def test_any_number_of_workers_gives_the_bits_of_a_learner_alone(num_workers: int, batches: list[list[object]]) -> None:
    """Any batches: states, outcomes, copies at their positions, and the log replayed are those of bare learners."""
    planner, catalog = Planner(Limits(), lambda _: 100, auto_create=False), Catalog()
    count = itertools.count()
    seen: dict[str, list[float]] = {stream: [] for stream in STREAMS}
    lengths: dict[int, dict[str, int]] = {}
    log: list[bytes] = []
    with working(num_workers) as runner:
        copies = []
        operations = [Operation(CreateRequest(stream, SPEC, {}, 100)) for stream in STREAMS]
        long = [[("a", TURN_OBSERVATIONS + 1), ("b", 2 * TURN_OBSERVATIONS)]]
        for batch in [None, *batches, long]:
            if batch is not None:
                operations = [Operation(ObserveRequest(_request(its, count, seen))) for its in batch]
            plan = planner.plan(operations, catalog)
            catalog.commit(plan.draft)
            log.append(encode(plan.entries))
            lengths[len(log)] = {stream: len(values) for stream, values in seen.items()}
            runner.put(Batch(len(log), log[-1], plan.answers))
            copies += [(stream, runner.copy(stream)) for stream in STREAMS]
            if batch is not None:
                last = operations
        for operation in last:
            outcomes = operation.future.result(timeout=COMPILING_S)
            assert all(isinstance(outcome, Observed) and not outcome.is_duplicate for outcome in outcomes)
            assert [place for learned in outcomes.learned for place in learned.places] != []
        assert runner.settle(COMPILING_S)
        assert runner.applied == len(log)
    states = {stream: its.learner.dump() for stream, its in runner.shelf.streams.items() if its.learner}
    assert states == {stream: reference(values).dump() for stream, values in seen.items() if values}
    for stream, future in copies:
        copied = future.result(timeout=0)
        assert copied is not None
        values = seen[stream][: lengths[copied.position][stream]]
        assert copied.last_seq == len(values)
        assert copied.model.is_new == (not values)
        assert not values or copied.model.state == reference(values).dump()
    replayed = Shelf()
    for position, payload in enumerate(log, 1):
        for _ in replayed.apply(decode(payload), position):
            pass
    assert {stream: its.learner.dump() for stream, its in replayed.streams.items() if its.learner} == states


def test_learners_of_every_kind_share_nothing() -> None:
    """Numbers of the default recipe and categories, eight streams side by side: the bits of learners alone."""
    documents = [{"fields": {"v": {"type": "number"}}}, {"fields": {"v": {"type": "category", "size": 4}}}]
    specs = {f"s{number}": StreamSpec.parse({**documents[number % 2], "seed": number}) for number in range(8)}
    planner, catalog = Planner(Limits(), lambda _: 100, auto_create=False), Catalog()
    observations = {
        stream: [Observation({"v": float(n % 5) if number % 2 == 0 else str(n % 3)}) for n in range(60)]
        for number, stream in enumerate(specs)
    }
    mixed = [(stream, its[place]) for place in range(60) for stream, its in observations.items()]
    batches = [[CreateRequest(stream, spec, {}, 100) for stream, spec in specs.items()]]
    batches += [[ObserveRequest(request(*mixed[first : first + 40]))] for first in range(0, len(mixed), 40)]
    with working(4) as runner:
        for position, batch in enumerate(batches, 1):
            plan = planner.plan([Operation(its) for its in batch], catalog)
            catalog.commit(plan.draft)
            runner.put(Batch(position, encode(plan.entries), plan.answers))
        assert runner.settle(COMPILING_S)
    for stream, spec in specs.items():
        alone = Learner.new(spec)
        alone.observe_all(observations[stream])
        learner = runner.shelf.streams[stream].learner
        assert learner is not None
        assert learner.dump() == alone.dump()


def _request(its: Sequence[tuple[str, int]], count: Iterator[int], seen: dict[str, list[float]]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - runs
    observations = []
    for stream, num in its:
        for _ in range(num):
            value = float(next(count) % 17)
            seen[stream].append(value)
            observations.append((stream, Observation({"v": value})))
    return request(*observations)


def test_results_of_a_long_run_are_those_of_one_call() -> None:
    """A run that takes several turns is answered with every result, in order, and with the last one's forecast."""
    values = [float(n % 7) for n in range(2 * TURN_OBSERVATIONS + 3)]
    planner, catalog = Planner(Limits(), lambda _: 100, auto_create=False), Catalog()
    observe = Operation(ObserveRequest(request(*(("a", Observation({"v": value})) for value in values))))
    plan = planner.plan([Operation(CreateRequest("a", SPEC, {}, 100)), observe], catalog)
    with working(2) as runner:
        runner.put(Batch(1, encode(plan.entries), plan.answers))
        outcomes = observe.future.result(timeout=COMPILING_S)
    expected = list(reference([]).observe_all([Observation({"v": value}) for value in values]))
    assert [outcome.result for outcome in outcomes] == expected
    assert outcomes.newest() == expected[-1]
    losses = [result.loss for result in expected if result.loss is not None]
    assert outcomes.mean_loss() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_applied_waits_for_the_slowest_stream_of_the_oldest_record() -> None:
    """A later record that is done first does not move `applied`: the log may not be trimmed past an earlier one."""
    planner, catalog = Planner(Limits(), lambda _: 100, auto_create=False), Catalog()
    runner = Runner(set(), SilentMeter(), Hub(1, 1), Limits(), lambda _: None, lambda: None)

    def put(position: int, *requests: CreateRequest | ObserveRequest) -> None:
        plan = planner.plan([Operation(its) for its in requests], catalog)
        catalog.commit(plan.draft)
        runner.put(Batch(position, encode(plan.entries), plan.answers))

    put(1, CreateRequest("a", SPEC, {}, 100), CreateRequest("b", SPEC, {}, 100))
    while runner.apply_once(0.0):
        pass
    assert runner.applied == 1
    bulk = [("a", Observation({"v": 1.0}))] * (TURN_OBSERVATIONS + 1)
    put(2, ObserveRequest(request(*bulk)))
    put(3, ObserveRequest(request(("b", Observation({"v": 1.0})))))
    assert runner.apply_once(0.0)
    assert runner.shelf.streams["b"].position == 3, "the live one goes first"
    assert runner.applied == 1
    while runner.apply_once(0.0):
        pass
    assert runner.applied == 3


# ------------------------------------------------------------------ lanes


@dataclass(frozen=True)
class Piece:
    """Something to do."""

    name: int
    weight: int = 1
    is_bulk: bool = False


def enter(lanes: Lanes[Piece], stream: str, piece: Piece) -> None:
    """Push a piece, and let workers at the lane if it is new."""
    lane = lanes.push(stream, piece)
    if lane is not None:
        lanes.give_back(lane)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 200), st.booleans()), max_size=40), st.randoms())
def test_a_lane_keeps_its_order_and_is_with_one_worker(pushed: list[tuple[str, int, bool]], chance: object) -> None:
    """Any pushes, taken and given back by workers in any order: each stream's pieces come out as they went in."""
    lanes: Lanes[Piece] = Lanes()
    out: dict[str, list[int]] = {}
    taken = []
    rest = list(enumerate(pushed))
    while rest or len(lanes):
        choice = chance.random()  # type: ignore[attr-defined]
        if rest and choice < 0.4:
            name, (stream, weight, is_bulk) = rest.pop(0)
            enter(lanes, stream, Piece(name, weight, is_bulk))
        elif choice < 0.7 and (turn := lanes.take()) is not None:
            lane, pieces = turn
            assert lane.stream not in {its.stream for its in taken}, "two workers have one stream"
            out.setdefault(lane.stream, []).extend(piece.name for piece in pieces)
            taken.append(lane)
        elif taken:
            lanes.give_back(taken.pop(chance.randrange(len(taken))))  # type: ignore[attr-defined]
    expected: dict[str, list[int]] = {}
    for name, (stream, _, _) in enumerate(pushed):
        expected.setdefault(stream, []).append(name)
    assert out == expected


def test_a_turn_is_bounded() -> None:
    """At the bound the pieces are one turn, one past it the last one waits."""
    for last, num in ((TURN_OBSERVATIONS - 1, 2), (TURN_OBSERVATIONS, 1)):
        lanes: Lanes[Piece] = Lanes()
        enter(lanes, "s", Piece(1))
        enter(lanes, "s", Piece(2, last))
        assert len(lanes.take()[1]) == num


def test_live_goes_first_and_bulk_does_not_starve() -> None:
    """Bulk waits for so many live turns and not for one more."""
    lanes: Lanes[Piece] = Lanes()
    enter(lanes, "bulk", Piece(0, is_bulk=True))
    for number in range(LIVE_TURNS + 5):
        enter(lanes, f"s{number}", Piece(number))
    order = [lanes.take()[0].stream for _ in range(LIVE_TURNS + 6)]
    assert order.index("bulk") == LIVE_TURNS
