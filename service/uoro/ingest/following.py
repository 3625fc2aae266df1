"""Samples -> observations: which are new, what a counter becomes, what is missing. Pure.

Rules:
1. A series comes in order, so a sample at or before its stream's newest time was learned before: a duplicate.
2. A counter becomes its rate per second since the sample before, and from zero where it fell: it was reset. The rate
   needs two samples in a row; where the one before is not known (the first of all, the first after a restart of the
   service that was not sent again) the observation is there and its value missing, so that nothing is made up.
3. A stale marker says that a series has ended, not what it was: it is no observation, and the counter's next sample is
   a first one. Any other NaN, and infinity, came from a scrape: the observation is there and its value missing.
4. A number beyond ±MAX_ABS_NUMBER or a time beyond ±MAX_ABS_EPOCH_S is refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from uoro.domain import Observation
from uoro.limits import MAX_ABS_EPOCH_S, MAX_ABS_NUMBER

VALUE = "value"
RATE = "rate"
_STALE = struct.pack("<Q", 0x7FF0000000000002)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a series stands.

    Attributes:
        seq: place of the stream's newest observation; 0 before the first.
        newest_ms: its time, in milliseconds since the epoch; None before the first.
        reading: what the counter showed then, if that is known.
    """

    seq: int = 0
    newest_ms: int | None = None
    reading: float | None = None


@dataclass(slots=True)
class Following:
    """What new samples come to, and where they leave the series."""

    place: Place
    observations: list[Observation] = field(default_factory=list)
    num_missing: int = 0
    num_duplicates: int = 0
    num_stale: int = 0
    num_invalid: int = 0


def follow(place: Place, samples: Iterable[tuple[int, float]], kind: str) -> Following:
    """Go on from a place; `kind` is VALUE or RATE, the field that the observations fill."""
    following = Following(place)
    newest_ms, reading = place.newest_ms, place.reading
    for ms, number in samples:
        is_new = newest_ms is None or ms > newest_ms
        if is_stale(number):
            following.num_stale += 1
            reading = None if is_new else reading
        elif not is_new:
            following.num_duplicates += 1
            if ms == newest_ms and math.isfinite(number):
                reading = number
        elif abs(ms) > MAX_ABS_EPOCH_S * 1000 or (math.isfinite(number) and abs(number) > MAX_ABS_NUMBER):
            following.num_invalid += 1
        else:
            known = number if math.isfinite(number) else None
            shown = known if kind == VALUE else _rate(newest_ms, reading, ms, known)
            following.num_missing += shown is None
            following.observations.append(Observation({kind: shown}, ms / 1000, None, is_calendar=True))
            newest_ms, reading = ms, known
    following.place = Place(place.seq + len(following.observations), newest_ms, reading)
    return following


def is_stale(number: float) -> bool:
    """Whether a number is the NaN that marks the end of a series."""
    return number != number and struct.pack("<d", number) == _STALE  # noqa: PLR0124 - NaN is what does not equal itself


def _rate(before_ms: int | None, before: float | None, ms: int, now: float | None) -> float | None:
    """Growth per second; None if either end of it is not known."""
    if before_ms is None or before is None or now is None:
        return None
    rate = (now - before if now >= before else now) / ((ms - before_ms) / 1000)
    return rate if abs(rate) <= MAX_ABS_NUMBER else None
