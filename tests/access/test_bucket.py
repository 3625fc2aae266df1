"""The token bucket against its definition, worked out by brute force from everything that was ever taken."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from uoro.access.bucket import SECOND_NS, Bucket

RATES = st.integers(1, 10**9)
GAPS_NS = st.one_of(st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 5 * SECOND_NS))
ASKED = st.lists(st.tuples(GAPS_NS, st.floats(0, 3)), max_size=30)


def level(per_s: int, taken: list[tuple[int, int]], now_ns: int) -> Fraction:
    """What is left: one second's worth, less the most that any stretch of time up to now took beyond its rate."""
    beyond = [
        sum(cost for at, cost in taken[first:]) - Fraction(per_s * (now_ns - taken[first][0]), SECOND_NS)
        for first in range(len(taken))
    ]
    return per_s - max([Fraction(0), *beyond])


@given(per_s=RATES, asked=ASKED)
def test_it_gives_what_its_definition_gives(per_s: int, asked: list[tuple[int, float]]) -> None:
    """Each verdict, wait, remainder and time to full are those of the definition, exactly."""
    bucket, taken, now_ns = Bucket(per_s, 0), [], 0
    for gap_ns, share in asked:
        now_ns += gap_ns
        cost = round(share * per_s)
        there = level(per_s, taken, now_ns)
        assert bucket.remaining(now_ns) == max(0, there // 1)
        missing = min(cost, per_s) - there
        wait_ns = bucket.take(cost, now_ns)
        assert wait_ns == max(0, -((-missing * SECOND_NS / per_s) // 1))
        if missing <= 0:
            taken.append((now_ns, cost))
        full_in = (per_s - level(per_s, taken, now_ns)) * SECOND_NS / per_s
        assert bucket.full_in_ns(now_ns) == -((-full_in) // 1)


@given(per_s=RATES, asked=ASKED)
def test_what_it_says_to_wait_is_just_enough(per_s: int, asked: list[tuple[int, float]]) -> None:
    """After the wait it is given; a nanosecond earlier it is not, and asking changed nothing."""
    bucket, now_ns = Bucket(per_s, 0), 0
    for gap_ns, share in asked:
        now_ns += gap_ns
        cost = round(share * per_s)
        wait_ns = bucket.take(cost, now_ns)
        if wait_ns:
            assert bucket.take(cost, now_ns + wait_ns - 1) == 1
            assert bucket.take(cost, now_ns + wait_ns) == 0
            now_ns += wait_ns


@given(per_s=st.integers(1, 1000), costs=st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_the_rate_holds_in_the_long_run_whatever_the_sizes(per_s: int, costs: list[int]) -> None:
    """Who takes as soon as it may has, by the end, at most the rate, one full bucket and one last request."""
    bucket, now_ns = Bucket(per_s, 0), 0
    for cost in costs:
        now_ns += bucket.wait_ns(cost, now_ns)
        assert bucket.take(cost, now_ns) == 0
    assert sum(costs) <= per_s + max(costs) + Fraction(per_s * now_ns, SECOND_NS)


def test_a_charge_is_never_refused_and_time_never_runs_back() -> None:
    """Debt is paid at the rate; a clock that stands still or goes back gives nothing."""
    bucket = Bucket(10, 0)
    bucket.charge(35, 0)
    assert (bucket.remaining(0), bucket.wait_ns(0, 0)) == (0, int(2.5 * SECOND_NS))
    assert bucket.wait_ns(0, -SECOND_NS) == int(2.5 * SECOND_NS)
    assert bucket.wait_ns(0, int(2.5 * SECOND_NS)) == 0
    assert bucket.remaining(100 * SECOND_NS) == 10
