"""The engine's pure parts: scheduler, queue, planner, retention, catalog."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from threading import Thread

import pytest
from engine_ground import SMALL, request, submissions
from hypothesis import given
from hypothesis import strategies as st

from uoro.domain import Observation, Observed, Run
from uoro.engine.catalog import Catalog, Draft, Known
from uoro.engine.entries import Create, Learn, decode, encode
from uoro.engine.operations import CreateRequest, DeleteRequest, ObserveRequest, Operation
from uoro.engine.planner import Plan, Planner
from uoro.engine.queue import Queue
from uoro.engine.retention import Mark, due, needed_from
from uoro.engine.scheduler import num_to_take, wait_s
from uoro.errors import (
    CorruptRecord,
    InvalidObservation,
    OutOfSequence,
    Overloaded,
    StreamExists,
    UnknownStream,
    UoroError,
)
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits

SPEC = StreamSpec.parse(SMALL)
LIMITS = Limits(max_batch_observations=10, max_queue_observations=20, max_streams=3, memory_budget_bytes=350)


def known(last_seq: int = 0, labels: dict[str, str] | None = None) -> Known:
    """A stream of the small spec."""
    return Known(SPEC, labels or {}, is_frozen=False, last_seq=last_seq, nbytes=100)


def catalog(**streams: Known) -> Catalog:
    """A catalog of these streams."""
    made = Catalog()
    for stream, its in streams.items():
        made.put(stream, its)
    return made


def plan(where: Catalog, *requests: object, auto_create: bool = True) -> Plan:
    """A plan for requests."""
    planner = Planner(LIMITS, lambda _: 100, auto_create=auto_create)
    return planner.plan([Operation(request) for request in requests], where)  # type: ignore[arg-type]


# ------------------------------------------------------------------ scheduler and queue


@given(st.lists(st.integers(1, 15), min_size=1, max_size=30))
def test_a_batch_is_the_longest_prefix_that_fits_and_never_empty(weights: list[int]) -> None:
    """Any weights: the prefix taken fits or is one operation, and one more would not fit."""
    count = num_to_take(weights, LIMITS)
    assert count >= 1
    assert count == 1 or sum(weights[:count]) <= LIMITS.max_batch_observations
    assert count == len(weights) or sum(weights[: count + 1]) > LIMITS.max_batch_observations


def test_a_batch_waits_for_company_only_while_it_is_young_and_not_full() -> None:
    """The delay is counted from the oldest operation; a full batch does not wait."""
    patient = dataclasses.replace(LIMITS, batch_delay_s=0.5)
    assert wait_s(1, 0.2, patient) == pytest.approx(0.3)
    assert wait_s(1, 0.6, patient) == 0.0
    assert wait_s(10, 0.0, patient) == 0.0
    assert wait_s(1, 0.0, LIMITS) == 0.0


def test_the_queue_is_bounded_in_observations_and_refuses_whole_operations() -> None:
    """At the limit everything is admitted, one past it nothing is, and the queue is as before."""
    queue = Queue(LIMITS)
    queue.admit(Operation(ObserveRequest(submissions("s", range(19)))), 0.0)
    with pytest.raises(Overloaded):
        queue.admit(Operation(ObserveRequest(submissions("s", range(2)))), 0.0)
    assert len(queue) == 19
    queue.admit(Operation(ObserveRequest(submissions("s", range(1)))), 0.0)
    assert len(queue) == 20
    taken = queue.take(0.0, 0.0)
    assert [operation.weight for operation in taken] == [19]
    assert [operation.weight for operation in queue.drain()] == [1]
    assert len(queue) == 0


def test_an_empty_queue_admits_whatever_fits_the_request_limits() -> None:
    """A request larger than the queue's bound is not refused for ever."""
    queue = Queue(LIMITS)
    queue.admit(Operation(ObserveRequest(submissions("s", range(50)))), 0.0)
    assert [operation.weight for operation in queue.take(0.0, 0.0)] == [50]


