"""How keys are shown, what is open, and what every answer carries."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from key_ground import GuardedServer, anonymous, guarded, made

from uoro.api.docs import policy_of
from uoro.api.door import UNREAD_BODY_BYTES


def test_every_changed_character_of_a_key_is_noticed(ground: GuardedServer) -> None:
    """Each place of a valid token, each of four other characters: refused as a whole; the token itself is not."""
    token = ground.root
    others = "0fz_"
    for place in range(len(token)):
        for other in others:
            if token[place] != other:
                bad = token[:place] + other + token[place + 1 :]
                assert ground.call(bad, "GET", "/v1/streams").status_code == 401, bad
    for bad in (token[:-1], token + "0", token.upper(), f"{token} {token}", token[5:], token.partition("_")[0]):
        assert ground.call(bad, "GET", "/v1/streams").status_code == 401, bad
    assert ground.call(token, "GET", "/v1/streams").status_code == 200


def test_a_right_secret_with_another_id_is_refused(ground: GuardedServer) -> None:
    """The hash is of the whole token, so parts of two valid ones are none."""
    one, two = ground.root.split("_"), made(ground, "read").split("_")
    mixed = [f"uoro_{one[1]}_{two[2]}", f"uoro_{two[1]}_{one[2]}"]
    assert [ground.call(token, "GET", "/v1/streams").status_code for token in mixed] == [401, 401]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer {}", 200), ("bearer {}", 200), ("BEARER   {}", 200), ("Basic {}", 401), ("{}", 401), ("Bearer", 401),
        ("Bearer ", 401), ("", 401), ("Bearer  {} x", 401), ('Bearer "{}"', 401), ("Bearer\t{}", 401),
    ],
)  # fmt: skip
def test_how_a_key_is_shown(ground: GuardedServer, header: str, status: int) -> None:
    """The scheme in any case, then blanks, then the token and nothing more."""
    with anonymous(ground):
        reply = ground.client.get("/v1/streams", headers={"authorization": header.format(ground.root)})
    assert reply.status_code == status


def test_two_keys_at_once_are_none(ground: GuardedServer) -> None:
    """Which of them would count is not for the caller's proxy to decide."""
    with anonymous(ground):
        headers = [("authorization", f"Bearer {ground.root}")] * 2
        assert ground.client.get("/v1/streams", headers=headers).status_code == 401  # type: ignore[arg-type]


def test_a_key_in_the_query_is_not_looked_at(ground: GuardedServer) -> None:
    """Addresses are written into logs everywhere."""
    with anonymous(ground):
        for name in ("access_token", "api_key", "key", "ticket"):
            assert ground.client.get(f"/v1/streams?{name}={ground.root}").status_code == 401


def test_what_is_unknown_wants_a_key_first(ground: GuardedServer) -> None:
    """Without one even a path that is not there is 401; with one it is what it is."""
    with anonymous(ground):
        for method, path in (
            ("GET", "/nowhere"),
            ("PATCH", "/v1/streams/a"),
            ("OPTIONS", "/v1/streams"),
            ("GET", "/v1/ws"),
        ):
            assert ground.client.request(method, path).status_code == 401
    assert ground.client.get("/nowhere").status_code == 404
    assert ground.client.patch("/v1/streams/a").status_code == 405


def test_a_refused_request_is_measured_by_its_template(ground: GuardedServer) -> None:
    """And counted by its code."""
    before = ground.server.meter.refused_at_door["unauthorized"]
    ground.call("nonsense", "DELETE", "/v1/streams/a")
    assert ground.server.meter.requests[-1] == ("/v1/streams/{stream}", "DELETE", 401)
    assert ground.server.meter.refused_at_door["unauthorized"] == before + 1


