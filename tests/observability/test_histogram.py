"""Counting by hand finds what the histogram says."""

from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from uoro.observability.histogram import Histogram, log_spaced

number = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30)


@given(st.lists(number))
def test_a_bucket_counts_what_is_at_or_below_its_bound(values: list[float]) -> None:
    """Buckets are cumulative with inclusive bounds, as counting by hand finds."""
    histogram = Histogram((-1.0, 0.0, 2.5, 1e6))
    for value in values:
        histogram.observe(value)
    assert histogram.buckets() == [
        *((repr(bound), sum(value <= bound for value in values)) for bound in histogram.bounds),
        ("+Inf", len(values)),
    ]
    assert histogram.count == len(values)
    assert histogram.sum == reduce(add, values, 0.0)


def test_log_spaced_bounds_are_round() -> None:
    """Bounds are the decimal numbers one would write, from the first to the last inclusive."""
    assert log_spaced(1e-6, 1e-4, (1, 2.5, 5)) == (1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4)
    assert log_spaced(0.01, 0.05, (1, 3)) == (0.01, 0.03)
