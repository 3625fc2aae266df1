"""kill -9 again and again: plain, with slow flushes, and while the append-only file is being rewritten.

The short form is a few kills of each kind; `make campaign` runs `UORO_CAMPAIGN_KILLS` (50) of each. Every life
between two kills acknowledges something, so no kill meets an idle service.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import recorder
from forked_service import ForkedService
from redis import Redis
from redis.exceptions import RedisError, ResponseError
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer
from slow_disk import CAN_BUILD, with_slow_flushes
from slow_disk import WHY_NOT as WHY_NOT_SLOW

SETTINGS = {"SNAPSHOT_INTERVAL_S": "0.3", "LOG_LEVEL": "warning", "LEASE_TTL_S": "0.5", "RUNNER_THREADS": "2"}
NUM_STREAMS = 3
FLUSH_S = 0.03
KEY_SAVE_S = 0.05
"""What the rewriting of each key is made to take; there are three keys and more."""
PATIENCE_S = 60.0


class Plain:
    """The service with its embedded server."""

    def __init__(self, directory: Path) -> None:
        self.service = ForkedService(directory, SETTINGS)
        self.num_amid = 0

    def begin(self) -> None:
        self.service.start()

    def aim(self, chance: random.Random) -> None:
        """Return at the moment of the kill."""
        time.sleep(chance.uniform(0.02, 0.4))
        self.num_amid += 1

    def kill_redis(self) -> None:
        """Kill -9; the service starts it again."""
        psutil.Process(self.pid_of_redis()).kill()

    def pid_of_redis(self) -> int:
        """Of the embedded server, once there is one that answers."""
        with self.client() as client:
            return int(patiently(lambda: client.info("server")["process_id"]))

    def client(self) -> Redis:
        return Redis(unix_socket_path=str(self.service.data_dir / "store" / "server.sock"), socket_timeout=10)

    def end(self) -> None:
        self.service.end()


class Rewriting(Plain):
    """The same, each kill amid a rewriting of the append-only file, which is slowed down."""

    def aim(self, chance: random.Random) -> None:
        with self.client() as client:
            patiently(lambda: client.config_set("rdb-key-save-delay", round(KEY_SAVE_S * 1e6)))
            with suppress(ResponseError):  # one of an earlier life of the service is under way
                client.bgrewriteaof()
            time.sleep(chance.uniform(0.0, 10 * KEY_SAVE_S))
            self.num_amid += client.info("persistence")["aof_rewrite_in_progress"]


class SlowFlushes:
    """The service with a redis-server of its own, every flush of which takes `FLUSH_S`."""

    def __init__(self, directory: Path) -> None:
        if REDIS_PROGRAM is None:
            pytest.skip(WHY_NOT)
        if not CAN_BUILD:
            pytest.skip(WHY_NOT_SLOW)
        self._redis = RedisServer(str(with_slow_flushes(REDIS_PROGRAM, directory, FLUSH_S)), directory)
        self.service = ForkedService(directory, {**SETTINGS, "REDIS_URL": self._redis.url})
        self.num_amid = 0

    def begin(self) -> None:
        self._redis.start()
        self.service.start()

    def aim(self, chance: random.Random) -> None:
        time.sleep(chance.uniform(0.02, 0.4))
        self.num_amid += 1

    def kill_redis(self) -> None:
        self._redis.kill()
        self._redis.start()

    def end(self) -> None:
        self.service.end()
        self._redis.stop()


VARIANTS: dict[str, Callable[[Path], Plain | SlowFlushes]] = {
    "plain": Plain,
    "slow flushes": SlowFlushes,
    "rewriting": Rewriting,
}


def patiently(call: Callable[[], object]) -> object:
    """The result of a call of Redis that is repeated until the server is back."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except RedisError:
            assert time.monotonic() < give_up
            time.sleep(0.01)


def goes_on(recorders: list[recorder.Recorder]) -> None:
    """Return once something new has been acknowledged."""
    before = sum(its.acknowledged for its in recorders)
    give_up = time.monotonic() + PATIENCE_S
    while sum(its.acknowledged for its in recorders) == before:
        assert time.monotonic() < give_up, "nothing is acknowledged any more"
        time.sleep(0.005)


def strike(ground: Plain | SlowFlushes, victims: list[str], seed: int) -> list[str]:
    """Load, and the kills in turn; what is wrong afterwards."""
    print(f"UORO_CAMPAIGN_SEED={seed}")
    chance = random.Random(seed)
    ground.begin()
    recorders = recorder.load(ground.service.url, NUM_STREAMS, seed)
    began_s = time.monotonic()
    try:
        for number, victim in enumerate(victims, start=1):
            goes_on(recorders)
            ground.aim(chance)
            if victim == "service":
                ground.service.kill()
                ground.service.start()
            else:
                ground.kill_redis()
            if number % 50 == 0:
                print(f"{number} kills, {sum(its.acknowledged for its in recorders)} acknowledged", flush=True)
        goes_on(recorders)
    finally:
        for its in recorders:
            its.stop()
    took_s = time.monotonic() - began_s
    ground.service.wait_ready()
    wrong = recorder.check(ground.service.url, recorders)
    done = sum(its.acknowledged for its in recorders)
    print(
        f"{len(victims)} kills, {ground.num_amid} of them amid, {took_s / len(victims):.2f} s each, {done} acknowledged"
    )
    return wrong


@pytest.mark.parametrize("variant", ["slow flushes", "rewriting"])
def test_a_few_kills_of_each_kind(tmp_path: Path, variant: str) -> None:
    """Service and Redis in turn: 0 lost, 0 applied twice, every state bit-equal."""
    ground = VARIANTS[variant](tmp_path)
    try:
        assert strike(ground, ["service", "redis", "redis"], random.SystemRandom().randrange(2**31)) == []
    finally:
        ground.end()


@pytest.mark.campaign
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("victim", ["service", "redis"])
def test_campaign_of_kills(tmp_path: Path, victim: str, variant: str) -> None:
    """The long form: as many kills of one kind as `UORO_CAMPAIGN_KILLS` says (50)."""
    num_kills = int(os.environ.get("UORO_CAMPAIGN_KILLS", "50"))
    seed = int(os.environ.get("UORO_CAMPAIGN_SEED", random.SystemRandom().randrange(2**31)))
    print(f"\n{variant}, {num_kills} × kill -9 of the {victim}")
    ground = VARIANTS[variant](tmp_path)
    try:
        assert strike(ground, [victim] * num_kills, seed) == []
        assert ground.num_amid >= num_kills // 2, "too few kills met the fault"
    finally:
        ground.end()
