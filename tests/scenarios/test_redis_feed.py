"""`uoro ingest redis` as its users run it, while the service, its own Redis, the other Redis and it are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from live_service import LiveService
from redis.exceptions import RedisError
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer
from safetensors.numpy import load

pytestmark = pytest.mark.skipif(REDIS_PROGRAM is None, reason=WHY_NOT)
NUM_ENTRIES = 600
PATIENCE_S = 240.0


class Feed:
    """The command in a process of its own."""

    def __init__(self, service: LiveService, source: RedisServer, log: Path) -> None:
        self._command = [
            sys.executable, "-c", "from uoro.cli import main; main()", "ingest", "redis", source.url, "k",
            "--stream", "s", "--url", service.url,
        ]  # fmt: skip
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        with self._log.open("ab") as log:
            self._running = subprocess.Popen([*self._command, *options], stdout=log, stderr=log)

    def kill(self) -> None:
        assert self._running is not None
        self._running.kill()
        self._running.wait()

    def wait(self) -> int:
        assert self._running is not None
        return self._running.wait(PATIENCE_S)


def add_entries(source: RedisServer) -> None:
    """Entries 1, 2, 3 … with ids of their own, each until it is known to be there."""
    for number in range(1, NUM_ENTRIES + 1):
        while True:
            try:
                with source.client() as client:
                    redis: Any = client
                    if not redis.xrange("k", f"{number * 1000}-0", f"{number * 1000}-0"):
                        redis.xadd("k", {"v": str(number)}, id=f"{number * 1000}-0")
                break
            except RedisError:
                time.sleep(0.05)
        time.sleep(0.01)


def last_seq(service: LiveService) -> int:
    response = httpx.get(f"{service.url}/v1/streams/s", timeout=10)
    return int(response.json()["last_seq"]) if response.is_success else 0


def learned_beyond(service: LiveService, seq: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while last_seq(service) <= seq:
        assert time.monotonic() < deadline, "nothing is learned any more"
        time.sleep(0.05)


def test_every_entry_is_learned_once_whatever_is_killed(tmp_path: Path) -> None:
    """The model is, bit for bit, that of a stream that was given every entry once, in order, by one request."""
    (tmp_path / "other").mkdir()
    assert REDIS_PROGRAM is not None
    source = RedisServer(REDIS_PROGRAM, tmp_path / "other")
    service = LiveService(tmp_path, {"AUTO_CREATE": "false"})
    feed = Feed(service, source, tmp_path / "feed.log")
    adding = Thread(target=add_entries, args=(source,))
    try:
        source.start()
        service.start()
        feed.start()
        adding.start()
        learned_beyond(service, 20)
        service.kill()
        time.sleep(0.5)
        service.start()
        learned_beyond(service, last_seq(service))
        feed.kill()
        feed.start()
        learned_beyond(service, last_seq(service))
        source.kill()
        time.sleep(0.5)
        source.start()
        learned_beyond(service, last_seq(service))
        service.kill_redis()
        adding.join()
        service.stop()
        service.start()
        feed.kill()
        feed.start("--once")
        assert feed.wait() == 0, (tmp_path / "feed.log").read_text()
        assert last_seq(service) == NUM_ENTRIES
        spec = httpx.get(f"{service.url}/v1/streams/s").json()["spec"]
        assert httpx.put(f"{service.url}/v1/streams/oracle", json={"spec": spec}).status_code == 201
        entries = [{"x": {"v": n}, "t": f"1970-01-01T00:{n // 60:02}:{n % 60:02}Z"} for n in range(1, NUM_ENTRIES + 1)]
        path = f"{service.url}/v1/streams/oracle/observations"
        assert httpx.post(path, json=entries, timeout=60).json()["accepted"] == NUM_ENTRIES
        fed, judge = (
            load(httpx.get(f"{service.url}/v1/streams/{stream}/export").content) for stream in ("s", "oracle")
        )
        assert fed.keys() == judge.keys()
        assert [name for name in fed if fed[name].tobytes() != judge[name].tobytes()] == []
        results = httpx.get(f"{service.url}/v1/streams/s/results", params={"limit": "64"}).json()["results"]
        assert [its["x"]["v"] for its in results] == [its["seq"] for its in results]
        assert results[-1]["t"].startswith("1970-01-01T00:10:00")
    finally:
        if adding.ident is not None:
            adding.join()
        feed.kill()
        service.end()
        source.stop()
