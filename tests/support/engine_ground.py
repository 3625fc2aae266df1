"""An engine on a memory shelf, driven call by call: no threads, no waiting, crashes at will."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from uoro.domain import Observation, Observed, Run
from uoro.engine.engine import Engine
from uoro.engine.meter import SilentMeter
from uoro.engine.outcomes import Outcomes
from uoro.errors import UoroError
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits
from uoro.store.memory import MemoryShelf, MemoryStore

SMALL = {
    "fields": {"v": {"type": "number"}},
    "hidden_size": 2,
    "learner": {"name": "uoro", "rank": 1},
    "aggregation": "none",
    "season": "none",
}
"""A spec whose learner is quick."""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Ground:
    """One server's life on a shelf; `crash` begins the next one."""

    def __init__(self, *, auto_create: bool = True, limits: Limits | None = None, owner: str = "me") -> None:
        self.shelf = MemoryShelf()
        self.clock = Clock()
        self.limits = limits or Limits(snapshot_interval_s=10.0)
        self.auto_create = auto_create
        self.losses: list[str] = []
        self.engine = self.begin(owner)

    def begin(self, owner: str = "me") -> Engine:
        """A new server on the same shelf, recovered; the old one is left as it is."""
        engine = Engine(
            MemoryStore(self.shelf),
            owner,
            self.limits,
            SilentMeter(),
            auto_create=self.auto_create,
            on_lost=lambda: self.losses.append(owner),
            clock=self.clock,
        )
        engine.recover()
        self.engine = engine
        self.apply()
        return engine

    crash = begin

    def work(self) -> None:
        """Commit and apply whatever waits."""
        while self.engine.committer.commit_once(0.0):
            if self.engine.committer.trouble is not None:
                break
        self.apply()

    def apply(self) -> None:
        """Apply whatever was committed, bringing the learners that it takes."""
        while self.engine.runner.apply_once(0.0) or self.engine.loader.load_once(0.0):
            pass

    def snapshot(self) -> None:
        """One pass of the snapshotter, the runner answering its reads in between."""
        copy = self.engine.runner.copy

        def copy_now(stream: str) -> Future[Any]:
            future = copy(stream)
            self.apply()
            return future

        self.engine.runner.copy = copy_now  # type: ignore[method-assign]
        try:
            self.engine.snapshotter.snapshot_once()
        finally:
            self.engine.runner.copy = copy  # type: ignore[method-assign]

    def done(self, future: Future[Any]) -> Any:
        """The outcome of a future, after working."""
        self.work()
        return future.result(timeout=0)

    def create(self, stream: str, **changes: object) -> None:
        """A stream of the small spec."""
        self.done(self.engine.create(stream, StreamSpec.parse({**SMALL, **changes}), {}))

    def observe(self, stream: str, values: Sequence[float], first_seq: int | None = None) -> list[Observed | UoroError]:
        """Post values in one request."""
        outcomes = self.done(self.engine.observe(submissions(stream, values, first_seq)))
        assert isinstance(outcomes, Outcomes)
        return list(outcomes)

    def state(self, stream: str) -> bytes:
        """The bytes of a stream's model."""
        state: bytes = self.done(self.engine.runner.read(stream, lambda _, learner: learner.dump()))
        return state

    def tighten(self, **limits: float) -> None:
        """Change limits for the engines begun from here on."""
        self.limits = dataclasses.replace(self.limits, **limits)  # type: ignore[arg-type]


def submissions(stream: str, values: Sequence[float], first_seq: int | None = None) -> list[Run]:
    """A request with observations of the field "v"."""
    observations = [
        Observation({"v": float(value)}, seq=None if first_seq is None else first_seq + place)
        for place, value in enumerate(values)
    ]
    return [Run(stream, observations, range(len(observations)))] if observations else []


def request(*observations: tuple[str, Observation]) -> list[Run]:
    """A request with observations of any streams, in this order."""
    runs: dict[str, tuple[list[Observation], list[int]]] = {}
    for place, (stream, observation) in enumerate(observations):
        run = runs.setdefault(stream, ([], []))
        run[0].append(observation)
        run[1].append(place)
    return [Run(stream, its, places) for stream, (its, places) in runs.items()]


def reference(values: Sequence[float], **changes: object) -> Learner:
    """A learner of the small spec that saw the values, with no engine around it."""
    learner = Learner.new(StreamSpec.parse({**SMALL, **changes}))
    for value in values:
        learner.observe(Observation({"v": float(value)}))
    return learner
