"""Waiting for a lease: at most its own time, for the holder to fall silent or to give it up."""

from __future__ import annotations

from collections.abc import Callable

from uoro.errors import Unavailable

_POLLS_PER_LEASE = 40


def wait_for_lease(
    attempt: Callable[[], int | None],
    lease_ttl_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> int:
    """The epoch of the first attempt that gets one.

    A holder renewed its lease at the latest before the first attempt, so an attempt made a whole lease later
    finds the lease of a silent holder run out; one poll more covers the way to the store.

    Raises:
        Unavailable: the holder is alive.
    """
    poll_s = lease_ttl_s / _POLLS_PER_LEASE
    deadline = clock() + lease_ttl_s + 2 * poll_s
    while True:
        epoch = attempt()
        if epoch is not None:
            return epoch
        if clock() >= deadline:
            raise Unavailable("another server owns this shard and is alive")
        sleep(poll_s)
