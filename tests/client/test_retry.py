"""The decision to try again, by table."""

from __future__ import annotations

import pytest

from uoro_client.errors import (
    ApiError,
    ClientError,
    ConnectionFailed,
    NotFound,
    Overloaded,
    ReplyLost,
    Unavailable,
    UnexpectedReply,
)
from uoro_client.retry import Patience, leaves_doubt, pause_before_retry

PATIENCE = Patience(max_attempts=4, max_total_s=10.0, first_pause_s=1.0, max_pause_s=3.0)
FULL, AWAY = Overloaded(429, "overloaded", "full"), Unavailable(503, "store_unavailable", "away")

TABLE: list[tuple[ClientError, bool, bool]] = [
    # error, tried again without seq, tried again with seq
    (ConnectionFailed("refused"), True, True),
    (FULL, True, True),
    (ReplyLost("timeout"), False, True),
    (AWAY, False, True),
    (Unavailable(503, "not_ready", "recovering"), False, True),
    (ApiError(502, "http_502", "proxy"), False, True),
    (ApiError(504, "http_504", "proxy"), False, True),
    (Unavailable(503, "stream_damaged", "set aside"), False, False),
    (ApiError(500, "internal", "bug"), False, False),
    (NotFound(404, "unknown_stream", "none"), False, False),
    (UnexpectedReply("nonsense"), False, False),
]


def pause(
    error: ClientError,
    *,
    repeatable: bool = True,
    attempts: int = 1,
    elapsed_s: float = 0.0,
    chance: float = 0.0,
) -> float | None:
    return pause_before_retry(
        PATIENCE, error, is_repeatable=repeatable, num_attempts=attempts, elapsed_s=elapsed_s, chance=chance
    )


@pytest.mark.parametrize(("error", "without_seq", "with_seq"), TABLE, ids=lambda value: repr(value)[:50])
def test_table(*, error: ClientError, without_seq: bool, with_seq: bool) -> None:
    """Only what proves that nothing was taken is tried again without seq; with seq, doubt is no obstacle."""
    assert (pause(error, repeatable=False) is not None) == without_seq
    assert (pause(error, repeatable=True) is not None) == with_seq


def test_doubt() -> None:
    """A lost reply and a 503 leave open what was taken; a refused connection and a 429 do not."""
    assert [leaves_doubt(error) for error in (ReplyLost("x"), AWAY, FULL, ConnectionFailed("x"))] == [
        True,
        True,
        False,
        False,
    ]


def test_pauses_double_up_to_their_bound() -> None:
    """Pauses grow 1, 2, then stay at the bound of 3; chance spreads them over the upper half."""
    assert [pause(FULL, attempts=n, chance=1.0) for n in (1, 2, 3)] == [1.0, 2.0, 3.0]
    assert pause(FULL, attempts=2, chance=0.0) == 1.0


def test_retry_after_is_waited_out() -> None:
    """The pause is never shorter than what the service asked for."""
    assert pause(Overloaded(429, "overloaded", "full", retry_after_s=7.0)) == 7.5


def test_attempts_are_bounded() -> None:
    """The last allowed attempt's error stands, the one before does not."""
    assert pause(FULL, attempts=3) is not None
    assert pause(FULL, attempts=4) is None


def test_time_is_bounded() -> None:
    """A pause that would end exactly at the bound is taken, one beyond it is not."""
    assert pause(FULL, elapsed_s=9.5) == 0.5
    assert pause(FULL, elapsed_s=9.6) is None


def test_a_great_number_of_attempts_does_not_overflow() -> None:
    """Doubling stops before floating point does."""
    assert (
        pause_before_retry(
            Patience(max_attempts=10**6), FULL, is_repeatable=True, num_attempts=10**5, elapsed_s=0, chance=1
        )
        == 5.0
    )
