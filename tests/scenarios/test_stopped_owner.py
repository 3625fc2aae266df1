"""An owner that is frozen past its lease (SIGSTOP), while a second server takes the shard, and then goes on (SIGCONT).

While it is frozen, observations that nobody else ever sends wait at its door. Not one of them may get into the log:
the old owner finds out by its first write, answers nothing with success, and ends with code 3. The short form is two
freezes; `make campaign` runs `UORO_CAMPAIGN_STOPS` (50) of them, the two servers taking turns.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import recorder
from forked_service import ForkedService
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer

from uoro.app import EXIT_LOST
from uoro.store.keys import Keys
from uoro.store.records import decode_log_record

LEASE_S = 0.3
NUM_STREAMS = 2
NUM_WAITING = 4
POISON = 1e9
SETTINGS = {"LEASE_TTL_S": str(LEASE_S), "SNAPSHOT_INTERVAL_S": "0.5", "LOG_LEVEL": "warning", "RUNNER_THREADS": "1"}


@dataclass
class Wanderer(recorder.Recorder):
    """A recorder that turns to the other server when one does not take its batch."""

    urls: tuple[str, ...] = ()
    timeout_s: float = 0.3

    def address(self) -> str:
        return self.urls[self.num_retries % len(self.urls)]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A durable redis-server."""
    if REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    server = RedisServer(REDIS_PROGRAM, tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def servers(tmp_path: Path, redis: RedisServer) -> Iterator[list[ForkedService]]:
    """Two services of one shard; none is started."""
    pair = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        pair.append(ForkedService(tmp_path / name, {**SETTINGS, "REDIS_URL": redis.url}))
    yield pair
    for server in pair:
        server.end()


def epochs(redis: RedisServer) -> list[int]:
    """Of the records in the log, in order."""
    with redis.client() as client:
        entries = client.xrange(Keys("0").log)
    return [decode_log_record(fields[b"record"], int(entry.partition(b"-")[0])).epoch for entry, fields in entries]


def knock(url: str) -> int:
    """The status that a poisonous observation without a `seq` gets; 0 if the connection ends without one."""
    try:
        return httpx.post(f"{url}/v1/streams/s0/observations", json={"x": {"v": POISON}}, timeout=60).status_code
    except httpx.HTTPError:
        return 0


def acknowledged(recorders: list[Wanderer]) -> int:
    return sum(its.acknowledged for its in recorders)


def freeze_and_thaw(
    owner: ForkedService, second: ForkedService, recorders: list[Wanderer], chance: random.Random
) -> list[int]:
    """One takeover; the statuses of what waited at the frozen owner's door."""
    time.sleep(chance.uniform(0.0, 0.1))
    os.kill(owner.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(NUM_WAITING) as threads:
        waiting: list[Future[int]] = [threads.submit(knock, owner.url) for _ in range(NUM_WAITING)]
        second.start()
        before = acknowledged(recorders)
        while acknowledged(recorders) == before:
            time.sleep(0.005)
        os.kill(owner.pid, signal.SIGCONT)
        return [its.result() for its in waiting]


def freezes(servers: list[ForkedService], redis: RedisServer, num_stops: int, seed: int) -> list[str]:
    """As many takeovers, the servers in turn; what is wrong afterwards."""
    print(f"UORO_CAMPAIGN_SEED={seed}")
    chance = random.Random(seed)
    owner, second = servers
    owner.start()
    recorder.create(owner.url, NUM_STREAMS)
    urls = tuple(server.url for server in servers)
    recorders = [Wanderer(owner.url, f"s{number}", seed + number, urls=urls) for number in range(NUM_STREAMS)]
    for its in recorders:
        its.start()
    began_s = time.monotonic()
    wrong: list[str] = []
    num_refused = 0
    try:
        for number in range(1, num_stops + 1):
            statuses = freeze_and_thaw(owner, second, recorders, chance)
            wrong += [
                f"freeze {number}: the old owner answered {status}" for status in statuses if status not in {0, 503}
            ]
            num_refused += statuses.count(503)
            if (code := owner.wait()) != EXIT_LOST:
                wrong.append(f"freeze {number}: the old owner ended with {code}")
            wrong += [f"freeze {number}: {complaint}" for complaint in stale(epochs(redis))]
            owner, second = second, owner
    finally:
        for its in recorders:
            its.stop()
    took_s = (time.monotonic() - began_s) / num_stops
    wrong += recorder.check(owner.url, list(recorders))
    print(f"{num_stops} freezes, {took_s:.2f} s each, {acknowledged(recorders)} acknowledged, {num_refused} refused")
    return wrong


def stale(found: list[int]) -> list[str]:
    """What is wrong with the epochs of a log."""
    return [f"epoch {after} after {before}" for before, after in pairwise(found) if after < before]


def test_an_owner_frozen_past_its_lease_writes_nothing_more(servers: list[ForkedService], redis: RedisServer) -> None:
    """Two freezes: no stale append, none acknowledged and lost, every state bit-equal."""
    assert freezes(servers, redis, 2, random.SystemRandom().randrange(2**31)) == []


@pytest.mark.campaign
def test_campaign_of_freezes(servers: list[ForkedService], redis: RedisServer) -> None:
    """The long form."""
    seed = int(os.environ.get("UORO_CAMPAIGN_SEED", random.SystemRandom().randrange(2**31)))
    assert freezes(servers, redis, int(os.environ.get("UORO_CAMPAIGN_STOPS", "50")), seed) == []


def test_the_judge_finds_a_stale_record() -> None:
    """Control: an old epoch behind a newer one is told; epochs that rise are not."""
    assert stale([1, 1, 4, 2]) == ["epoch 2 after 4"]
    assert stale([1, 1, 2, 4]) == []
