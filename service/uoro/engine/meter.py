"""What the engine tells about itself while it works; `observability` turns it into Prometheus metrics.

Calls come from several threads and must be cheap and never raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from uoro.domain import Observation, Result


@dataclass(frozen=True, slots=True)
class Status:
    """The engine at this moment, read at each scrape.

    Attributes:
        queue_length: observations admitted and not yet in a batch.
        log_bytes: what the log takes in the store.
        streams: how many streams are in each state: "learning", "frozen", "damaged".
        resident_streams: how many learners are in memory.
        resident_bytes: what their blocks take there.
        subscribers: open subscriptions.
    """

    queue_length: int
    log_bytes: int
    streams: dict[str, int]
    resident_streams: int
    resident_bytes: int
    subscribers: int


class Meter(Protocol):
    """Events of the engine. Durations are in seconds."""

    def batch_formed(self, num_observations: int) -> None:
        """A batch of so many observations is about to be appended."""

    def appended(self, duration_s: float) -> None:
        """A record was appended and flushed."""

    def learned(
        self,
        stream: str,
        observations: Sequence[Observation],
        results: Sequence[Result],
        losses: Sequence[float],
        skill: float | None,
        duration_s: float,
    ) -> None:
        """Observations of one stream were applied in live operation, which took so long each.

        `losses` holds one per observation, NaN where there is none; `skill` is the stream's after the last one.
        Results are costly to read, and can be read at any later time.
        """

    def rejected(self, code: str, num: int) -> None:
        """So many observations were refused with a problem code, by the engine or before they reached it."""

    def numeric_reset(self, num: int) -> None:
        """Learners dropped non-finite values so many times."""

    def snapshot_written(self, duration_s: float) -> None:
        """One stream's snapshot was written and verified."""

    def brought(self, duration_s: float) -> None:
        """The learner of a cold stream was brought into memory."""

    def let_go(self) -> None:
        """A learner was let go from memory."""

    def recovered(self, duration_s: float, num_observations: int) -> None:
        """Recovery is over; so many observations were replayed."""

    def forgot(self, streams: Sequence[str]) -> None:
        """Streams were deleted; their per-stream metrics go with them."""


class SilentMeter:
    """A meter that keeps nothing."""

    def batch_formed(self, num_observations: int) -> None: ...
    def appended(self, duration_s: float) -> None: ...
    def learned(
        self,
        stream: str,
        observations: Sequence[Observation],
        results: Sequence[Result],
        losses: Sequence[float],
        skill: float | None,
        duration_s: float,
    ) -> None: ...
    def rejected(self, code: str, num: int) -> None: ...
    def numeric_reset(self, num: int) -> None: ...
    def snapshot_written(self, duration_s: float) -> None: ...
    def brought(self, duration_s: float) -> None: ...
    def let_go(self) -> None: ...
    def recovered(self, duration_s: float, num_observations: int) -> None: ...
    def forgot(self, streams: Sequence[str]) -> None: ...
