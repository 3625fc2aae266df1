"""Timestamps of observations: RFC 3339 (no zone means UTC, a blank may stand for the T) or epoch seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from uoro import limits
from uoro.errors import InvalidObservation

_RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(\.[0-9]{1,30})?"
    r"(?:[Zz]|([+-][0-9]{2}:[0-9]{2}))?"
)


def epoch_s(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 timestamp. Raises InvalidObservation."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise _misfit()
    day, minute, second, fraction, offset = match.groups()
    is_leap = second == "60"  # counted as the second that follows it, as the epoch does
    try:
        whole = datetime.fromisoformat(f"{day}T{minute}:{'59' if is_leap else second}{offset or ''}")
    except ValueError as error:
        raise _misfit() from error
    if whole.tzinfo is None:
        whole = whole.replace(tzinfo=UTC)
    seconds = whole.timestamp() + is_leap + (float(fraction) if fraction else 0.0)
    if abs(seconds) > limits.MAX_ABS_EPOCH_S:
        raise InvalidObservation("t is out of range", field="t")
    return seconds


def _misfit() -> InvalidObservation:
    return InvalidObservation(
        "t must be an RFC 3339 timestamp such as 2026-01-31T12:00:00Z, or epoch seconds", field="t"
    )
