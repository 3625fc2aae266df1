"""What the API needs of the rest of the service, as calls."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from uoro.domain import (
    Glance,
    KnownValues,
    Metrics,
    NamedSnapshot,
    Prediction,
    Result,
    Run,
    StreamInfo,
)
from uoro.engine.outcomes import Outcomes
from uoro.engine.subscriptions import Subscription
from uoro.learning.spec import StreamSpec


class Hub(Protocol):
    """Where results are published."""

    def bind(self, loop: AbstractEventLoop) -> None:
        """Name the event loop that subscribers live on."""

    def open(self, prefix: str = "") -> Subscription:
        """A new subscription that never hears of streams without the prefix. Raises Overloaded."""

    def follow(self, subscription: Subscription, stream: str | None) -> None:
        """Let a subscription follow one more stream, or all."""

    def unfollow(self, subscription: Subscription, stream: str | None) -> None:
        """Let a subscription follow one stream less, or none any more."""

    def close(self, subscription: Subscription) -> None:
        """Forget a subscription."""


class Engine(Protocol):
    """Owner of all streams. Any call may raise a UoroError at once or fail its future with one."""

    @property
    def hub(self) -> Hub:
        """Where results are published."""

    @property
    def auto_create(self) -> bool:
        """Whether an observation for an unknown stream creates it."""

    @property
    def is_ready(self) -> bool:
        """Whether every check is "ok"."""

    def checks(self) -> dict[str, str]:
        """By name, "ok" or what is wrong."""

    def observe(self, runs: Sequence[Run]) -> Future[Outcomes]:
        """Learn; one outcome per observation. An outcome that is an error refuses that one alone."""

    def create(self, stream: str, spec: StreamSpec, labels: dict[str, str]) -> Future[tuple[StreamInfo, bool]]:
        """The stream, and whether it was created now."""

    def delete(self, stream: str) -> Future[None]:
        """Forget a stream."""

    def set_frozen(self, stream: str, *, is_frozen: bool) -> Future[StreamInfo]:
        """Stop or resume learning."""

    def clone(self, stream: str, to: str) -> Future[StreamInfo]:
        """A second stream from this one's model."""

    def describe(self, stream: str) -> StreamInfo:
        """A stream as the catalog knows it."""

    def last_seq(self, stream: str) -> int:
        """Place of a stream's newest observation."""

    def list_streams(self, *, after: str, limit: int, prefix: str, labels: Mapping[str, str]) -> list[StreamInfo]:
        """Streams by id, from the first beyond `after`."""

    def count_streams(self, prefix: str) -> int:
        """How many streams have ids that start with a prefix."""

    def predict(self, stream: str, horizon: int) -> Future[list[Prediction] | None]:
        """The next `horizon` predictions; None before the first observation."""

    def metrics(self, stream: str) -> Future[Metrics]:
        """Streaming evaluation."""

    def results(self, stream: str, limit: int) -> Future[list[Result]]:
        """The most recent results, newest last."""

    def known_values(self, stream: str, limit: int) -> Future[KnownValues]:
        """The number targets' newest known values at the recent places."""

    def glances(self, streams: Sequence[str]) -> Future[list[Glance | None]]:
        """What a list shows of each stream; None for one that is gone or damaged."""

    def export(self, stream: str) -> Future[bytes]:
        """The whole model as a file."""

    def import_model(self, stream: str, file: bytes, *, replace: bool) -> Future[StreamInfo]:
        """A stream from such a file."""

    def save_snapshot(self, stream: str, name: str) -> Future[NamedSnapshot]:
        """Keep a named version."""

    def snapshots(self, stream: str) -> Future[list[NamedSnapshot]]:
        """The named versions."""

    def restore(self, stream: str, name: str) -> Future[StreamInfo]:
        """Go back to a named version."""


class RequestMeter(Protocol):
    """Where requests are counted. Calls are cheap and never raise."""

    def scrape(self) -> bytes:
        """All metrics in the Prometheus text format."""

    def stale(self) -> list[str]:
        """Streams with metrics of their own that learned since they were last asked for here."""

    def measured(self, stream: str, metrics: Metrics) -> None:
        """Such a stream's metrics of now."""

    def request(self, route: str, method: str, status: int, duration_s: float) -> None:
        """A request was answered; `route` is the template of its path."""

    def ingested(self, outcome: str, num: int) -> None:
        """So many samples of a remote write came to this end."""

    def rejected(self, code: str, num: int) -> None:
        """So many observations were refused before they reached the engine."""

    def refused(self, code: str) -> None:
        """A request or a websocket was refused at the door."""
