"""When a failed attempt is made again, and after what pause. Pure; both clients ask the same function.

Rules:
1. A call is *repeatable* if making it twice is the same as making it once: reads, deletions, and
   observations that carry `seq`. Other calls are repeated only when nothing can have been taken.
2. No connection: nothing was sent, so every call is repeated.
3. 429: the service took nothing and says so, so every call is repeated, not before Retry-After.
4. A lost reply, 502, 503 and 504 leave open what was taken: only repeatable calls are repeated. (A 503
   `store_unavailable` may have been written to the log.) A damaged stream stays damaged: never.
5. Any other answer stands.
6. Attempts and the time spent on them are bounded. A pause that would end beyond the bound is not begun.
"""

from __future__ import annotations

from dataclasses import dataclass

from uoro_client.errors import ApiError, ClientError, ConnectionFailed, Overloaded, ReplyLost

_DOUBTFUL_STATUSES = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is kept alive.

    Attributes:
        max_attempts: the first one included; 1 means no retries.
        max_total_s: seconds from the first attempt to the start of the last.
        first_pause_s: before the second attempt; doubled for each further one.
        max_pause_s: bound of the doubling. Retry-After may ask for more.
    """

    max_attempts: int = 10
    max_total_s: float = 60.0
    first_pause_s: float = 0.1
    max_pause_s: float = 5.0


def leaves_doubt(error: ClientError) -> bool:
    """Whether the failed attempt may have been taken all the same."""
    return isinstance(error, ReplyLost) or (isinstance(error, ApiError) and error.status in _DOUBTFUL_STATUSES)


def pause_before_retry(
    patience: Patience,
    error: ClientError,
    *,
    is_repeatable: bool,
    num_attempts: int,
    elapsed_s: float,
    chance: float,
) -> float | None:
    """Seconds until the next attempt, or None if the error stands.

    Args:
        patience: the bounds.
        error: what the latest attempt failed with.
        is_repeatable: whether making the call twice is the same as making it once.
        num_attempts: made so far.
        elapsed_s: since the first attempt began.
        chance: uniform in [0, 1); spreads callers that failed together.
    """
    if isinstance(error, ApiError) and error.code == "stream_damaged":
        return None
    if not (isinstance(error, ConnectionFailed | Overloaded) or (leaves_doubt(error) and is_repeatable)):
        return None
    doubled = patience.first_pause_s * 2.0 ** min(num_attempts - 1, 30)
    pause = min(doubled, patience.max_pause_s) * (0.5 + 0.5 * chance)
    if isinstance(error, ApiError) and error.retry_after_s is not None:
        pause += error.retry_after_s
    if num_attempts >= patience.max_attempts or elapsed_s + pause > patience.max_total_s:
        return None
    return pause
