"""The engine as one caller may know it.

Rules:
1. Outside the key's prefix no stream exists: each call answers as for an id that was never used, and nothing can
   be made there. Endpoints ask this view in the same order as the engine, so that what they say does not differ.
2. What the key may send a second, and how many streams it may make, is judged here, for HTTP and websockets alike.
3. Every method of the engine is written out: one that is added there does not exist here until somebody thought
   about it, and the type checker asks.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

from uoro.api.ports import Engine, Hub, RequestMeter
from uoro.api.principal import Principal
from uoro.api.problems import RateLimited
from uoro.api.quota import OBSERVATIONS
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
from uoro.errors import UnknownStream, UoroError
from uoro.learning.spec import StreamSpec

T = TypeVar("T")


class Confined:
    """An engine for one principal. Any call may raise a UoroError at once or fail its future with one."""

    def __init__(self, engine: Engine, principal: Principal, meter: RequestMeter) -> None:
        self._engine = engine
        self._principal = principal
        self._prefix = principal.key.prefix
        self._meter = meter

    # ---------------------------------------------------------------- of no stream

    @property
    def hub(self) -> Hub:
        """Where results are published."""
        return ConfinedHub(self._engine.hub, self._principal.key.prefix)

    @property
    def auto_create(self) -> bool:
        """Whether an observation for an unknown stream creates it."""
        return self._engine.auto_create

    @property
    def is_ready(self) -> bool:
        """Whether every check is "ok"."""
        return self._engine.is_ready

    def checks(self) -> dict[str, str]:
        """By name, "ok" or what is wrong."""
        return self._engine.checks()

    # ---------------------------------------------------------------- what brings observations and streams

    def observe(self, runs: Sequence[Run]) -> Future[Outcomes]:
        """Learn those of the caller's own streams; each of the others is refused as of an unknown stream."""
        num = sum(len(run.places) for run in runs)
        try:
            self._principal.quota.take(OBSERVATIONS, num)
        except RateLimited as error:
            self._meter.refused(error.code)
            self._meter.rejected(error.code, num)
            raise
        own, refused, num_new = self._judge(runs)
        for refusal in refused.values():
            self._meter.rejected(refusal.code, 1)
        if own or not refused:
            future = self._making(num_new, lambda: self._engine.observe(own))
            return _merged(future, refused) if refused else future
        if all(isinstance(error, RateLimited) for error in refused.values()):
            raise next(iter(refused.values()))
        return _settled(refused)

    def create(self, stream: str, spec: StreamSpec, labels: dict[str, str]) -> Future[tuple[StreamInfo, bool]]:
        """The stream, and whether it was created now."""
        self._look(stream)
        return self._perhaps_making(stream, lambda: self._engine.create(stream, spec, labels))

    def clone(self, stream: str, to: str) -> Future[StreamInfo]:
        """A second stream from this one's model; both must be the caller's."""
        self.describe(stream)
        self._look(to)
        return self._perhaps_making(to, lambda: self._engine.clone(stream, to))

    def import_model(self, stream: str, file: bytes, *, replace: bool) -> Future[StreamInfo]:
        """A stream from such a file."""
        self._look(stream)
        return self._perhaps_making(stream, lambda: self._engine.import_model(stream, file, replace=replace))

    # ---------------------------------------------------------------- of one stream that exists

    def delete(self, stream: str) -> Future[None]:
        """Forget a stream."""
        self._look(stream)
        return self._engine.delete(stream)

    def set_frozen(self, stream: str, *, is_frozen: bool) -> Future[StreamInfo]:
        """Stop or resume learning."""
        self._look(stream)
        return self._engine.set_frozen(stream, is_frozen=is_frozen)

    def describe(self, stream: str) -> StreamInfo:
        """A stream as the catalog knows it."""
        self._look(stream)
        return self._engine.describe(stream)

    def last_seq(self, stream: str) -> int:
        """Place of a stream's newest observation."""
        self._look(stream)
        return self._engine.last_seq(stream)

    def predict(self, stream: str, horizon: int) -> Future[list[Prediction] | None]:
        """The next `horizon` predictions; None before the first observation."""
        self._look(stream)
        return self._engine.predict(stream, horizon)

    def metrics(self, stream: str) -> Future[Metrics]:
        """Streaming evaluation."""
        self._look(stream)
        return self._engine.metrics(stream)

    def results(self, stream: str, limit: int) -> Future[list[Result]]:
        """The most recent results, newest last."""
        self._look(stream)
        return self._engine.results(stream, limit)

    def known_values(self, stream: str, limit: int) -> Future[KnownValues]:
        """The number targets' newest known values at the recent places."""
        self._look(stream)
        return self._engine.known_values(stream, limit)

    def export(self, stream: str) -> Future[bytes]:
        """The whole model as a file."""
        self._look(stream)
        return self._engine.export(stream)

    def save_snapshot(self, stream: str, name: str) -> Future[NamedSnapshot]:
        """Keep a named version."""
        self._look(stream)
        return self._engine.save_snapshot(stream, name)

    def snapshots(self, stream: str) -> Future[list[NamedSnapshot]]:
        """The named versions."""
        self._look(stream)
        return self._engine.snapshots(stream)

    def restore(self, stream: str, name: str) -> Future[StreamInfo]:
        """Go back to a named version."""
        self._look(stream)
        return self._engine.restore(stream, name)

    # ---------------------------------------------------------------- of all streams

    def list_streams(self, *, after: str, limit: int, prefix: str, labels: Mapping[str, str]) -> list[StreamInfo]:
        """The caller's streams by id, from the first beyond `after`."""
        if prefix.startswith(self._prefix):
            return self._engine.list_streams(after=after, limit=limit, prefix=prefix, labels=labels)
        if self._prefix.startswith(prefix):
            return self._engine.list_streams(after=after, limit=limit, prefix=self._prefix, labels=labels)
        return []

    def glances(self, streams: Sequence[str]) -> Future[list[Glance | None]]:
        """What a list shows of each stream. Raises UnknownStream for one that is not the caller's."""
        for stream in streams:
            self._look(stream)
        return self._engine.glances(streams)

    def count_streams(self, prefix: str) -> int:
        """How many of the caller's streams have ids that start with a prefix."""
        if prefix.startswith(self._prefix):
            return self._engine.count_streams(prefix)
        return self._engine.count_streams(self._prefix) if self._prefix.startswith(prefix) else 0

    # ---------------------------------------------------------------- inside

    def _look(self, stream: str) -> None:
        if not stream.startswith(self._prefix):
            raise UnknownStream(stream)

    def _judge(self, runs: Sequence[Run]) -> tuple[list[Run], dict[int, UoroError], int]:
        """The runs that go on, why the others are refused, by place, and how many streams are made, at most."""
        own: list[Run] = []
        refused: dict[int, UoroError] = {}
        num_new = 0
        for run in runs:
            verdict, is_new = self._verdict(run.stream, num_new)
            num_new += is_new
            if verdict is None:
                own.append(run)
            else:
                refused.update(dict.fromkeys(run.places, verdict))
        return own, refused, num_new

    def _verdict(self, stream: str, num_new: int) -> tuple[UoroError | None, bool]:
        """Why a stream's observations are refused, if they are, and whether they would make it."""
        if not stream.startswith(self._prefix):
            return UnknownStream(stream), False
        quota = self._principal.quota
        if quota.max_streams is None or not self._engine.auto_create or self._exists(stream):
            return None, False
        try:
            quota.reserve(num_new + 1, self._count)
        except RateLimited as error:
            return error, False
        quota.release(num_new + 1)
        return None, True

    def _perhaps_making(self, stream: str, begin: Callable[[], Future[T]]) -> Future[T]:
        is_counted = self._principal.quota.max_streams is not None
        return self._making(1 if is_counted and not self._exists(stream) else 0, begin)

    def _making(self, num: int, begin: Callable[[], Future[T]]) -> Future[T]:
        """Begin what makes so many streams, within the room that there is for them."""
        if not num:
            return begin()
        quota = self._principal.quota
        quota.reserve(num, self._count)
        try:
            future = begin()
        except BaseException:
            quota.release(num)
            raise
        future.add_done_callback(lambda _: quota.release(num))
        return future

    def _count(self) -> int:
        return self._engine.count_streams(self._prefix)

    def _exists(self, stream: str) -> bool:
        try:
            self._engine.describe(stream)
        except UnknownStream:
            return False
        return True


