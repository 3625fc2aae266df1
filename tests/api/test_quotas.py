"""The limits of a key: observations and bytes a second, streams; at each and one past it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from api_ground import SMALL, CountingMeter
from key_ground import Clock, GuardedServer, KeyFile, guarded, made, ring

from uoro.api.door import Door
from uoro.api.problems import RateLimited
from uoro.api.quota import BYTES, OBSERVATIONS
from uoro.api.tickets import Tickets


def test_observations_a_second_at_the_limit_and_one_past(ground: GuardedServer) -> None:
    """What fits a second is taken, one more is 429 with the draft's fields, and nothing of it is learned."""
    stream = ground.server.create()
    token = made(ground, "write", max_observations_per_s=1000)
    path = f"/v1/streams/{stream}/observations"
    first = ground.call(token, "POST", path, json=[{"x": {"v": 1}}] * 1000)
    assert first.json()["accepted"] == 1000
    assert first.headers["ratelimit-policy"] == '"observations";q=1000;w=1;qu="observations"'
    assert first.headers["ratelimit"].startswith('"observations";r=')
    ground.call(token, "POST", path, json=[{"x": {"v": 1}}] * 1000)
    before = ground.server.last_seq(stream)
    refused = ground.call(token, "POST", path, json=[{"x": {"v": 1}}] * 1000)
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["accepted"]) == (429, "rate_limited", 0)
    assert (refused.headers["retry-after"], problem["violated-policies"]) == ("1", ["observations"])
    assert '"observations";r=' in refused.headers["ratelimit"]
    assert ground.server.last_seq(stream) == before
    assert ground.server.meter.refused_at_door["rate_limited"] >= 1


def test_more_than_a_second_s_worth_is_taken_whole_and_paid_for(file: KeyFile) -> None:
    """A full bucket gives it, and then nothing until the debt is paid; other keys are not touched."""
    clock = Clock()
    token = file.make("write", max_observations_per_s=10, max_bytes_per_s=100)
    quota = ring(file, clock).identify(token).quota
    quota.take(OBSERVATIONS, 25)
    clock.s = 1.4
    with pytest.raises(RateLimited) as refused:
        quota.take(OBSERVATIONS, 1)
    assert refused.value.retry_after_s == pytest.approx(0.2)
    clock.s = 1.6
    quota.take(OBSERVATIONS, 1)
    quota.take(BYTES, 100)
    assert quota.headers() == [
        (b"ratelimit-policy", b'"observations";q=10;w=1;qu="observations", "bytes";q=100;w=1;qu="content-bytes"'),
        (b"ratelimit", b'"observations";r=0;t=1, "bytes";r=0;t=1'),
    ]


def test_bytes_a_second(ground: GuardedServer) -> None:
    """Bodies are charged before they are read, by what is announced; the next one waits."""
    stream = ground.server.create()
    token = made(ground, "read", "write", max_bytes_per_s=200)
    path = f"/v1/streams/{stream}/observations"
    time.sleep(1.1)  # what `made` has asked for is paid
    assert ground.call(token, "POST", path, content=b'{"x":{"v":1}}'.ljust(1000)).status_code == 200
    refused = ground.call(token, "GET", f"/v1/streams/{stream}")
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["bytes"])
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert refused.headers["ratelimit"].startswith('"bytes";r=0;t=')
    assert ground.call(ground.root, "GET", f"/v1/streams/{stream}").status_code == 200


