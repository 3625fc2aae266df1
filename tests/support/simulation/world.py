"""One piece: a disk, servers that come and go, clients, and a nemesis; everything follows from the seed.

python -m pytest tests/scenarios/test_simulation.py -k one_seed      with UORO_SIMULATION_SEED=<seed>
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from simulation.attempts import Attempt
from simulation.clients import Client
from simulation.disk import Disk, SimulatedStore
from simulation.server import Server
from simulation.stage import Stage
from uoro.limits import Limits
from uoro.store.memory import MemoryStore

TURN_S = 0.01
MAX_TURNS = 30_000
LEASE_S = 2.0


STRIKES = ("crash", "away", "store crash", "take over", "suspend", "deliver", "deliver", "damage", "stop")
"""What the nemesis may do."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a world is built of; the controls put something worse in its place."""

    disk: type[Disk] = Disk
    inner: type[MemoryStore] = MemoryStore
    store: type[SimulatedStore] = SimulatedStore


SOUND = Parts()


@dataclass(slots=True)
class Doom:
    """A crash at the `nth` time that a point is reached (from 1 on)."""

    point: str
    nth: int


@dataclass(slots=True)
class Temper:
    """How rough a world is; drawn from its seed."""

    mishap_share: float
    crash_share: float
    switch_share: float
    nemesis_share: float
    limits: Limits
    num_clients: int
    num_requests: int
    strikes: tuple[str, ...] = STRIKES

    @classmethod
    def draw(cls, chance: random.Random) -> Temper:
        return cls(
            mishap_share=chance.choice([0.0, 0.02, 0.1]),
            crash_share=chance.choice([0.0, 0.002, 0.01]),
            switch_share=chance.choice([0.1, 0.5, 1.0]),
            nemesis_share=chance.choice([0.0, 0.005, 0.02]),
            limits=Limits(
                snapshot_interval_s=chance.choice([0.2, 1.0, 5.0]),
                max_log_records=chance.choice([5, 1000]),
                max_batch_observations=chance.choice([4, 512]),
                max_queue_observations=chance.choice([10, 1000]),
                max_unapplied_batches=chance.choice([1, 64]),
                max_unapplied_observations=chance.choice([4, 1000]),
                lease_ttl_s=LEASE_S,
            ),
            num_clients=chance.randint(1, 4),
            num_requests=chance.randint(10, 40),
        )

    @classmethod
    def calm(cls, mishap_share: float = 0.0, nemesis_share: float = 0.0, strikes: tuple[str, ...] = ()) -> Temper:
        """Nothing befalls anyone but what a test asks for; snapshots and trims are frequent."""
        limits = Limits(snapshot_interval_s=0.2, max_log_records=5, lease_ttl_s=LEASE_S)
        return cls(mishap_share, 0.0, 0.5, nemesis_share, limits, num_clients=2, num_requests=60, strikes=strikes)


@dataclass(slots=True)
class Piece:
    """What was played, for the judge.

    Attributes:
        broken: what must never happen in a server, and happened.
        reached: how often each named point was.
        crashed: how often a server died at each named point.
        passed_at_crash: for each crash, how often each point had been reached.
    """

    seed: int
    disk: Disk
    history: list[Attempt]
    server: Server | None
    broken: list[str]
    reached: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    passed_at_crash: list[Counter[str]] = field(default_factory=list)

    def digest(self) -> str:
        """The same for the same piece."""
        told = [f"{its.began} {its.ended} {its.outcome} {its.error}" for its in self.history]
        records = [(its.position, its.tick, its.payload) for its in self.disk.ledger]
        return hashlib.sha256(repr((told, records, sorted(self.reached.items()))).encode()).hexdigest()


