"""The order of a tail: whatever is lost and heard twice, each result is told once, and none passes unseen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uoro_client import ObservationReply
from uoro_client.order import Order

KEPT = 4


def result(seq: int, life: int = 0) -> ObservationReply:
    """A result of one of a stream's lives."""
    return ObservationReply(seq, loss=seq + life / 7)


class Stream:
    """The judge: all results that there are, and what of them a listener hears."""

    def __init__(self) -> None:
        self.results: list[ObservationReply] = []
        self.life = 0

    def learn(self, num: int) -> list[ObservationReply]:
        new = [result(seq, self.life) for seq in range(len(self.results) + 1, len(self.results) + num + 1)]
        self.results += new
        return new

    def go_back(self, num: int) -> None:
        self.life += 1
        del self.results[max(0, len(self.results) - num) :]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6),  # learned while there is no connection
            st.integers(0, 3),  # learned after the subscription, before the fetch: fetched, and perhaps heard later
            st.integers(0, 3),  # learned after the fetch
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_each_result_is_told_once_or_counted(connections: list[tuple[int, int, int]], from_the_start: bool) -> None:
    """Told in order without repetition, and told and missed together are all that there were."""
    stream, order, told = Stream(), Order(0 if from_the_start else None), list[int]()
    num_before = 0
    for n, (away, overlap, live) in enumerate(connections):
        stream.learn(away)
        heard = stream.learn(overlap)
        if n == 0 and not from_the_start:
            num_before = len(stream.results)
        told += [reply.seq for reply in order.fetched(stream.results[-KEPT:])]
        told += [reply.seq for reply in [*heard, *stream.learn(live)] if order.is_new(reply)]
    assert told == sorted(set(told))
    assert len(told) + order.num_missed == len(stream.results) - num_before


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8))
def test_a_listener_goes_back_with_its_stream(before: int, back: int, after: int) -> None:
    """After a restore the same places are told again, with what is there now."""
    stream, order = Stream(), Order()
    order.fetched([])
    assert all(order.is_new(reply) for reply in stream.learn(before))
    stream.go_back(back)
    again = stream.learn(after)
    assert [reply for reply in again if order.is_new(reply)] == again
    assert order.last_seq == len(stream.results)


def test_a_stream_that_went_back_unheard() -> None:
    """If it happened without a connection, the tail begins where the stream is now."""
    order = Order()
    order.fetched([result(9)])
    assert order.fetched([result(3, 1)]) == []
    assert order.last_seq == 3
    assert order.is_new(result(4, 1))


def test_what_is_no_longer_kept_is_counted() -> None:
    """Seven came, four are kept: three are missed."""
    order = Order(0)
    assert [reply.seq for reply in order.fetched([result(seq) for seq in range(4, 8)])] == [4, 5, 6, 7]
    assert order.num_missed == 3
