"""A histogram that costs a fraction of a microsecond to feed; its owner holds the lock.

`prometheus_client.Histogram` takes three locks and a linear search for one value; the runner feeds three of
them for every observation.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate


def log_spaced(first: float, last: float, per_decade: Sequence[float]) -> tuple[float, ...]:
    """Bounds from `first`, a power of ten, to `last`: in each decade its start times every factor.

    >>> log_spaced(0.01, 1.0, (1, 2, 5))
    (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    """
    bounds: list[float] = []
    decade = first
    while decade <= last:
        bounds.extend(float(f"{decade * factor:.3g}") for factor in per_decade)
        decade = float(f"{decade * 10:.3g}")
    return tuple(bound for bound in bounds if bound <= last)


class Histogram:
    """Counts of values by size, cumulative over the life of the service.

    Attributes:
        bounds: inclusive upper bounds, ascending; what is larger than the last goes to +Inf.
        sum: of all values.
    """

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float, num: int = 1) -> None:
        """Count a finite value, so many times."""
        self._counts[bisect_left(self.bounds, value)] += num
        self.sum += value * num

    def observe_known(self, values: Iterable[float]) -> None:
        """Count each value that is not NaN."""
        counts, bounds = self._counts, self.bounds
        for value in values:
            if value == value:  # noqa: PLR0124 - NaN does not equal itself
                counts[bisect_left(bounds, value)] += 1
                self.sum += value

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Pairs (`le`, number of values at or below it), the last one for +Inf."""
        names = [*map(repr, map(float, self.bounds)), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))
