"""A token bucket: so many a second, with one second's worth saved up at most. Time is an argument; no clock here.

Rules:
1. What is asked for is taken whole or not at all, and the answer says how long to wait.
2. More than a full bucket holds can be asked for: it is given when the bucket is full, and leaves a debt. So the
   rate holds in the long run whatever the size of a request.
3. All numbers are integers, in billionths of a token and in nanoseconds: nothing is rounded away.
"""

from __future__ import annotations

SECOND_NS = 10**9


class Bucket:
    """One bucket, full at first.

    Args:
        per_s: tokens that come in a second, and what it holds; at least 1.
        now_ns: monotonic.
    """

    def __init__(self, per_s: int, now_ns: int) -> None:
        self.per_s = per_s
        self._full = per_s * SECOND_NS
        self._level = self._full
        self._at_ns = now_ns

    def wait_ns(self, cost: int, now_ns: int) -> int:
        """How long until so many can be taken; 0: now."""
        missing = min(cost * SECOND_NS, self._full) - self._level_at(now_ns)
        return max(0, -(-missing // self.per_s))

    def charge(self, cost: int, now_ns: int) -> None:
        """Take so many, into debt if need be."""
        self._level = self._level_at(now_ns) - cost * SECOND_NS
        self._at_ns = max(self._at_ns, now_ns)

    def take(self, cost: int, now_ns: int) -> int:
        """Take so many and return 0, or take nothing and return how long to wait, in nanoseconds."""
        wait_ns = self.wait_ns(cost, now_ns)
        if not wait_ns:
            self.charge(cost, now_ns)
        return wait_ns

    def remaining(self, now_ns: int) -> int:
        """Whole tokens that are there; 0 in debt."""
        return max(0, self._level_at(now_ns) // SECOND_NS)

    def full_in_ns(self, now_ns: int) -> int:
        """How long until it is full, if nobody takes any."""
        return -(-(self._full - self._level_at(now_ns)) // self.per_s)

    def _level_at(self, now_ns: int) -> int:
        return min(self._full, self._level + max(0, now_ns - self._at_ns) * self.per_s)
