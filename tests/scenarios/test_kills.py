"""Nothing is lost: kill -9 of the service and of its Redis under load, and controls that must be caught.

`test_kill_loops.py` has the loops.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import recorder
from live_service import LiveService
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer
from slow_disk import CAN_BUILD, with_slow_flushes
from slow_disk import WHY_NOT as WHY_NOT_SLOW

SUPPORT = Path(__file__).parent.parent / "support"
NUM_STREAMS = 4


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    """A service that snapshots often, so that kills meet snapshots and trims too."""
    service = LiveService(tmp_path, {"SNAPSHOT_INTERVAL_S": "0.5", "LOG_LEVEL": "warning"})
    try:
        service.start()
        yield service
    finally:
        service.end()


def strike(service: LiveService, what: list[str], seed: int) -> list[recorder.Recorder]:
    """Load, and kill what is said at random moments; the recorders, stopped, with the service ready again."""
    chance = random.Random(seed)
    recorders = recorder.load(service.url, NUM_STREAMS, seed)
    try:
        for number, victim in enumerate(what):
            time.sleep(chance.uniform(0.05, 1.0))
            if victim == "service":
                service.kill()
                service.start()
            else:
                service.kill_redis()
                service.wait_ready()
            done = sum(its.acknowledged for its in recorders)
            print(f"kill {number + 1}/{len(what)} of the {victim}: {done} acknowledged", flush=True)
        time.sleep(0.5)
    finally:
        for its in recorders:
            its.stop()
    return recorders


def test_kill_9_of_service_and_redis_loses_nothing(service: LiveService) -> None:
    """A few kills of each, in turn: 0 lost, 0 applied twice, every state bit-equal; an orderly stop keeps it so."""
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    recorders = strike(service, ["service", "redis", "redis", "service"], seed)
    assert all(its.acknowledged > 0 for its in recorders)
    assert recorder.check(service.url, recorders) == []
    assert service.stop() == 0
    service.start()
    assert recorder.check(service.url, recorders) == []


# ------------------------------------------------------------------ positive controls


@pytest.mark.parametrize(("policy", "is_safe"), [("always", True), ("everysec", False)])
def test_a_weaker_flush_policy_is_caught(tmp_path: Path, policy: str, is_safe: bool) -> None:
    """With slow flushes and a kill of Redis `always` keeps every acknowledged observation; `everysec` is caught."""
    if REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    if not CAN_BUILD:
        pytest.skip(WHY_NOT_SLOW)
    slow_redis = with_slow_flushes(REDIS_PROGRAM, tmp_path, 1.0)
    redis = RedisServer(str(slow_redis), tmp_path, ("--appendonly", "yes", "--appendfsync", policy, "--save", ""))
    redis.start()
    service = LiveService(tmp_path, {"REDIS_URL": redis.url, "LOG_LEVEL": "warning", "STORE_TIMEOUT_S": "20"})
    try:
        service.start()
        recorders = recorder.load(service.url, NUM_STREAMS, 1)
        time.sleep(4.0)
        redis.kill()
        for its in recorders:
            its.stop()
        service.kill()  # or it would finish what its memory still knows
        redis.start()
        service.start()
        wrong = recorder.check(service.url, recorders)
        assert (wrong == []) is is_safe, wrong
    finally:
        service.end()
        redis.kill()


@pytest.mark.parametrize("positions", ["explicit", "automatic"])
def test_automatic_positions_are_caught(tmp_path: Path, positions: str) -> None:
    """Replies of appends get lost: explicit positions apply each once, ids given by the server apply some twice."""
    if REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    redis = RedisServer(REDIS_PROGRAM, tmp_path)
    redis.start()
    command = [sys.executable, str(SUPPORT / "careless_service.py"), positions]
    service = LiveService(tmp_path, {"REDIS_URL": redis.url, "LOG_LEVEL": "warning"}, command)
    try:
        service.start()
        recorders = recorder.load(service.url, 2, 1)
        time.sleep(3.0)
        for its in recorders:
            its.stop()
        assert sum(its.num_retries for its in recorders) > 0 or positions == "automatic", "no reply was lost"
        service.kill()
        service.start()
        wrong = recorder.check(service.url, recorders)
        assert (wrong == []) is (positions == "explicit"), wrong
    finally:
        service.end()
        redis.kill()