@pytest.mark.parametrize(("num_bytes", "closes"), [(UNREAD_BODY_BYTES, False), (UNREAD_BODY_BYTES + 1, True)])
def test_a_large_body_that_is_refused_is_not_waited_for(ground: GuardedServer, num_bytes: int, closes: object) -> None:
    """At the bound the connection is kept, one byte more and it is closed, as with chunks of unknown length."""
    reply = ground.call("nonsense", "POST", "/v1/observations", content=b" " * num_bytes)
    assert (reply.status_code, reply.headers.get("connection") == "close") == (401, closes)
    chunked = ground.call("nonsense", "POST", "/v1/observations", content=iter([b" "]))
    assert (chunked.status_code, chunked.headers.get("connection")) == (401, "close")


def test_what_is_open_with_keys(ground: GuardedServer) -> None:
    """Liveness, readiness, the console and its files, the docs and the document; all else asks."""
    with anonymous(ground):
        for path, status in (
            ("/livez", 200),
            ("/readyz", 200),
            ("/", 200),
            ("/assets/console.js", 200),
            ("/assets/none", 404),
            ("/docs", 200),
            ("/openapi.json", 200),
        ):
            assert ground.client.get(path).status_code == status
        assert ground.client.get("/metrics").status_code == 401


def test_metrics_can_be_opened(tmp_path: Path) -> None:
    """With the setting for it no key is asked for, whatever key is shown; nothing else opens."""
    with guarded(tmp_path / "keys.json", is_metrics_open=True) as ground, anonymous(ground):
        assert ground.client.get("/metrics").status_code == 200
        assert ground.call("nonsense", "GET", "/metrics").status_code == 200
        assert ground.client.get("/v1/streams").status_code == 401


HARDENING = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/livez"), ("GET", "/v1/streams"), ("GET", "/v1/streams/none"), ("GET", "/metrics"), ("GET", "/nowhere"),
     ("PATCH", "/v1/streams/a"), ("GET", "/openapi.json"), ("GET", "/assets/console.js")],
)  # fmt: skip
def test_every_answer_is_hardened(ground: GuardedServer, method: str, path: str) -> None:
    """Success, problem and refusal alike, with and without a key."""
    for token in (ground.root, "nonsense"):
        headers = ground.call(token, method, path).headers
        assert {name: headers[name] for name in HARDENING} == HARDENING
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_the_docs_run_their_own_script_and_no_other(ground: GuardedServer) -> None:
    """The page's policy names its script by hash: a changed page has another; it may not be framed."""
    reply = ground.client.get("/docs")
    policy = reply.headers["content-security-policy"]
    assert reply.headers.get_list("content-security-policy") == [policy]
    assert policy == policy_of(reply.text)
    assert policy_of(reply.text.replace("SwaggerUIBundle(", "evil(")) != policy
    assert "frame-ancestors 'none'" in policy
    script = policy.partition("script-src ")[2].partition(";")[0]
    assert "unsafe" not in script
    assert "sha256-" in script


def test_problems_carry_the_request_s_id(ground: GuardedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at the door, by the framework, by an endpoint or by a failure: header, body and log have one id."""
    for token, method, path in (
        ("nonsense", "GET", "/v1/streams"),
        (ground.root, "GET", "/nowhere"),
        (ground.root, "PATCH", "/v1/streams/a"),
        (ground.root, "GET", "/v1/streams/none"),
        (ground.root, "GET", "/v1/streams?limit=0"),
    ):
        reply = ground.call(token, method, path, headers={"x-request-id": "mine-1"})
        assert reply.json()["request_id"] == reply.headers["x-request-id"] == "mine-1"
    monkeypatch.setattr(type(ground.server.engine), "checks", lambda _: {"store": "away"})
    ready = ground.client.get("/readyz")
    assert (ready.status_code, ready.json()["request_id"]) == (503, ready.headers["x-request-id"])


def test_a_server_that_cannot_answer_a_handshake_closes_it(ground: GuardedServer) -> None:
    """Without the extension for it there is no problem document, and no websocket either."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/v1/ws", "headers": [], "query_string": b"", "client": None}
    asyncio.run(ground.client.app(scope, receive, send))  # type: ignore[arg-type, call-arg]
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "Unauthorized"}]
