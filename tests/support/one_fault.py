"""One scenario of a whole service life on a real server, of whose commands one fails; and what must be true then.

The engine's loops are called one by one, so the number of commands is the same in each run, and the k-th is the k-th.
The caller behaves as a client should: it sends again what was not acknowledged, observations with their `seq`. So the
end is known, whatever failed: each observation once, in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from engine_ground import SMALL, Ground, request, submissions
from redis import Redis
from scripted_proxy import Loss, ScriptedProxy

from uoro.domain import Observation, Observed, Run
from uoro.engine.engine import Engine
from uoro.engine.meter import SilentMeter
from uoro.engine.recovery import recover
from uoro.errors import Overloaded, StoreUnavailable, Unavailable
from uoro.learning.learner import Learner
from uoro.learning.portable import from_safetensors
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits
from uoro.store.redis import RedisStore

TIMEOUT_S = 0.4
DELAY_S = 0.7
PATIENCE_S = 60.0
SHARD = "0"


class RemoteGround(Ground):
    """A ground whose store is a server behind a proxy."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stores: list[RedisStore] = []
        super().__init__(auto_create=False, limits=Limits(snapshot_interval_s=10.0, max_log_records=3))

    def begin(self, owner: str = "me") -> Engine:
        """A new server, which tries until it has recovered."""
        store = RedisStore(self.url, SHARD, timeout_s=TIMEOUT_S, lease_ttl_s=1.0)
        self.stores.append(store)
        engine = Engine(store, owner, self.limits, SilentMeter(), auto_create=False, clock=self.clock)
        patiently(engine.recover)
        self.engine = engine
        return engine

    def close(self) -> None:
        self.engine.models.close()
        for store in self.stores:
            store.close()

    def whole(self, future: Future[Any]) -> Any:
        """The outcome of a future, the engine going on meanwhile."""
        give_up = time.monotonic() + PATIENCE_S
        while not future.done():
            assert time.monotonic() < give_up
            self.work()
            time.sleep(0.001)
        return future.result(timeout=0)

    def asked(self, ask: Callable[[], Future[Any]]) -> Any:
        """The answer to what is asked until it is acknowledged."""
        return patiently(lambda: self.whole(ask()), between=self.work)

    def post(self, runs: Callable[[], Sequence[Run]]) -> None:
        """Observations with their `seq`, sent until each is acknowledged."""
        outcomes = list(self.asked(lambda: self.engine.observe(runs())))
        assert all(isinstance(its, Observed) for its in outcomes), outcomes

    def passes(self) -> None:
        """A pass of the snapshotter; one that fails is left to the next one, as in operation."""
        self.clock.now += 10.0
        patiently(self.snapshot, between=self.work)

    def stops(self) -> None:
        """The orderly end; a failure leaves it without its last snapshot, as in operation."""
        self.work()
        engine = self.engine
        engine.models.close()
        try:
            engine.snapshotter._limits = self.limits
            self.clock.now += 10.0
            self.snapshot()
            engine.ownership.release()
        except StoreUnavailable:
            return


def patiently(call: Callable[[], Any], between: Callable[[], object] = lambda: None) -> Any:
    """The result of a call that is made again while the service says that it cannot now."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except (Unavailable, Overloaded):
            assert time.monotonic() < give_up
            between()
            time.sleep(0.005)


def value(stream: str, seq: int) -> float:
    """What a stream shows at a place."""
    return float(ord(stream) * 7 + seq * seq % 23) / 3.0


def play(ground: RemoteGround) -> dict[str, Learner]:
    """The scenario; the learners that an uninterrupted life ends with."""
    spec = StreamSpec.parse(SMALL)
    twins = {stream: Learner.new(spec) for stream in "ab"}

    def post(stream: str, *seqs: int, learn: bool = True) -> None:
        ground.post(lambda: submissions(stream, [value(stream, seq) for seq in seqs], first_seq=seqs[0]))
        for seq in seqs:
            twins[stream].observe(Observation({"v": value(stream, seq)}), learn=learn)

    for stream in twins:
        ground.asked(lambda stream=stream: ground.engine.create(stream, spec, {}))  # type: ignore[misc]
    for seq in (1, 2):
        post("a", seq)
    post("b", *range(1, 21))
    ground.passes()
    ground.post(
        lambda: request(
            ("a", Observation({"v": value("a", 3)}, seq=3)), ("b", Observation({"v": value("b", 21)}, seq=21))
        )
    )
    twins["a"].observe(Observation({"v": value("a", 3)}))
    twins["b"].observe(Observation({"v": value("b", 21)}))
    ground.asked(lambda: ground.engine.set_frozen("b", is_frozen=True))
    post("b", 22, 23, learn=False)
    ground.asked(lambda: ground.engine.save_snapshot("a", "v"))
    kept = twins["a"].dump()
    ground.passes()
    post("a", 4, 5)
    ground.asked(lambda: ground.engine.restore("a", "v"))
    twins["a"] = Learner.load(spec, kept)
    post("a", 4)
    file = ground.asked(lambda: ground.engine.export("a"))
    assert from_safetensors(file).state == twins["a"].dump(), "the export differs"
    ground.passes()
    post("a", 5, 6)
    ground.passes()
    ground.stops()
    ground.begin()
    post("a", 7)
    post("b", 24, learn=False)
    return twins


def complaints(ground: RemoteGround, twins: dict[str, Learner], url: str) -> list[str]:
    """What is wrong in the living engine, and in a recovery by a line without a proxy."""
    wrong = []
    store = RedisStore(url, SHARD, timeout_s=10, lease_ttl_s=1.0)
    try:
        recovered = recover(store, 0.0)
    finally:
        store.close()
    for what, shelf in (("live", ground.engine.runner.shelf), ("recovered", recovered.shelf)):
        if set(shelf.streams) != set(twins):
            wrong.append(f"{what}: streams {sorted(shelf.streams)}")
        for stream, twin in twins.items():
            resident = shelf.streams.get(stream)
            if resident is None or resident.learner is None:
                wrong.append(f"{what}: {stream} is gone or set aside")
            elif resident.learner.seq != twin.seq:
                wrong.append(f"{what}: {stream} ends at {resident.learner.seq}, not at {twin.seq}")
            elif resident.learner.dump() != twin.dump():
                wrong.append(f"{what}: the state of {stream} is not that of an uninterrupted life")
            elif resident.is_frozen != (stream == "b"):
                wrong.append(f"{what}: {stream} is frozen: {resident.is_frozen}")
    if [its.name for its in ground.whole(ground.engine.snapshots("a"))] != ["v"]:
        wrong.append("the named snapshot is gone")
    return wrong


def run(url: str, directory: Path, nth: int | None, loss: Loss | None) -> tuple[int, list[str]]:
    """A life of which the `nth` command (from 1 on) meets a loss: how many commands it had, and what was wrong."""
    with Redis.from_url(url) as client:
        client.flushall()
        client.function_flush()
    path = directory / f"proxy-{nth}-{'' if loss is None else loss.name}.sock"
    proxy = ScriptedProxy(Path(url.removeprefix("unix://")), path, b"", DELAY_S)
    if nth is not None:
        proxy.script += [*[None] * (nth - 1), loss]
    try:
        ground = RemoteGround(proxy.url)
        twins = play(ground)
        num = proxy.num_meant
        wrong = complaints(ground, twins, url)
        if nth is not None and proxy.script:
            wrong.append(f"command {nth} never came")
        ground.close()
    finally:
        proxy.close()
        path.unlink(missing_ok=True)
    return num, wrong
