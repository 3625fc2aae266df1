"""Clients that ask for anything at random, remember what they heard, and send again what they cannot know."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from engine_ground import SMALL, request

from simulation.attempts import Attempt, Outcome, Posted
from simulation.server import Server
from simulation.stage import Stage
from uoro.domain import Observation, Observed
from uoro.engine.outcomes import Outcomes
from uoro.errors import OutcomeUnknown, OutOfSequence, StoreUnavailable, Unavailable, UoroError
from uoro.learning.spec import StreamSpec

STREAMS = ("a", "b", "c", "d")
SNAPSHOT_NAMES = ("v", "w")
NUM_RETRIES = 3
KINDS = {
    "one": 30,
    "array": 20,
    "many": 15,
    "create": 8,
    "delete": 3,
    "freeze": 5,
    "save": 6,
    "restore": 4,
    "export": 3,
    "import": 4,
    "clone": 3,
    "results": 4,
}


class Town(Protocol):
    """What clients know of the world."""

    stage: Stage
    history: list[Attempt]

    def serving(self) -> Server | None: ...
    def is_owner(self, server: Server) -> bool: ...


def spec_of(seed: int) -> StreamSpec:
    """A spec whose learner is quick; streams of different seeds have different states."""
    return StreamSpec.parse({**SMALL, "hidden_size": 4, "seed": seed})


class Client:
    """One client, one request after the other."""

    def __init__(self, town: Town, chance: random.Random, num_requests: int) -> None:
        self.is_over = False
        self._town = town
        self._chance = chance
        self._num_requests = num_requests
        self._last: dict[str, int] = {}
        self._files: list[bytes] = []

    def play(self) -> None:
        """All its requests."""
        for number in range(self._num_requests):
            (kind,) = self._chance.choices(list(KINDS), list(KINDS.values()))
            attempt = self._make(kind if number >= len(STREAMS) else "create")
            if number < len(STREAMS):
                attempt.stream = STREAMS[number]
            for _ in range(NUM_RETRIES):
                self._send(attempt)
                if attempt.outcome is Outcome.DONE or self._chance.random() < 0.2:
                    break
                if not isinstance(attempt.error, Unavailable) and attempt.outcome is Outcome.REFUSED:
                    break
                attempt = self._again(attempt)
        self.is_over = True

    # ---------------------------------------------------------------- asking

    def _make(self, kind: str) -> Attempt:
        chance = self._chance
        attempt = self._new(kind, chance.choice(STREAMS))
        if kind in {"one", "array", "many"}:
            attempt.kind = "observe"
            if kind == "many":
                streams = [chance.choice(STREAMS) for _ in range(chance.randint(2, 6))]
            else:
                streams = [attempt.stream] * (1 if kind == "one" else chance.randint(2, 6))
            is_given = chance.random() < 0.7
            first = {its: self._last.get(its, 0) + chance.choice([1, 1, 1, 1, 1, 1, 0, -1, 2]) for its in STREAMS}
            for stream in streams:
                seq = max(1, first[stream]) if is_given else None
                first[stream] += 1
                attempt.posted.append(self._posting(stream, seq, chance.gauss(0.0, 1.0)))
        elif kind == "create":
            attempt.spec_seed = chance.choice([0, 0, 0, 1])
        elif kind == "freeze":
            attempt.flag = chance.random() < 0.5
        elif kind in {"save", "restore"}:
            attempt.name = chance.choice(SNAPSHOT_NAMES)
        elif kind == "clone":
            attempt.name = f"clone{attempt.number}"
        elif kind == "import":
            if self._files:
                attempt.file = chance.choice(self._files)
                attempt.flag = chance.random() < 0.5
            else:
                attempt.kind = "export"
        return attempt

    def _again(self, old: Attempt) -> Attempt:
        """The same request once more; its observations are named anew."""
        attempt = self._new(old.kind, old.stream)
        attempt.posted = [self._posting(its.stream, its.seq, its.value) for its in old.posted]
        attempt.name, attempt.flag, attempt.spec_seed, attempt.file = old.name, old.flag, old.spec_seed, old.file
        return attempt

    def _new(self, kind: str, stream: str) -> Attempt:
        return Attempt(len(self._town.history), kind, stream)

    def _posting(self, stream: str, seq: int | None, value: float) -> Posted:
        return Posted(stream, seq, value, float(self._town.stage.tick()))

    def _send(self, attempt: Attempt) -> None:
        town, stage = self._town, self._town.stage
        stage.pause(lambda: town.serving() is not None)
        server = town.serving()
        assert server is not None
        attempt.number = len(town.history)
        if attempt.kind == "clone":
            attempt.name = f"clone{attempt.number}"
        town.history.append(attempt)
        attempt.began = stage.tick()
        try:
            future = self._ask(server, attempt)
            stage.wait(lambda: future.done() or not server.is_alive)
            if future.done():
                attempt.reply = future.result(timeout=0)
                attempt.outcome = Outcome.DONE
                attempt.is_of_owner = town.is_owner(server)
        except UoroError as error:
            attempt.error = error
            attempt.outcome = Outcome.UNKNOWN if self._is_open(attempt, error) else Outcome.REFUSED
        attempt.ended = stage.tick()
        self._remember(attempt)

    def _ask(self, server: Server, attempt: Attempt) -> Future[Any]:
        engine, stream = server.engine, attempt.stream
        asking: dict[str, Callable[[], Future[Any]]] = {
            "observe": lambda: engine.observe(
                request(*((its.stream, Observation({"v": its.value}, its.t, its.seq)) for its in attempt.posted))
            ),
            "create": lambda: engine.create(stream, spec_of(attempt.spec_seed), {"made": str(attempt.number)}),
            "delete": lambda: engine.delete(stream),
            "freeze": lambda: engine.set_frozen(stream, is_frozen=attempt.flag),
            "save": lambda: engine.save_snapshot(stream, attempt.name),
            "restore": lambda: engine.restore(stream, attempt.name),
            "export": lambda: engine.export(stream),
            "import": lambda: engine.import_model(stream, attempt.file, replace=attempt.flag),
            "clone": lambda: engine.clone(stream, attempt.name),
            "results": lambda: engine.results(stream, 8),
        }
        return asking[attempt.kind]()

    def _is_open(self, attempt: Attempt, error: UoroError) -> bool:
        # A named snapshot is read back after it is written, so that any failure of the store leaves it open.
        return isinstance(error, OutcomeUnknown) or (attempt.kind == "save" and isinstance(error, StoreUnavailable))

    def _remember(self, attempt: Attempt) -> None:
        """What a client learns of the streams' ends, from replies and refusals."""
        reply = attempt.reply
        if isinstance(reply, Outcomes):
            for posted, outcome in zip(attempt.posted, reply, strict=True):
                if isinstance(outcome, Observed):
                    self._last[posted.stream] = outcome.seq
                elif isinstance(outcome, OutOfSequence):
                    self._last[posted.stream] = outcome.expected_seq - 1
                else:
                    self._last.pop(posted.stream, None)
        elif attempt.kind == "export" and isinstance(reply, bytes):
            self._files = [*self._files, reply][-3:]
