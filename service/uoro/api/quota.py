"""What one key may ask for: observations and bytes a second, and streams. All methods but `release` belong to the
event loop's thread.

The fields follow draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` names each policy with its quota `q`
and window `w` in seconds, `RateLimit` what remains of it, `r`, and when it is whole again, `t`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from uoro.access.bucket import SECOND_NS, Bucket
from uoro.access.key import Key
from uoro.api.problems import RateLimited

OBSERVATIONS = "observations"
BYTES = "bytes"
STREAMS = "streams"
STREAMS_RETRY_S = 60.0
"""Room for streams comes when some are deleted, which nobody can foretell."""

_UNITS = {OBSERVATIONS: ';qu="observations"', BYTES: ';qu="content-bytes"'}


@dataclass(slots=True)
class _Room:
    """Streams that are being made and may not be counted yet."""

    lock: threading.Lock
    num_pending: int = 0


class Quota:
    """The limits of one key and how far they are used."""

    def __init__(self, key: Key, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        now_ns = clock_ns()
        rates = {OBSERVATIONS: key.max_observations_per_s, BYTES: key.max_bytes_per_s}
        self.max_streams = key.max_streams
        self._clock_ns = clock_ns
        self._buckets = {policy: Bucket(rate, now_ns) for policy, rate in rates.items() if rate is not None}
        self._room = _Room(threading.Lock())

    @property
    def is_bounded(self) -> bool:
        """Whether there is any limit."""
        return bool(self._buckets) or self.max_streams is not None

    def take(self, policy: str, cost: int) -> None:
        """Take so much of a policy, or raise RateLimited and take nothing."""
        bucket = self._buckets.get(policy)
        if bucket is None:
            return
        wait_ns = bucket.take(cost, self._clock_ns())
        if wait_ns:
            raise RateLimited(f"this key may send {bucket.per_s} {policy} a second", policy, wait_ns / SECOND_NS)

    def charge(self, policy: str, cost: int) -> float:
        """Take so much of a policy, into debt if need be; returns the seconds until the debt is paid."""
        bucket = self._buckets.get(policy)
        if bucket is None:
            return 0.0
        bucket.charge(cost, self._clock_ns())
        return bucket.wait_ns(0, self._clock_ns()) / SECOND_NS

    def has(self, policy: str) -> bool:
        """Whether a policy limits this key."""
        return policy in self._buckets

    def reserve(self, num: int, count: Callable[[], int]) -> None:
        """Make room for so many new streams, until `release`; `count` tells how many there are.

        Raises RateLimited if there is not room for all of them.
        """
        if self.max_streams is None:
            return
        with self._room.lock:
            # What is pending is read first: a stream that comes to be in between counts twice, never not at all.
            taken = self._room.num_pending + count()
            if taken + num > self.max_streams:
                raise RateLimited(
                    f"under this key's prefix there may be {self.max_streams} streams", STREAMS, STREAMS_RETRY_S
                )
            self._room.num_pending += num

    def release(self, num: int) -> None:
        """The streams that were reserved exist, or will not; from any thread."""
        if self.max_streams is None:
            return
        with self._room.lock:
            self._room.num_pending -= num

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The two fields; none for a key without rates."""
        if not self._buckets:
            return []
        now_ns = self._clock_ns()
        policies = [f'"{name}";q={bucket.per_s};w=1{_UNITS[name]}' for name, bucket in self._buckets.items()]
        states = [
            f'"{name}";r={bucket.remaining(now_ns)};t={-(-bucket.full_in_ns(now_ns) // SECOND_NS)}'
            for name, bucket in self._buckets.items()
        ]
        return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]
