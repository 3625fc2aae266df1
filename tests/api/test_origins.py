"""Pages of other sites: what they may do without keys, and with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_ground import Server, serving
from key_ground import anonymous, bearer, guarded
from starlette.requests import Request
from starlette.websockets import WebSocketDisconnect

from uoro.api.door import Door
from uoro.api.views import confining


@pytest.fixture(scope="module")
def unguarded() -> Iterator[Server]:
    """A server without keys that lets one other site's pages call."""
    with serving(cors_origins=("https://friend.example",)) as server:
        yield server


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201), ({"origin": "http://testserver"}, 201), ({"origin": "HTTP://TESTSERVER"}, 201),
        ({"origin": "https://friend.example"}, 201), ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://testserver:81"}, 403), ({"origin": "http://testserver.evil.example"}, 403),
        ({"origin": "https://proxied.example", "sec-fetch-site": "same-origin"}, 201),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "https://friend.example.evil.example"}, 403),
    ],
)  # fmt: skip
def test_without_keys_other_sites_pages_may_not_write(unguarded: Server, headers: dict[str, str], status: int) -> None:
    """A browser names the page's origin: ours, a friend's or none may write; another gets 403, for websockets too."""
    reply = unguarded.client.post("/v1/tickets", headers=headers)
    assert reply.status_code == status
    if status == 403:
        assert reply.json()["code"] == "foreign_origin"
        assert unguarded.meter.refused_at_door["foreign_origin"] >= 1
        with pytest.raises(WebSocketDisconnect), unguarded.client.websocket_connect("/v1/ws", headers=headers):
            pass
    else:
        with unguarded.client.websocket_connect("/v1/ws", headers=headers):
            pass
    assert unguarded.client.get("/v1/streams", headers=headers).status_code == 200


def test_pages_of_friends_may_read_and_no_others(unguarded: Server) -> None:
    """CORS: asked beforehand and in the answer, by name; without the setting no answer speaks of it."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    for origin, is_friend in (("https://friend.example", True), ("https://evil.example", False)):
        before = unguarded.client.options("/v1/observations", headers={"origin": origin, **asked})
        read = unguarded.client.get("/v1/streams", headers={"origin": origin})
        assert before.is_success is is_friend
        assert (read.headers.get("access-control-allow-origin") == origin) is is_friend
        assert "access-control-allow-credentials" not in read.headers
        assert read.headers["x-request-id"]


def test_with_keys_preflights_need_none_and_calls_do(tmp_path: Path) -> None:
    """A browser asks beforehand without a key."""
    options = {"cors_origins": ("https://friend.example",)}
    with guarded(tmp_path / "keys.json", **options) as ground, anonymous(ground):
        headers = {"origin": "https://friend.example", "access-control-request-method": "GET"}
        assert ground.client.options("/v1/streams", headers=headers).status_code == 200
        refused = ground.client.get("/v1/streams", headers={"origin": "https://friend.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://friend.example"
        assert ground.client.get("/v1/streams", headers={**bearer(ground.root)}).status_code == 200


def test_without_keys_nothing_stands_in_the_way(unguarded: Server) -> None:
    """No door is among the layers, and the view of the engine is the engine itself."""
    layers = [unguarded.client.app]
    while not hasattr(layers[-1], "routes"):
        layers.append(getattr(layers[-1], "_app", None) or layers[-1].app)  # type: ignore[attr-defined]
    assert not any(isinstance(layer, Door) for layer in layers)
    engine = unguarded.engine
    assert confining(engine, unguarded.meter)(Request({"type": "http"})) is engine
