"""One life of a server: an engine whose threads are actors, and whose waits give way instead of blocking."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from simulation.disk import SimulatedStore
from simulation.stage import Stage, Turnstile
from uoro.engine.engine import DRAINING, RUNNING, Engine
from uoro.engine.meter import SilentMeter
from uoro.engine.models import NUM_THREADS
from uoro.engine.runner import Runner
from uoro.errors import CorruptRecord, StaleEpoch, StoreUnavailable, Unavailable, UoroError
from uoro.limits import Limits

T = TypeVar("T")

NUM_RUNNERS = 2


class Server:
    """An engine on the stage.

    Args:
        reach: called at each named point of the walk of an observation.
        on_broken: told why, if a thread of the engine ends by an error.
        on_lost: another server has taken the shard.
    """

    def __init__(
        self,
        stage: Stage,
        store: SimulatedStore,
        owner: str,
        limits: Limits,
        clock: Callable[[], float],
        reach: Callable[[str], None],
        on_broken: Callable[[str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.stage = stage
        self.store = store
        self.owner = owner
        self.is_alive = True
        self.is_recovered = False
        self._is_stopping = False
        self._num_loops = 0
        self._clock = clock
        self._limits = limits
        self._on_broken = on_broken
        self._meter = PointedMeter(reach)
        self.engine = engine = Engine(
            store, owner, limits, self._meter, auto_create=False, on_lost=on_lost, clock=clock, num_runners=NUM_RUNNERS
        )
        self._meter.runner = engine.runner
        engine.ownership._fencing = Turnstile(stage)  # type: ignore[assignment]
        engine.snapshotter._writing = Turnstile(stage)  # type: ignore[assignment]
        engine.snapshotter._runner = PatientRunner(stage, engine.runner)  # type: ignore[assignment]
        engine.runner._room = Room(stage, engine.runner._lock)  # type: ignore[assignment]
        engine.runner.settle = self._settle  # type: ignore[method-assign]
        models = engine.models
        models.close()
        self._pool = Pool(stage, self)
        models._pool = self._pool  # type: ignore[assignment]
        models._runner = engine.snapshotter._runner
        models._submit = lambda request: Awaited(stage, engine._submit(request))  # type: ignore[assignment, return-value]
        stage.enter(self, f"{owner} keeper", self._keep)

    @property
    def is_serving(self) -> bool:
        """Whether clients can ask it."""
        return self.is_alive and self.is_recovered and not self.stage.is_suspended(self)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be committed or applied."""
        engine = self.engine
        is_quiet = not len(engine.runner._lanes) and not self._has_to_load()
        return not len(engine.queue) and is_quiet and engine.committer.trouble is None

    def _has_to_load(self) -> bool:
        runner = self.engine.runner
        return bool(runner._parked) or bool(self.engine.loader._ahead) or runner.residency.is_over

    def crash(self) -> None:
        """Gone at this very point; does not return if one of its own actors calls it."""
        self.is_alive = False
        self.stage.sweep(self)

    def stop(self) -> None:
        """The orderly end, as `Engine.stop` makes it."""
        engine = self.engine
        engine._phase = DRAINING
        self.stage.wait(lambda: not len(engine.queue) or not self.is_alive)
        self._is_stopping = True
        self.stage.wait(lambda: self._num_loops == 0 or not self.is_alive)
        if not self.is_alive:
            return
        for operation in engine.queue.drain():
            operation.fail(UoroError("the server is stopping"))
        if not engine.ownership.is_lost:
            # An actor of the server's own, so that a crash finds it amid the last snapshots, too.
            leaving = self.stage.enter(self, f"{self.owner} leaving", lambda: engine._leave(float("inf")))
            self.stage.wait(lambda: leaving.is_over or not self.is_alive)
        if self.is_alive:
            self.crash()

    def _settle(self, _: float) -> bool:
        self.stage.wait(lambda: not len(self.engine.runner._lanes))
        return True

    def _keep(self) -> None:
        """Recover, begin the other loops, keep the lease."""
        engine = self.engine
        while not engine.ownership.is_lost:
            try:
                engine.recover()
                break
            except (StoreUnavailable, Unavailable):
                self.stage.pause()
            except CorruptRecord as error:
                self._on_broken(f"the log cannot be read: {error}")
                return
        else:
            return
        assert engine._phase == RUNNING
        self.is_recovered = True
        queue, committer, runner = engine.queue, engine.committer, engine.runner
        self._loop(
            "committer",
            lambda: bool(len(queue)) or committer.trouble is not None,
            lambda: committer.commit_once(0.0),
        )
        for _ in range(NUM_RUNNERS):
            self._loop("runner", lambda: bool(runner._lanes._ready), lambda: runner.apply_once(0.0), is_last=True)
        self._loop("loader", self._has_to_load, lambda: engine.loader.load_once(0.0), is_last=True)
        self._snapshot_at = self._clock()
        self._loop("snapshotter", lambda: self._clock() >= self._snapshot_at, self._snapshot)
        self._renew_at = self._clock()
        self._loop("keeper", lambda: self._clock() >= self._renew_at, self._renew)

    def _loop(
        self, name: str, is_due: Callable[[], bool], once: Callable[[], object], *, is_last: bool = False
    ) -> None:
        engine = self.engine

        def loop() -> None:
            try:
                while not (self._is_stopping and not is_last) and not engine.ownership.is_lost:
                    self.stage.pause(lambda: is_due() or (self._is_stopping and not is_last))
                    if is_due():
                        once()
            except Exception as error:  # noqa: BLE001 - told, and the judge reports it
                self._on_broken(f"the {name} ended: {type(error).__name__}: {error}")
            self._num_loops -= not is_last

        self._num_loops += not is_last
        self.stage.enter(self, f"{self.owner} {name}", loop)

    def _snapshot(self) -> None:
        self._snapshot_at = self._clock() + min(1.0, self._limits.snapshot_interval_s / 4)
        if self.engine.committer.trouble is not None:
            return
        try:
            self.engine.snapshotter.snapshot_once()
        except (StoreUnavailable, StaleEpoch):
            return

    def _renew(self) -> None:
        self._renew_at = self._clock() + self._limits.lease_ttl_s / 3
        try:
            self.engine.ownership.renew()
        except (StoreUnavailable, StaleEpoch):
            return


