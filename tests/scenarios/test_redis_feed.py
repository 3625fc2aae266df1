"""`uoro ingest redis`, while the service, its own Redis, the other Redis and the command itself are killed."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from feed_program import FeedProgram, assert_learned_once, last_seq, wait_beyond
from live_service import LiveService
from redis.exceptions import RedisError
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer

pytestmark = pytest.mark.skipif(REDIS_PROGRAM is None, reason=WHY_NOT)
NUM_ENTRIES = 600


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


def test_every_entry_is_learned_once_whatever_is_killed(tmp_path: Path) -> None:
    """The model is, bit for bit, that of a stream that was given every entry once, in order."""
    (tmp_path / "other").mkdir()
    assert REDIS_PROGRAM is not None
    source = RedisServer(REDIS_PROGRAM, tmp_path / "other")
    service = LiveService(tmp_path, {"AUTO_CREATE": "false"})
    feed = FeedProgram(tmp_path / "feed.log", "redis", source.url, "k", "--stream", "s", "--url", service.url)
    adding = Thread(target=add_entries, args=(source,))
    try:
        source.start()
        service.start()
        feed.start()
        adding.start()
        wait_beyond(service, "s", 20)
        service.kill()
        time.sleep(0.5)
        service.start()
        wait_beyond(service, "s", last_seq(service, "s"))
        feed.kill()
        feed.start()
        wait_beyond(service, "s", last_seq(service, "s"))
        source.kill()
        time.sleep(0.5)
        source.start()
        wait_beyond(service, "s", last_seq(service, "s"))
        service.kill_redis()
        adding.join()
        service.stop()
        service.start()
        feed.kill()
        feed.start("--once")
        assert feed.wait() == 0, (tmp_path / "feed.log").read_text()
        entries = [{"x": {"v": n}, "t": f"1970-01-01T00:{n // 60:02}:{n % 60:02}Z"} for n in range(1, NUM_ENTRIES + 1)]
        assert_learned_once(service, "s", entries)
    finally:
        if adding.ident is not None:
            adding.join()
        feed.kill()
        service.end()
        source.stop()
