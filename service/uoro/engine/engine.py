"""The engine of one shard: it admits, logs, applies, answers, publishes, snapshots and recovers.

Threads, each a loop around one call: the committer (queue → record on disk), the workers of the runner (record →
learners → answers), the loader (learners in and out of memory), the snapshotter, and the keeper of the lease. Tests
make the same calls without threads.

    submit ─► Queue ─► Committer ═ append ═► Runner ─► futures, Hub, Meter
                                            ▲ ▲ └─ copies ─► Snapshotter ═► store
                                        reads └─── Loader ◄═════════════════╯
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Event, Thread
from typing import Any, TypeVar

from uoro import limits as bounds
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
from uoro.engine.catalog import Catalog
from uoro.engine.committer import Committer
from uoro.engine.entries import Entry
from uoro.engine.loader import Loader
from uoro.engine.meter import Meter, Status
from uoro.engine.models import Models
from uoro.engine.operations import (
    CreateRequest,
    DeleteRequest,
    FreezeRequest,
    ObserveRequest,
    Operation,
    Request,
)
from uoro.engine.outcomes import Outcomes
from uoro.engine.ownership import Ownership
from uoro.engine.planner import Planner
from uoro.engine.queue import Queue
from uoro.engine.recovery import Recovery
from uoro.engine.runner import Runner
from uoro.engine.snapshotter import Snapshotter
from uoro.engine.specs import state_bytes
from uoro.engine.subscriptions import Hub
from uoro.engine.warmup import WarmUp
from uoro.errors import (
    CorruptRecord,
    NotReady,
    StaleEpoch,
    StoreUnavailable,
    Unavailable,
    UnknownStream,
    UoroError,
)
from uoro.learning.glance import glance, known_values
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits
from uoro.store.protocol import Store

_log = logging.getLogger(__name__)

TICK_S = 0.2
RUNNING = "running"
DRAINING = "draining"

T = TypeVar("T")


class Engine:
    """One shard of the service. All public methods may be called from any thread.

    Args:
        store: where its log and snapshots live.
        owner: this server's name; the same name gets the shard back at once after a crash.
        limits: of the deployment.
        meter: told of everything that happens.
        auto_create: create unknown streams on their first observation.
        on_lost: called if another owner takes the shard, or a thread fails; the server must then stop.
        clock: seconds, monotonic.
        warm_up: compiles what learners need, beside recovery.
        num_runners: threads that apply records.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        limits: Limits,
        meter: Meter,
        *,
        auto_create: bool,
        on_lost: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        warm_up: WarmUp | None = None,
        num_runners: int = 1,
    ) -> None:
        self.meter = meter
        self.auto_create = auto_create
        self.hub = Hub(limits.max_subscribers, limits.max_subscriber_messages)
        self.catalog = Catalog()
        self.queue = Queue(limits)
        self.ownership = Ownership(store, owner, on_lost)
        self.runner = Runner(
            self.catalog.damaged,
            meter,
            self.hub,
            limits,
            on_deleted=self._forget,
            on_room=self.queue.wake,
            clock=clock,
            num_workers=num_runners,
        )
        self.catalog.resident = self.runner.residency
        planner = Planner(limits, state_bytes, auto_create=auto_create)
        self.committer = Committer(store, self.ownership, self.queue, planner, self.catalog, self.runner, meter, clock)
        self.snapshotter = Snapshotter(store, self.ownership, self.runner, meter, limits, clock)
        self.loader = Loader(store, self.runner, self.snapshotter, meter)
        self.models = Models(store, self.catalog, self.runner, self.snapshotter, self._submit)
        self._store = store
        self._limits = limits
        self._clock = clock
        self._on_lost = on_lost
        self._warm_up = warm_up
        self._num_runners = num_runners
        self._phase = "not started"
        self._stopping = Event()  # the committer, the snapshotter and the keeper end
        self._drained = Event()  # and then the runner and the loader, which the last snapshots still need
        self._recovery: Recovery | None = None
        self._threads: list[Thread] = []
        self._runners: list[Thread] = []

    # ---------------------------------------------------------------- life

    @property
    def is_ready(self) -> bool:
        """Whether observations are taken."""
        return all(reason == "ok" for reason in self.checks().values())

    def checks(self) -> dict[str, str]:
        """By name, "ok" or the reason why not."""
        trouble = self.committer.trouble
        lost = "another server has taken this shard"
        return {
            "engine": "ok" if self._phase == RUNNING else self._phase,
            "ownership": lost if self.ownership.is_lost else "ok",
            "store": "ok" if trouble is None else trouble,
            "kernel": "ok" if self._warm_up is None else self._warm_up.state(),
        }

    def recover(self) -> None:
        """Take the shard, read the headings of its streams, and hand the log behind them to the runner.

        Raises Unavailable, StoreUnavailable, and then may be called again; CorruptRecord, StaleEpoch.
        """
        start = time.perf_counter()
        recovery = self._recovery
        if recovery is None:
            self._phase = "waiting for the store"
            self.ownership.acquire()
            self._phase = "recovering"
            recovery = self._recovery = Recovery.begin(self._store, self._clock())
            self.runner.begin(recovery.shelf, recovery.bounds.first - 1)
            self.catalog.damaged.update(recovery.catalog.damaged)
        try:
            recovery.follow(self._replay)
        except CorruptRecord:
            self.ownership.renew()  # refused if another server took the shard, and trimmed what was to be read
            raise
        self.committer.position = recovery.bounds.next
        self.snapshotter.begin(recovery.marks, recovery.bounds)
        for stream in recovery.ended:
            self.snapshotter.forget(stream)
        for stream, known in recovery.catalog:
            self.catalog.put(stream, known)
        self.catalog.damaged.update(recovery.unreadable)
        _log.info(
            "recovered %d streams, %d observations to replay, in %.2f s",
            len(self.catalog), recovery.num_observations, time.perf_counter() - start,
        )  # fmt: skip
        self.loader.begin()
        self.runner.once_settled(lambda: self._replayed(start))
        self._recovery = None
        self._phase = RUNNING

    def _replay(self, position: int, entries: list[Entry]) -> None:
        if position % 1000 == 0:
            self._phase = f"recovering: record {position}"
        self.runner.replay(position, entries)

    def _replayed(self, start: float) -> None:
        duration_s, num_observations = time.perf_counter() - start, self.runner.num_replayed
        self.meter.recovered(duration_s, num_observations)
        _log.info("replayed %d observations in %.2f s", num_observations, duration_s)

    def start(self) -> None:
        """Recover on a thread of its own, then run; `is_ready` tells when. Tries again while the store is away."""
        if self._warm_up is not None:
            self._warm_up.start()
        self._threads.append(_spawn("keeper", self._run))

    def stop(self) -> None:
        """Drain: take nothing new, finish what was admitted, snapshot what changed, give the shard up."""
        was_running = self._phase == RUNNING
        deadline = self._clock() + self._limits.drain_timeout_s
        if was_running:
            self._phase = DRAINING
            while len(self.queue) and self._clock() < deadline and not self.ownership.is_lost:
                time.sleep(0.01)
        self._stopping.set()
        for thread in self._threads:
            thread.join(max(0.1, deadline - self._clock()))
        for operation in self.queue.drain():
            operation.fail(NotReady("the server is stopping"))
        self.models.close()
        if was_running and not self.ownership.is_lost:
            self._leave(deadline)
        self._drained.set()
        for thread in self._runners:
            thread.join(max(0.1, deadline - self._clock()))
        self._phase = "stopped"

    # ---------------------------------------------------------------- writes

    def observe(self, runs: Sequence[Run]) -> Future[Outcomes]:
        """Predict, then learn. One outcome per observation; all go into one record.

        An outcome that is an error refuses that observation alone. Raises Overloaded, Unavailable at once; the
        future fails with Unavailable.
        """
        request = ObserveRequest(runs)
        try:
            return self._submit(request)
        except UoroError as error:
            self.meter.rejected(error.code, request.num_observations)
            raise

    def create(self, stream: str, spec: StreamSpec, labels: dict[str, str]) -> Future[tuple[StreamInfo, bool]]:
        """A new stream; False if the same one was there. Raises InvalidSpec; fails with StreamExists, Overloaded."""
        return self._submit(CreateRequest(stream, spec, labels, state_bytes(spec)))

    def delete(self, stream: str) -> Future[None]:
        """Forget a stream, its log and its snapshots. Fails with UnknownStream."""
        return self._submit(DeleteRequest(stream))

    def set_frozen(self, stream: str, *, is_frozen: bool) -> Future[StreamInfo]:
        """Stop or resume learning. Fails with UnknownStream."""
        return self._submit(FreezeRequest(stream, is_frozen))

    def import_model(self, stream: str, file: bytes, *, replace: bool) -> Future[StreamInfo]:
        """A stream from an exported file. Fails with InvalidImport, StreamExists, Overloaded."""
        self._check_writable()
        return self.models.import_(stream, file, may_replace=replace)

    def clone(self, stream: str, to: str) -> Future[StreamInfo]:
        """A second stream from this one's model. Fails with UnknownStream, StreamExists, Overloaded."""
        self.describe(stream)
        self._check_writable()
        return self.models.clone(stream, to)

    def save_snapshot(self, stream: str, name: str) -> Future[NamedSnapshot]:
        """Keep the model as it is now under a name. Fails with UnknownStream, InvalidRequest."""
        self.describe(stream)
        self._check_writable()
        return self.models.save(stream, name)

    def restore(self, stream: str, name: str) -> Future[StreamInfo]:
        """Roll the whole model back to a named snapshot. Fails with UnknownStream, UnknownSnapshot."""
        self.describe(stream)
        self._check_writable()
        return self.models.restore(stream, name)

    # ---------------------------------------------------------------- reads

    def describe(self, stream: str) -> StreamInfo:
        """What a stream is. Raises UnknownStream."""
        self._check_phase()
        known = self.catalog.get(stream)
        if known is None:
            raise UnknownStream(stream)
        return self.catalog.describe(stream, known)

    def last_seq(self, stream: str) -> int:
        """Place of the newest observation in the log. Raises UnknownStream."""
        known = self.catalog.get(stream)
        if known is None:
            raise UnknownStream(stream)
        return known.last_seq

    def list_streams(self, *, after: str, limit: int, prefix: str, labels: Mapping[str, str]) -> list[StreamInfo]:
        """Streams with ids above `after`, in order, that have the prefix and all labels."""
        self._check_phase()
        return self.catalog.page(after=after, limit=limit, prefix=prefix, labels=labels)

    def count_streams(self, prefix: str) -> int:
        """How many streams have ids that start with a prefix."""
        self._check_phase()
        return self.catalog.count(prefix)

    def predict(self, stream: str, horizon: int) -> Future[list[Prediction] | None]:
        """The next `horizon` steps; None before the first observation."""
        return self._read(stream, lambda learner: learner.predict(horizon))

    def metrics(self, stream: str) -> Future[Metrics]:
        """How well the stream is predicted."""
        return self._read(stream, Learner.metrics)

    def results(self, stream: str, limit: int) -> Future[list[Result]]:
        """The most recent results, newest last."""
        return self._read(stream, lambda learner: learner.results(limit))

    def known_values(self, stream: str, limit: int) -> Future[KnownValues]:
        """The number targets' newest known values at the recent places."""
        return self._read(stream, lambda learner: known_values(learner, limit))

    def glances(self, streams: Sequence[str]) -> Future[list[Glance | None]]:
        """What a list shows of each stream, at most MAX_GLANCES of them; None for one that is gone or damaged."""
        self._check_phase()
        return self.runner.read_several(streams[: bounds.MAX_GLANCES], glance)

    def export(self, stream: str) -> Future[bytes]:
        """The whole model as one safetensors file. Fails with UnknownStream, StreamDamaged."""
        self.describe(stream)
        return self.models.export(stream)

    def snapshots(self, stream: str) -> Future[list[NamedSnapshot]]:
        """All named snapshots of a stream, by name. Fails with UnknownStream, StoreUnavailable."""
        self.describe(stream)
        return self.models.saved(stream)

    def status(self) -> Status:
        """The engine at this moment."""
        return Status(
            queue_length=len(self.queue),
            log_bytes=self.snapshotter.bounds.size_bytes,
            streams=self.catalog.states(),
            resident_streams=len(self.runner.residency),
            resident_bytes=self.runner.residency.nbytes,
            subscribers=len(self.hub),
        )

    # ---------------------------------------------------------------- inside

    def _submit(self, request: Request) -> Future[Any]:
        self._check_writable()
        operation = Operation(request)
        self.queue.admit(operation, self._clock())
        return operation.future

    def _check_writable(self) -> None:
        self._check_phase()
        if self._phase != RUNNING:
            raise NotReady(f"the server is {self._phase}")
        if self.committer.trouble is not None:
            raise StoreUnavailable(self.committer.trouble)

    def _read(self, stream: str, call: Callable[[Learner], T]) -> Future[T]:
        self._check_phase()
        self.last_seq(stream)
        return self.runner.read(stream, lambda _, learner: call(learner))

    def _check_phase(self) -> None:
        if self.ownership.is_lost:
            raise StaleEpoch("another server has taken this shard; this one stops")
        if self._phase not in {RUNNING, DRAINING}:
            raise NotReady(f"the server is {self._phase}")

    def _forget(self, stream: str) -> None:
        self.snapshotter.forget(stream)

    def _run(self) -> None:
        """Recover, start the other threads, then keep the lease."""
        self._runners = [
            self._loop(f"runner-{number}", lambda: self.runner.apply_once(TICK_S), until=self._drained)
            for number in range(self._num_runners)
        ]
        self._runners.append(self._loop("loader", lambda: self.loader.load_once(TICK_S), until=self._drained))
        while not self._stopping.is_set() and not self.ownership.is_lost:
            try:
                self.recover()
                break
            except (StoreUnavailable, Unavailable) as error:
                self._phase = f"waiting for the store: {error}"
                _log.warning("%s", self._phase)
            except CorruptRecord as error:
                self._phase = f"the log cannot be read: {error}"
                _log.critical("%s", self._phase)
                return
            self._stopping.wait(TICK_S)
        else:
            return
        self._threads += [
            self._loop("committer", lambda: self.committer.commit_once(TICK_S), until=self._stopping),
            self._loop("snapshotter", self._snapshot, until=self._stopping),
        ]
        while not self._stopping.wait(self._limits.lease_ttl_s / 3) and not self.ownership.is_lost:
            try:
                self.ownership.renew()
            except (StoreUnavailable, StaleEpoch) as error:
                _log.warning("the lease was not renewed: %s", error)

    def _loop(self, name: str, once: Callable[[], object], *, until: Event) -> Thread:
        def loop() -> None:
            try:
                while not until.is_set():  # also once the shard is lost: whoever waits has to be answered
                    once()
            except Exception:  # noqa: BLE001 - logged with its traceback; the server stops
                _log.critical("the %s thread ended; the server cannot go on", name, exc_info=True)
                self._phase = f"broken: its {name} has failed"
                self._on_lost()

        return _spawn(name, loop)

    def _snapshot(self) -> None:
        self._stopping.wait(min(1.0, self._limits.snapshot_interval_s / 4))
        if self._stopping.is_set() or self.ownership.is_lost or self.committer.trouble is not None:
            return
        try:
            self.snapshotter.snapshot_once()
        except (StoreUnavailable, StaleEpoch) as error:
            _log.warning("snapshots wait: %s", error)

    def _leave(self, deadline: float) -> None:
        """With nothing more to commit: let the runner finish, snapshot what changed, give the shard up."""
        try:
            if self.runner.settle(max(0.0, deadline - self._clock())):
                self.snapshotter.snapshot_once(is_last=True, until_s=deadline)
            self.ownership.release()
        except (StoreUnavailable, StaleEpoch) as error:
            _log.warning("left without a last snapshot (the log has everything): %s", error)


def _spawn(name: str, call: Callable[[], None]) -> Thread:
    thread = Thread(target=call, name=f"uoro-{name}", daemon=True)
    thread.start()
    return thread