class PointedMeter(SilentMeter):
    """Hears of everything, and so knows where the walk of an observation is."""

    def __init__(self, reach: Callable[[str], None]) -> None:
        self._reach = reach
        self.runner: Runner | None = None

    def batch_formed(self, *_: object) -> None:
        self._reach("planned, before the append")

    def appended(self, *_: object) -> None:
        self._reach("appended, before the catalog and the learners")

    def learned(self, *_: object) -> None:
        assert self.runner is not None
        num_left = sum(record.num_left for record in self.runner._records)
        self._reach("amid a record" if num_left > 1 else "applied, before the reply")

    def forgot(self, *_: object) -> None:
        self._reach("stream ended, before its snapshots go")

    def snapshot_written(self, *_: object) -> None:
        self._reach("snapshot written, before the trim")


class Awaited:
    """A future whose `result` lets others play."""

    def __init__(self, stage: Stage, future: Future[Any]) -> None:
        self._stage = stage
        self._future = future

    def result(self) -> Any:
        self._stage.wait(self._future.done)
        return self._future.result(timeout=0)


class PatientRunner:
    """The runner, as those know it who wait for its reads."""

    def __init__(self, stage: Stage, runner: Runner) -> None:
        self._stage = stage
        self._runner = runner

    def read(self, *arguments: Any) -> Awaited:
        return Awaited(self._stage, self._runner.read(*arguments))

    def copy(self, *arguments: Any) -> Awaited:
        return Awaited(self._stage, self._runner.copy(*arguments))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


class Room:
    """The runner's condition "there is room", waited for by letting others play."""

    def __init__(self, stage: Stage, lock: Any) -> None:
        self._stage = stage
        self._lock = lock
        self._num_notified = 0

    def wait(self) -> None:
        before = self._num_notified
        self._lock.release()
        try:
            self._stage.pause(lambda: self._num_notified > before)
        finally:
            self._lock.acquire()

    def notify(self) -> None:
        self._num_notified += 1


class Pool:
    """Threads for whole models, as actors."""

    def __init__(self, stage: Stage, company: object) -> None:
        self._stage = stage
        self._company = company
        self._num_busy = 0

    def submit(self, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def work() -> None:
            self._stage.wait(lambda: self._num_busy < NUM_THREADS)
            self._num_busy += 1
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
                future.set_exception(error)
            self._num_busy -= 1

        self._stage.enter(self._company, "models", work)
        return future

    def shutdown(self, **_: object) -> None:
        """Its actors go with their company."""
