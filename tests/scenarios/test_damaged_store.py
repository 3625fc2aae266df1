"""Bytes that go bad in a real server: the stream that they belong to is set aside, and its 63 neighbours serve on."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from forked_service import ForkedService
from redis import Redis
from store_ground import flip_last_bit

from uoro.domain import Model
from uoro.learning.portable import from_safetensors
from uoro.store.keys import Keys

NUM_STREAMS = 64
VICTIM = "s17"
PATIENCE_S = 60.0
SPEC = {"fields": {"v": {"type": "number"}}, "hidden_size": 2, "aggregation": "none", "season": "none"}
SETTINGS = {"SNAPSHOT_INTERVAL_S": "0.2", "LOG_LEVEL": "warning"}
KEYS = Keys("0")


def observe_all(http: httpx.Client, value: float, streams: list[str]) -> None:
    rows = "\n".join(f'{{"stream": "{stream}", "x": {{"v": {value}}}}}' for stream in streams)
    reply = http.post("/v1/observations", content=rows, headers={"content-type": "application/x-ndjson"})
    assert reply.status_code == 200 and reply.json()["rejected"] == 0, reply.text


def models(http: httpx.Client, streams: list[str]) -> dict[str, Model]:
    """As exported; the order of what describes them is the file format's own affair."""
    return {stream: from_safetensors(http.get(f"/v1/streams/{stream}/export").content) for stream in streams}


def test_one_streams_snapshots_are_damaged_in_redis(tmp_path: Path) -> None:
    """Both generations of one stream have a flipped bit: after a crash it is told as damaged, refuses with 503 and
    its own code, and is healed by its deletion; the others' models have the same bits, and they learn.
    """
    service = ForkedService(tmp_path, SETTINGS)
    streams = [f"s{number}" for number in range(NUM_STREAMS)]
    neighbours = [stream for stream in streams if stream != VICTIM]
    redis = Redis(unix_socket_path=str(tmp_path / "store" / "server.sock"), socket_timeout=10)
    try:
        service.start()
        with httpx.Client(base_url=service.url, timeout=30) as http, redis:
            for stream in streams:
                assert http.put(f"/v1/streams/{stream}", json={"spec": SPEC}).status_code == 201
            deadline = time.monotonic() + PATIENCE_S
            while int(redis.hget(KEYS.bounds, "first") or 1) <= NUM_STREAMS:  # the log still has the beginning
                assert time.monotonic() < deadline
                observe_all(http, time.monotonic() % 7, streams)
                time.sleep(0.1)
            before = models(http, neighbours)
            service.kill()
            key = KEYS.generations(VICTIM)
            for slot in ("a", "b"):
                redis.hset(key, slot, flip_last_bit(redis.hget(key, slot)))
            service.start()
            assert http.get(f"/v1/streams/{VICTIM}").json()["state"] == "damaged"
            refused = http.post(f"/v1/streams/{VICTIM}/observations", json={"x": {"v": 1.0}})
            assert (refused.status_code, refused.json()["code"]) == (503, "stream_damaged")
            assert models(http, neighbours) == before
            observe_all(http, 1.0, neighbours)
            assert http.delete(f"/v1/streams/{VICTIM}").status_code == 204
            assert http.put(f"/v1/streams/{VICTIM}", json={"spec": SPEC}).status_code == 201
            observe_all(http, 1.0, streams)
    finally:
        service.end()