class ConfinedHub:
    """A hub whose subscriptions hear of the streams of one prefix only."""

    def __init__(self, hub: Hub, prefix: str) -> None:
        self._hub = hub
        self._prefix = prefix

    def bind(self, loop: AbstractEventLoop) -> None:
        """Name the event loop that subscribers live on."""
        self._hub.bind(loop)

    def open(self, prefix: str = "") -> Subscription:
        """A new subscription. Raises Overloaded; UnknownStream for a prefix of others."""
        if not prefix.startswith(self._prefix) and not self._prefix.startswith(prefix):
            raise UnknownStream(prefix)
        return self._hub.open(max(self._prefix, prefix, key=len))

    def follow(self, subscription: Subscription, stream: str | None) -> None:
        """Let a subscription follow one more stream, or all; it hears only of those with its prefix."""
        self._hub.follow(subscription, stream)

    def unfollow(self, subscription: Subscription, stream: str | None) -> None:
        """Let a subscription follow one stream less, or none any more."""
        self._hub.unfollow(subscription, stream)

    def close(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._hub.close(subscription)


def _settled(refused: Mapping[int, UoroError]) -> Future[Outcomes]:
    outcomes = Outcomes()
    outcomes.errors.update(refused)
    future: Future[Outcomes] = Future()
    future.set_result(outcomes)
    return future


def _merged(told: Future[Outcomes], refused: Mapping[int, UoroError]) -> Future[Outcomes]:
    """The engine's outcomes and the refused ones."""
    merged: Future[Outcomes] = Future()

    def merge(done: Future[Outcomes]) -> None:
        error = done.exception()
        if error is not None:
            merged.set_exception(error)
            return
        outcomes = done.result()
        outcomes.errors.update(refused)
        merged.set_result(outcomes)

    told.add_done_callback(merge)
    return merged
