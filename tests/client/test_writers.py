"""Writers: whatever is lost on the way, every observation is learned exactly once, in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uoro_client import (
    BatchReply,
    Client,
    ClientError,
    Observation,
    OutOfSequence,
    Patience,
    ReplyLost,
    SequenceTaken,
    Unavailable,
)
from uoro_client.testing import Fault, ServiceDouble

BRIEF = Patience(max_attempts=3, first_pause_s=0.0)
NUMBERS = {"fields": {"v": {"type": "number"}}}


@pytest.fixture
def double() -> ServiceDouble:
    return ServiceDouble()


@pytest.fixture
def client(double: ServiceDouble) -> Client:
    return Client(transport=double.transport(), patience=BRIEF)


def test_the_next_seq_is_asked_for_once(client: Client, double: ServiceDouble) -> None:
    """A writer begins where the stream stands, and counts by itself from there."""
    client.observe_many("a", [{"v": 1}, {"v": 2}])
    double.requests.clear()
    writer = client.writer()
    assert [writer.observe("a", {"v": n}).seq for n in (3, 4)] == [3, 4]
    assert [method for method, _ in double.requests] == ["GET", "POST", "POST"]
    assert writer.next_seq("a") == 5


@pytest.mark.parametrize("fault", list(Fault))
def test_one_observation_survives_any_fault(client: Client, double: ServiceDouble, fault: Fault) -> None:
    """A duplicate after a lost reply counts as success."""
    double.faults += [None, fault, fault]
    assert client.writer().observe("a", {"v": 1}).seq == 1
    assert double.learned["a"] == [{"v": 1}]


@given(
    faults=st.lists(st.sampled_from([None, *Fault]), max_size=12),
    chunk_lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    bad=st.sets(st.integers(0, 12)),
)
def test_everything_is_learned_once_in_order(
    faults: list[Fault | None], chunk_lengths: list[int], bad: set[int]
) -> None:
    """For any faults, chunks and misfits, who goes on with what remains gets exactly one of each."""
    double = ServiceDouble()
    client = Client(transport=double.transport(), patience=BRIEF)
    client.create_stream("a", NUMBERS)
    double.faults += faults
    writer = client.writer()
    rows = [{"v": "misfit" if n in bad else n} for n in range(sum(chunk_lengths))]
    first, num_accepted, num_rejected = 0, 0, 0
    for length in chunk_lengths:
        left: Iterable[Any] | None = rows[first : first + length]
        first += length
        while left is not None:
            try:
                reply, left = writer.observe_many("a", left), None
            except ClientError as error:
                reply, left = error.partial or BatchReply(), error.remaining
            num_accepted += reply.accepted + reply.duplicates
            num_rejected += reply.rejected
    assert num_accepted == len(double.learned["a"])
    assert num_rejected == len([row for row in rows if row["v"] == "misfit"])
    assert double.learned["a"] == [row for row in rows if row["v"] != "misfit"]


def test_misfits_are_left_out_and_told(client: Client, double: ServiceDouble) -> None:
    """What follows a refused observation is numbered anew, and only the refused one counts as rejected."""
    client.create_stream("a", NUMBERS)
    rows = [{"v": "x" if n in {0, 2, 3} else n} for n in range(6)]
    reply = client.writer().observe_many("a", rows)
    assert (reply.accepted, reply.rejected) == (3, 3)
    assert [(refusal.index, refusal.code) for refusal in reply.errors] == [
        (0, "invalid_observation"),
        (2, "invalid_observation"),
        (3, "invalid_observation"),
    ]
    assert double.learned["a"] == [{"v": 1}, {"v": 4}, {"v": 5}]


def test_more_misfits_than_a_reply_lists(client: Client, double: ServiceDouble) -> None:
    """Beyond a hundred the service stops listing; the writer still gets every fitting one through."""
    client.create_stream("a", NUMBERS)
    rows = [{"v": "x" if n < 250 else n} for n in range(300)]
    reply = client.writer().observe_many("a", rows)
    assert (reply.accepted, reply.rejected, len(reply.errors)) == (50, 250, 100)


def test_several_streams_are_numbered_apart(client: Client, double: ServiceDouble) -> None:
    """A misfit in one stream does not move another, and lost replies teach nothing twice."""
    client.create_stream("a", NUMBERS)
    double.faults += [None, None, Fault.LOSE_REPLY]
    rows = [Observation({"v": "x" if n == 2 else n}, stream="ab"[n % 2]) for n in range(6)]
    reply = client.writer().observe_streams(rows)
    assert double.learned == {"a": [{"v": 0}, {"v": 4}], "b": [{"v": 1}, {"v": 3}, {"v": 5}]}
    assert [(refusal.index, refusal.code) for refusal in reply.errors] == [(2, "invalid_observation")]


def test_a_given_up_observation_may_be_repeated(client: Client, double: ServiceDouble) -> None:
    """The same observation after a failure in doubt gets the same number."""
    writer = client.writer()
    double.faults += [None, Fault.LOSE_REPLY, Fault.LOSE_REPLY, Fault.OVERLOADED]
    with pytest.raises(ClientError) as caught:
        writer.observe("a", {"v": 1})
    assert caught.value.is_in_doubt
    assert writer.observe("a", {"v": 1}).duplicate
    assert double.learned["a"] == [{"v": 1}]


def test_a_given_up_observation_may_be_left_behind(client: Client, double: ServiceDouble) -> None:
    """Another observation after a failure in doubt is not taken for the lost one."""
    writer = client.writer()
    double.faults += [None, *[Fault.UNAVAILABLE_AFTERWARDS] * 3]
    with pytest.raises(Unavailable):
        writer.observe("a", {"v": 1})
    assert writer.observe("a", {"v": 2}).seq == 2
    double.faults += [Fault.LOSE_REQUEST] * 3
    with pytest.raises(ReplyLost):
        writer.observe("a", {"v": 3})
    assert writer.observe("a", {"v": 4}).seq == 3
    assert double.learned["a"] == [{"v": 1}, {"v": 2}, {"v": 4}]


def test_a_second_writer_is_told(client: Client, double: ServiceDouble) -> None:
    """A duplicate that no doubt explains is someone else's observation."""
    writer = client.writer()
    writer.observe("a", {"v": 1})
    client.observe("a", {"v": 2})
    with pytest.raises(SequenceTaken):
        writer.observe("a", {"v": 3})
    client.observe("a", {"v": 4})
    writer.start_at("a", 3)
    with pytest.raises(SequenceTaken):
        writer.observe_many("a", [{"v": 5}])
    assert writer.observe("a", {"v": 6}).seq == 4


def test_a_stream_that_went_back_is_told(client: Client, double: ServiceDouble) -> None:
    """After a restore the numbers are lower: the gap is an error once, then the writer asks anew."""
    writer = client.writer()
    writer.observe_many("a", [{"v": 1}, {"v": 2}])
    del double.learned["a"][1:]
    with pytest.raises(OutOfSequence):
        writer.observe_many("a", [{"v": 3}])
    assert writer.observe("a", {"v": 3}).seq == 2


def test_a_seq_begins_at_one(client: Client) -> None:
    """Zero is refused."""
    with pytest.raises(ValueError, match="begins at 1"):
        client.writer().start_at("a", 0)