class World:
    """Everything of one piece.

    Args:
        parts: what it is built of.
        dooms: crashes at named points, beside those that are drawn.
        temper: how rough it is; drawn if left out.
    """

    def __init__(
        self, seed: int, parts: Parts = SOUND, dooms: Sequence[Doom] = (), temper: Temper | None = None
    ) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.temper = temper or Temper.draw(self.chance)
        self.now = 0.0
        self.stage = Stage(self.chance, self._pass)
        self.history: list[Attempt] = []
        self.disk = parts.disk(self.chance, self.temper.mishap_share, self.stage.tick, lambda: self.now, self._sleep)
        self.servers: list[Server] = []
        self.reached: Counter[str] = Counter()
        self.crashed: Counter[str] = Counter()
        self.broken: list[str] = []
        self._parts = parts
        self._dooms = dooms
        self._is_calm = False
        self._num_owners = 0
        self._passed_at_crash: list[Counter[str]] = []

    def play(self) -> Piece:
        """From an empty disk to the end, when all clients have heard everything and every wound is closed."""
        self._begin(is_new=True)
        clients = [Client(self, self.chance, self.temper.num_requests) for _ in range(self.temper.num_clients)]
        for number, client in enumerate(clients):
            self.stage.enter(client, f"client {number}", client.play)
        if not self.stage.play(lambda: all(client.is_over for client in clients), MAX_TURNS):
            self.broken.append(f"stuck: {self.stage.waiting()} in turn {self.stage.turns}")
        self._heal()
        if not self.stage.play(self._is_quiet, MAX_TURNS):
            self.broken.append(f"no rest: {self.stage.waiting()} in turn {self.stage.turns}")
        return Piece(
            self.seed,
            self.disk,
            self.history,
            self._owner(),
            self.broken,
            self.reached,
            self.crashed,
            self.stage.turns,
            self._passed_at_crash,
        )

    # ---------------------------------------------------------------- for clients

    def serving(self) -> Server | None:
        """Some server that answers, also one that does not know yet that it is deposed."""
        serving = [server for server in self.servers if server.is_serving]
        return self.chance.choice(serving) if serving else None

    def is_owner(self, server: Server) -> bool:
        """Whether the shard is its."""
        return server.engine.ownership._epoch >= self.disk.shelf.since

    # ---------------------------------------------------------------- the course of things

    def _pass(self) -> None:
        self.now += TURN_S
        if not self._is_calm and self.chance.random() < self.temper.nemesis_share:
            self.stage.enter(self, "nemesis", self._strike)
        if not self.servers:
            self._begin(is_new=self.chance.random() < 0.5)

    def _sleep(self, seconds: float) -> None:
        end = self.now + seconds
        self.stage.pause(lambda: self.now >= end)

    def _begin(self, *, is_new: bool) -> Server:
        """A server on the disk, under the name of the one before or a new one."""
        self._num_owners += is_new

        def reach(point: str) -> None:
            self._reach(server, point)

        def on_lost() -> None:
            self.stage.enter(self, "end of the deposed", lambda: self._end(server))

        inner = self._parts.inner(self.disk.shelf, lease_ttl_s=LEASE_S)
        store = self._parts.store(self.disk, inner, reach)
        server = Server(
            self.stage,
            store,
            f"owner{self._num_owners}",
            self.temper.limits,
            lambda: self.now,
            reach,
            self.broken.append,
            on_lost,
        )
        self.servers.append(server)
        return server

    def _reach(self, server: Server, point: str) -> None:
        """A server is at a named point: it may die here, or others may play."""
        self.reached[point] += 1
        is_doomed = any(doom.point == point and doom.nth == self.reached[point] for doom in self._dooms)
        if is_doomed or (not self._is_calm and self.chance.random() < self.temper.crash_share):
            self.crashed[point] += 1
            self._crash(server)
        if self.chance.random() < self.temper.switch_share:
            self.stage.pause()

    def _crash(self, server: Server) -> None:
        self._passed_at_crash.append(self.reached.copy())
        if server in self.servers:
            self.servers.remove(server)
        server.crash()

    def _end(self, server: Server) -> None:
        """A server that lost the shard goes on for a moment and then ends."""
        end = self.now + self.chance.random()
        self.stage.pause(lambda: self.now >= end)
        if server.is_alive:
            self._crash(server)

    def _strike(self) -> None:
        what = self.chance.choice(self.temper.strikes)
        self.crashed[f"nemesis: {what}"] += 1
        server = self.chance.choice(self.servers) if self.servers else None
        if what == "deliver":
            self.disk.deliver_one()
        elif what == "damage":
            self.disk.damage_a_generation()
        elif what in {"away", "store crash"} and not self.disk.shelf.is_away:
            if what == "away":
                self.disk.shelf.is_away = True
            else:
                self.disk.crash()
            self._sleep(self.chance.uniform(0.0, 2.0))
            self.disk.shelf.is_away = False
        elif server is None:
            return
        elif what == "crash":
            self._crash(server)
        elif what == "stop" and server.is_serving:
            server.stop()
            if server in self.servers:
                self.servers.remove(server)
        elif what in {"take over", "suspend"} and len(self.servers) == 1:
            # Nobody hears of it for longer than its lease; then it goes on as if nothing had been.
            self.stage.suspend(server)
            if what == "take over":
                self._begin(is_new=True)
            self._sleep(self.chance.uniform(0.5, 2.0) * LEASE_S)
            self.stage.call_back(server)

    def _heal(self) -> None:
        """No mishaps from here on; the store is there, everybody is called back."""
        self._is_calm = True
        self.disk.mishap_share = 0.0
        self.disk.shelf.is_away = False
        for server in self.servers:
            self.stage.call_back(server)

    def _owner(self) -> Server | None:
        owners = [server for server in self.servers if server.is_serving and self.is_owner(server)]
        return owners[-1] if owners else None

    def _is_quiet(self) -> bool:
        owner = self._owner()
        return (
            owner is not None
            and owner.is_idle
            and not owner.engine.snapshotter._deleted
            and not any(name == "nemesis" for name in self.stage.waiting())
        )