def test_live_operations_go_before_bulk_of_other_streams_only() -> None:
    """Bulk waits for live ones of other streams; a stream's own operations keep their order."""
    queue = Queue(dataclasses.replace(LIMITS, max_queue_observations=1000, max_batch_observations=4))
    sent = [("bulk", 17), ("live", 1), ("bulk", 1), ("live", 2), ("other", 17), ("live", 3)]
    for stream, num in sent:
        queue.admit(Operation(ObserveRequest(submissions(stream, range(num)))), 0.0)
    taken = [[(o.streams[0], o.weight) for o in queue.take(0.0, 0.0)] for _ in range(5)]
    assert taken == [[("live", 1), ("live", 2), ("bulk", 17)], [("live", 3)], [("bulk", 1)], [("other", 17)], []]


def test_bulk_is_left_in_the_queue_while_there_is_no_room_for_it() -> None:
    """Live ones are taken all the same, and a wake lets whoever waits look again."""
    queue = Queue(dataclasses.replace(LIMITS, max_queue_observations=1000))
    queue.admit(Operation(ObserveRequest(submissions("bulk", range(17)))), 0.0)
    queue.admit(Operation(ObserveRequest(submissions("live", [1.0]))), 0.0)
    assert [o.weight for o in queue.take(0.0, 0.0, takes_bulk=False)] == [1]
    assert queue.take(0.0, 0.0, takes_bulk=False) == []
    assert [o.weight for o in queue.take(0.0, 0.0)] == [17]


def test_the_last_eighth_of_the_queue_is_for_live_operations() -> None:
    """Bulk is admitted up to seven eighths and not one past it; live ones up to the bound and not one past it."""
    queue = Queue(dataclasses.replace(LIMITS, max_queue_observations=80))
    queue.admit(Operation(ObserveRequest(submissions("a", range(53)))), 0.0)
    with pytest.raises(Overloaded):
        queue.admit(Operation(ObserveRequest(submissions("b", range(18)))), 0.0)
    queue.admit(Operation(ObserveRequest(submissions("b", range(17)))), 0.0)
    queue.admit(Operation(ObserveRequest(submissions("c", range(10)))), 0.0)
    with pytest.raises(Overloaded):
        queue.admit(Operation(ObserveRequest(submissions("d", range(1)))), 0.0)


# ------------------------------------------------------------------ planner


@given(st.integers(0, 5), st.lists(st.one_of(st.none(), st.integers(1, 12)), max_size=12))
def test_seq_decides_as_the_contract_says(last: int, seqs: list[int | None]) -> None:
    """Any mixture of given and missing seqs equals a five-line model of the contract."""
    where = catalog(s=known(last))
    made = plan(where, ObserveRequest(request(*(("s", Observation({"v": 1.0}, seq=seq)) for seq in seqs))))
    answer = made.answers[0]
    expected, next_seq = [], last + 1
    for seq in seqs:
        if seq is None or seq == next_seq:
            expected.append("learned")
            next_seq += 1
        else:
            expected.append("duplicate" if seq < next_seq else "gap")
    learned = {place for its in answer.outcomes.learned for place in its.places}
    recalled = {slot for slot, _, _ in answer.recalled}
    seen = ["learned" if slot in learned else "duplicate" if slot in recalled else "gap" for slot in range(len(seqs))]
    assert seen == expected
    assert all(
        isinstance(answer.outcomes.errors[slot], OutOfSequence) for slot, what in enumerate(seen) if what == "gap"
    )
    final = made.draft.get("s")
    assert final is not None and final.last_seq == next_seq - 1
    unchanged = where.get("s")
    assert unchanged is not None and unchanged.last_seq == last, "planning moved the catalog"


def test_a_misfit_takes_no_seq_and_its_neighbours_are_learned() -> None:
    """The second of three does not fit; the third takes its place in the sequence."""
    three = [("s", Observation({"v": 1.0})), ("s", Observation({"w": 1.0})), ("s", Observation({"v": 2.0}))]
    made = plan(catalog(s=known()), ObserveRequest(request(*three)))
    assert isinstance(made.answers[0].outcomes.errors[1], InvalidObservation)
    entry = made.entries[0]
    assert isinstance(entry, Learn)
    assert (entry.first_seq, [o.x["v"] for o in entry.observations]) == (1, [1.0, 2.0])