def test_a_body_in_chunks_is_charged_as_it_comes(file: KeyFile) -> None:
    """Nothing is announced, and all of it is counted."""
    token = file.make("write", max_bytes_per_s=1000)
    clock = Clock()
    keys = ring(file, clock)
    messages = [{"type": "http.request", "body": b"x" * 400, "more_body": i < 4} for i in range(5)]

    async def app(_: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(_: object) -> None: ...

    scope = {
        "type": "http", "method": "POST", "path": "/v1/observations", "uoro.request_id": "r",
        "headers": [(b"authorization", f"Bearer {token}".encode()), (b"transfer-encoding", b"chunked")],
    }  # fmt: skip
    asyncio.run(Door(app, keys, Tickets(keys), CountingMeter(), max_body_bytes=2000)(scope, receive, send))
    with pytest.raises(RateLimited) as refused:
        keys.identify(token).quota.take(BYTES, 1)
    assert refused.value.retry_after_s == pytest.approx(1.002)


@pytest.mark.parametrize("announced", ["2000", "2001", "9" * 30])
def test_a_body_is_charged_what_may_be_read_of_it_at_most(file: KeyFile, announced: str) -> None:
    """A length that is announced and never read does not lock a key out for years."""
    token = file.make("write", max_bytes_per_s=1000)
    keys = ring(file, Clock())

    async def app(_: Any, receive: Any, send: Any) -> None: ...

    scope = {
        "type": "http", "method": "POST", "path": "/v1/observations", "uoro.request_id": "r",
        "headers": [(b"authorization", f"Bearer {token}".encode()), (b"content-length", announced.encode())],
    }  # fmt: skip
    asyncio.run(Door(app, keys, Tickets(keys), CountingMeter(), max_body_bytes=2000)(scope, app, app))  # type: ignore[arg-type]
    with pytest.raises(RateLimited) as refused:
        keys.identify(token).quota.take(BYTES, 1)
    assert refused.value.retry_after_s == pytest.approx(1.001)


def test_streams_of_a_key_at_the_limit_and_one_past(tmp_path: Path) -> None:
    """However a stream comes to be (created, inferred, cloned, imported), there are at most so many under the prefix;
    what exists is served on, and when one is deleted there is room again.
    """
    with guarded(tmp_path / "keys.json", auto_create=True) as ground:
        ground.client.put("/v1/streams/other", json={"spec": SMALL})
        token = made(ground, "admin", prefix="p/", max_streams=3)

        def call(method: str, path: str, **options: Any) -> Any:
            return ground.call(token, method, path, **options)

        assert call("PUT", "/v1/streams/p%2F1", json={"spec": SMALL}).status_code == 201
        model = call("GET", "/v1/streams/p%2F1/export").content
        assert call("POST", "/v1/streams/p%2F1/clone", json={"to": "p/2"}).status_code == 201
        assert call("POST", "/v1/streams/p%2F3/observations", json={"x": {"v": 1}}).status_code == 200
        for method, path, options in (
            ("PUT", "/v1/streams/p%2F4", {"json": {"spec": SMALL}}),
            ("PUT", "/v1/streams/p%2F4/import", {"content": model}),
            ("POST", "/v1/streams/p%2F1/clone", {"json": {"to": "p/4"}}),
            ("POST", "/v1/streams/p%2F4/observations", {"json": {"x": {"v": 1}}}),
            ("POST", "/v1/streams/p%2F4/observations", {"json": [{"x": {"v": 1}}] * 2}),
        ):
            refused = call(method, path, **options)
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited"), path
            assert (refused.headers["retry-after"], refused.json()["violated-policies"]) == ("60", ["streams"])
        assert call("PUT", "/v1/streams/p%2F1", json={"spec": SMALL}).status_code == 200
        assert call("PUT", "/v1/streams/p%2F1/import?replace=true", content=model).status_code == 201
        lines = [{"stream": stream, "x": {"v": 1}} for stream in ("p/3", "p/4", "p/5", "other", "p/4")]
        reply = call("POST", "/v1/observations", json=lines).json()
        assert reply["accepted"] == 1
        assert [(e["index"], e["code"]) for e in reply["errors"]] == [
            (1, "rate_limited"), (2, "rate_limited"), (3, "unknown_stream"), (4, "rate_limited"),
        ]  # fmt: skip
        assert call("DELETE", "/v1/streams/p%2F2").status_code == 204
        assert call("POST", "/v1/observations", json=lines).json()["accepted"] == 3
        assert len(call("GET", "/v1/streams").json()["streams"]) == 3


def test_room_for_streams_is_kept_for_those_under_way(file: KeyFile) -> None:
    """Two that are made at once cannot both have the last place; a failed one gives it back."""
    token = file.make("write", max_streams=2)
    quota = ring(file, Clock()).identify(token).quota
    quota.reserve(1, lambda: 1)
    with pytest.raises(RateLimited):
        quota.reserve(1, lambda: 1)
    quota.release(1)
    quota.reserve(1, lambda: 1)
