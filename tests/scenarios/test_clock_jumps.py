"""The time of day jumps, of the service and of its Redis: nothing that is learned or kept depends on it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
import pytest
import recorder
from false_time import CAN_BUILD, FalseTime
from false_time import WHY_NOT as WHY_NO_FALSE_TIME
from live_service import LiveService
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer

DAY_S = 86_400
JUMPS_S = [400 * DAY_S, -400 * DAY_S, 3600, -3600, 0]
PATIENCE_S = 60.0
NUM_STREAMS = 2


def goes_on(recorders: list[recorder.Recorder]) -> None:
    """Return once each stream has learned something new."""
    before = [its.acknowledged for its in recorders]
    deadline = time.monotonic() + PATIENCE_S
    while any(its.acknowledged == then for its, then in zip(recorders, before, strict=True)):
        assert time.monotonic() < deadline, "nothing is acknowledged any more"
        time.sleep(0.01)


def told_days(url: str) -> float:
    """By how many days the service's time of day is off, as a named snapshot tells it."""
    made = httpx.post(f"{url}/v1/streams/s0/snapshots", json={"name": "now"}, timeout=30).json()["created_at"]
    return (made - time.time()) / DAY_S


def test_jumps_of_the_clock_change_nothing(tmp_path: Path) -> None:
    """A year ahead, a year back, an hour, under load; each followed by a crash and a start: all is learned once, the
    states are bit-equal, and a lease from before the jump does not keep the next server waiting.
    """
    if REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    if not CAN_BUILD:
        pytest.skip(WHY_NO_FALSE_TIME)
    clock = FalseTime(tmp_path)
    redis = RedisServer(str(clock.program(REDIS_PROGRAM)), tmp_path)
    settings = {"REDIS_URL": redis.url, "LOG_LEVEL": "warning", "SNAPSHOT_INTERVAL_S": "0.5", "LEASE_TTL_S": "1"}
    command = [str(clock.program(sys.executable)), "-c", "from uoro.cli import main; main()", "serve"]
    service = LiveService(tmp_path, settings, command)
    redis.start()
    try:
        service.start()
        recorders = recorder.load(service.url, NUM_STREAMS, 1)
        try:
            for offset_s in JUMPS_S:
                goes_on(recorders)
                clock.set(offset_s)
                goes_on(recorders)
                assert told_days(service.url) == pytest.approx(offset_s / DAY_S, abs=0.01)
                service.kill()
                clock.set(offset_s - DAY_S)
                service.start()
        finally:
            for its in recorders:
                its.stop()
        assert recorder.check(service.url, recorders) == []
    finally:
        service.end()
        redis.stop()