@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
def test_a_run_that_says_what_it_follows_is_taken_there_or_not_at_all(last: int, after: int, num: int) -> None:
    """At its place all of it, and the next such run behind it; anywhere else nothing, with the place to go to."""
    observations = [Observation({"v": 1.0})] * num
    runs = [Run("s", observations, range(num), after), Run("s", observations, range(num, 2 * num), after + num)]
    answer = plan(catalog(s=known(last)), ObserveRequest(runs)).answers[0]
    if after == last:
        assert [(its.first_seq, its.last_seq) for its in answer.outcomes.learned] == [
            (last + 1, last + num), (last + num + 1, last + 2 * num),
        ]  # fmt: skip
        assert answer.outcomes.errors == {}
    elif after + num == last:
        assert [(its.first_seq, its.last_seq) for its in answer.outcomes.learned] == [(last + 1, last + num)]
        assert set(answer.outcomes.errors) == set(range(num))
    else:
        assert answer.outcomes.learned == []
        told = [(type(error), getattr(error, "expected_seq", None)) for error in answer.outcomes.errors.values()]
        assert told == [(OutOfSequence, last + 1)] * (2 * num)


def test_a_run_that_says_what_it_follows_creates_nothing() -> None:
    """Not even at the beginning: who made it knew of a stream, which is gone."""
    made = plan(catalog(), ObserveRequest([Run("s", [Observation({"v": 1.0})], (0,), 0)]))
    assert made.entries == []
    assert [type(error) for error in made.answers[0].outcomes.errors.values()] == [UnknownStream]


def test_unknown_streams_are_created_only_where_allowed_and_only_from_the_first_seq() -> None:
    """Auto-creation infers the fields; a first seq above 1 is a gap; without permission it is unknown."""
    made = plan(Catalog(), ObserveRequest(submissions("new", [1.0], first_seq=1)))
    assert [type(entry) for entry in made.entries] == [Create, Learn]
    made = plan(Catalog(), ObserveRequest(submissions("new", [1.0], first_seq=2)))
    assert made.entries == []
    assert isinstance(made.answers[0].outcomes.errors[0], OutOfSequence)
    made = plan(Catalog(), ObserveRequest(submissions("new", [1.0])), auto_create=False)
    assert made.entries == []
    assert isinstance(made.answers[0].outcomes.errors[0], UnknownStream)


def test_operations_of_one_batch_see_each_other() -> None:
    """Create, observe, delete, create anew with another spec: each sees what came before it."""
    other = StreamSpec.parse({**SMALL, "hidden_size": 3})
    made = plan(
        Catalog(),
        CreateRequest("s", SPEC, {}, 100),
        CreateRequest("s", other, {}, 100),
        ObserveRequest(submissions("s", [1.0, 2.0])),
        DeleteRequest("s"),
        CreateRequest("s", other, {}, 100),
    )
    assert isinstance(made.answers[1].outcome, StreamExists)
    assert [type(entry).__name__ for entry in made.entries] == ["Create", "Learn", "Delete", "Create"]
    final = made.draft.get("s")
    assert final is not None and final.spec == other and final.last_seq == 0


@pytest.mark.parametrize(("streams", "limit"), [(3, "streams exist"), (4, None)])
def test_the_number_of_streams_is_limited(streams: int, limit: str | None) -> None:
    """The last that fits is created, one past it is refused with 429's error."""
    limits = dataclasses.replace(LIMITS, max_streams=4, memory_budget_bytes=10_000)
    planner = Planner(limits, lambda _: 100, auto_create=True)
    where = catalog(**{f"s{n}": known() for n in range(streams)})
    outcome = planner.plan([Operation(CreateRequest("x", SPEC, {}, 100))], where).answers[0].outcome
    assert isinstance(outcome, Overloaded) == (streams == 4)
    assert limit is None or not isinstance(outcome, UoroError)


def test_entries_survive_the_codec_and_damage_is_told() -> None:
    """What decode reads is what encode wrote; a cut payload is corrupt."""
    entries = plan(Catalog(), ObserveRequest(submissions("s", [1.5, -2.0]))).entries
    assert decode(encode(entries)) == entries
    with pytest.raises(CorruptRecord):
        decode(encode(entries)[:-1])


# ------------------------------------------------------------------ retention


marks = st.builds(
    lambda born, changes, cuts: Mark(
        born, born + changes, sorted({born + min(cut, changes) for cut in cuts})[-2:], written_s=0.0
    ),
    st.integers(1, 20),
    st.integers(0, 20),
    st.lists(st.integers(0, 20), max_size=2),
)


