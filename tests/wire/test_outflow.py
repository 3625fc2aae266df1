"""Whether a client is stuck: exact at the end of the window and at the bytes that it must take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uoro.wire.outflow import Outflow


def test_nothing_taken_is_stuck_at_the_end_of_the_window() -> None:
    """One moment before it is not."""
    outflow = Outflow(20.0, 100)
    assert [outflow.is_stuck(now, 1000) for now in (5.0, 24.999, 25.0)] == [False, False, True]


def test_enough_taken_opens_a_new_window() -> None:
    """As many bytes as asked for; one fewer does not."""
    for num_taken, is_stuck in ((100, False), (99, True)):
        outflow = Outflow(20.0, 100)
        outflow.is_stuck(0.0, 1000)
        outflow.is_stuck(19.0, 1000 - num_taken)
        assert outflow.is_stuck(20.0, 1000 - num_taken) is is_stuck


def test_what_is_less_than_asked_for_must_go_altogether() -> None:
    """Ninety-nine bytes count as taken when none is left."""
    outflow = Outflow(20.0, 100)
    outflow.is_stuck(0.0, 99)
    assert outflow.is_stuck(20.0, 1)
    assert not outflow.is_stuck(20.0, 0)
    assert not outflow.is_stuck(1000.0, 99)


@given(taken=st.lists(st.integers(0, 50), min_size=1, max_size=60), window=st.integers(1, 10), least=st.integers(1, 60))
def test_it_decides_as_its_definition_does(taken: list[int], window: int, least: int) -> None:
    """Told each second, it gives up at the first second by which no window had enough taken in it."""
    total = sum(taken) + 1
    outflow = Outflow(float(window), least)
    waiting = [total - sum(taken[:second]) for second in range(len(taken) + 1)]
    since = 0
    for second, num in enumerate(waiting):
        if waiting[since] - num >= least:
            since = second
        assert outflow.is_stuck(float(second), num) is (second - since >= window)
