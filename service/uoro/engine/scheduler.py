"""What forms the next batch, and when. Pure: counts and ages come in, a decision goes out.

Rules:
1. A batch is full at `max_batch_observations`; an operation is never split, so one may exceed it alone.
2. A batch that is not full waits until its oldest operation has waited `batch_delay_s`. The default is 0: while
   one append is being flushed the next batch gathers by itself, so a lone client waits for one flush and a flood
   shares it.
"""

from __future__ import annotations

from collections.abc import Sequence

from uoro.limits import Limits


def wait_s(num_observations: int, oldest_age_s: float, limits: Limits) -> float:
    """How long the next batch should still gather, in seconds; 0 means take it now."""
    if num_observations >= limits.max_batch_observations:
        return 0.0
    return max(0.0, limits.batch_delay_s - oldest_age_s)


def num_to_take(weights: Sequence[int], limits: Limits) -> int:
    """How many of the waiting operations, oldest first, the next batch takes; at least one if any waits."""
    total = 0
    for count, weight in enumerate(weights):
        total += weight
        if total > limits.max_batch_observations and count > 0:
            return count
    return len(weights)