@given(st.dictionaries(st.sampled_from("abcdef"), marks, max_size=6))
def test_the_log_is_kept_as_far_as_any_older_generation_needs_it(streams: dict[str, Mark]) -> None:
    """From the position kept on, every stream can be rebuilt from its older generation or its beginning."""
    kept = needed_from(streams, 100)
    for mark in streams.values():
        base = mark.generations[0] if len(mark.generations) == 2 else mark.born - 1
        assert mark.changed <= base or kept <= base + 1
    assert kept == 100 or any(mark.needs == kept for mark in streams.values()), "more is kept than is needed"


def test_due_by_time_and_by_log_length() -> None:
    """A stream whose generations lack a change is due after its interval, at once if the log is full; else never."""
    streams = {
        "changed": Mark(1, 9, [3, 5], written_s=0.0),
        "unchanged": Mark(1, 5, [5, 5], written_s=0.0),
        "silent": Mark(1, 6, [4, 6], written_s=0.0),
        "pins": Mark(1, 9, [2, 3], written_s=0.0),
    }
    assert due(streams, 9.9, 10.0, is_log_full=False) == []
    assert due(streams, 10.0, 10.0, is_log_full=False) == ["pins", "changed", "silent"]
    assert due(streams, 0.0, 10.0, is_log_full=True) == ["pins", "changed", "silent"]


# ------------------------------------------------------------------ catalog


@given(st.sets(st.text("ab/", min_size=1, max_size=4)), st.text("ab/", max_size=2), st.integers(1, 4))
def test_pages_put_together_are_the_sorted_matches(ids: set[str], prefix: str, limit: int) -> None:
    """Paging with any prefix and page size finds each match once, in order."""
    where = catalog(**{stream: known() for stream in ids})
    found: list[str] = []
    while page := where.page(after=found[-1] if found else "", limit=limit, prefix=prefix, labels={}):
        assert len(page) <= limit
        found += [its.id for its in page]
    assert found == sorted(stream for stream in ids if stream.startswith(prefix))


def test_labels_filter_by_all_of_them() -> None:
    """Only streams that carry every asked label are listed."""
    where = catalog(a=known(labels={"k": "1", "z": "2"}), b=known(labels={"k": "1"}))
    assert [its.id for its in where.page(after="", limit=9, prefix="", labels={"k": "1"})] == ["a", "b"]
    assert [its.id for its in where.page(after="", limit=9, prefix="", labels={"k": "1", "z": "2"})] == ["a"]


def test_a_draft_changes_nothing_until_it_is_committed() -> None:
    """Totals and contents move together, at commit."""
    where = catalog(a=known(), b=known())
    draft = Draft(where)
    draft.put("a", None)
    draft.put("c", known())
    draft.put("d", known())
    assert (len(where), where.nbytes, where.get("c")) == (2, 200, None)
    assert (draft.num_streams, draft.nbytes) == (3, 300)
    where.commit(draft)
    assert (len(where), where.nbytes, where.get("a")) == (3, 300, None)


def test_observed_is_a_value() -> None:
    """Equal content, equal value: replies can be compared."""
    assert Observed("s", 1, True, None) == Observed("s", 1, True, None)


def test_what_a_turn_of_an_event_loop_brings_is_announced_together() -> None:
    """A waiting committer is woken after the turn, with all of it; what another thread admits is announced at once."""
    queue = Queue(LIMITS)
    taken: list[list[int]] = []

    def take() -> None:
        taken.append([operation.weight for operation in queue.take(0.0, 60.0)])

    async def admit() -> None:
        for weight in (1, 2, 3):
            queue.admit(Operation(ObserveRequest(submissions("s", range(weight)))), 0.0)
            time.sleep(0.01)  # noqa: ASYNC251 - the turn goes on; the committer may run, and must not find anything
        await asyncio.to_thread(committer.join)

    committer = Thread(target=take)
    committer.start()
    asyncio.run(admit())
    assert taken == [[1, 2, 3]]
    committer = Thread(target=take)
    committer.start()
    queue.admit(Operation(ObserveRequest(submissions("s", range(4)))), 0.0)
    committer.join()
    assert taken[1:] == [[4]]
