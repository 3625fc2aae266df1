"""Keys on websockets: every message × every kind of key × streams inside and outside, and the end of a key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import msgspec
import pytest
from api_ground import SMALL, quote
from key_ground import GuardedServer, anonymous, guarded, made
from starlette.websockets import WebSocketDisconnect

from uoro.access.keyfile import encode, read_keys
from uoro.api.confined import Confined, ConfinedHub
from uoro.api.conversing import Conversing
from uoro.api.sockets import KEY_ENDED

PREFIX, OWN, FOREIGN, VOID, UNBORN = "in/", "in/a", "out/a", "out/b", "in/b"
NEEDED = {"observe": "write", "predict": "read", "subscribe": "read"}
SCOPES = [("read",), ("write",), ("read", "write"), ("admin",)]
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """One guarded server with a stream inside the prefix and one outside."""
    with guarded(tmp_path_factory.mktemp("keys") / "keys.json") as ground:
        for stream in (OWN, FOREIGN):
            assert ground.client.put(f"/v1/streams/{quote(stream)}", json={"spec": SMALL}).status_code == 201
        yield ground


@pytest.fixture(scope="module")
def tokens(ground: GuardedServer) -> dict[tuple[tuple[str, ...], str], str]:
    """A key of every set of scopes, confined and not."""
    tokens = {
        (scopes, prefix): ground.keys.make(*scopes, prefix=prefix) for scopes, prefix in product(SCOPES, ("", PREFIX))
    }
    made(ground, "read")  # by then the server knows the others too
    return tokens


def asked(socket: Any, kind: str, stream: str, *, is_of_one: bool) -> dict[str, Any]:
    """What a message is answered with; a prediction is asked for after those that are not answered when all is well."""
    message: dict[str, Any] = {"type": kind, "id": 1, "stream": stream}
    if is_of_one:
        del message["stream"]
    if kind == "observe":
        message["x"] = {"v": 1.0}
    socket.send_json(message)
    if kind == "subscribe":
        socket.send_json({"type": "predict", "id": 2, "stream": OWN if not is_of_one else stream})
    answer: dict[str, Any] = socket.receive_json()
    return answer


def faults(ground: GuardedServer, tokens: dict[tuple[tuple[str, ...], str], str]) -> list[str]:
    """What the matrix finds wrong, a line each."""
    found = []
    streams = (OWN, FOREIGN, VOID, UNBORN)
    for ((scopes, prefix), token), kind, stream, is_of_one in product(tokens.items(), NEEDED, streams, (True, False)):
        path = f"/v1/streams/{quote(stream)}/ws" if is_of_one else "/v1/ws"
        before = ground.server.last_seq(FOREIGN)
        with ground.connect(token, path) as socket:
            answer = asked(socket, kind, stream, is_of_one=is_of_one)
        code = answer.get("code")
        may = NEEDED[kind] in scopes or "admin" in scopes
        exists = stream in {OWN, FOREIGN} and stream.startswith(prefix)
        if not may:
            is_right = (answer["id"], code) == (1, "forbidden")
        elif kind == "subscribe":  # a stream that is not there may come to be: no error
            is_right = answer["id"] == 2
        else:
            is_right = code == (None if exists else "unknown_stream")
        moved = ground.server.last_seq(FOREIGN) - before
        if not is_right or moved != (kind == "observe" and may and exists and stream == FOREIGN):
            found.append(f"{kind} of {stream} by {scopes} {prefix}, one stream: {is_of_one}: {answer}")
    return found


def test_every_message_by_every_kind_of_key(
    ground: GuardedServer, tokens: dict[tuple[tuple[str, ...], str], str]
) -> None:
    """Scopes and prefixes hold message by message, the socket stays open, and foreign is as missing."""
    assert faults(ground, tokens) == []


@pytest.mark.parametrize(
    ("where", "hole"), [(Confined, "observe"), (Conversing, "observe"), (Conversing, "describe"), (Confined, "_look")]
)
def test_a_hole_is_found(
    ground: GuardedServer,
    tokens: dict[tuple[tuple[str, ...], str], str],
    monkeypatch: pytest.MonkeyPatch,
    where: type[Confined],
    hole: str,
) -> None:
    """Negative control: a method that forgets to ask makes the matrix fail."""
    monkeypatch.setattr(where, hole, lambda self, *args: getattr(self._engine, hole, lambda _: None)(*args))
    assert faults(ground, tokens)


def test_a_foreign_stream_and_a_missing_one_are_told_in_the_same_words(
    ground: GuardedServer, tokens: dict[tuple[tuple[str, ...], str], str]
) -> None:
    """Message by message, on the socket of one stream and on that of all, however broken the message."""
    token = tokens[("admin",), PREFIX]
    messages = (
        '{"type":"observe","id":1,"x":{"v":1}%s}', '{"type":"observe","id":1,"x":{"w":1}%s}',
        '{"type":"observe","id":1,"x":{"v":1},"seq":7%s}', '{"type":"predict","id":1%s}',
        '{"type":"predict","id":1,"horizon":0%s}', '{"type":"learn"%s}',
    )  # fmt: skip
    for is_of_one in (True, False):
        told = []
        for stream in (FOREIGN, VOID, UNBORN):
            named = "" if is_of_one else f',"stream":"{stream}"'
            with ground.connect(token, f"/v1/streams/{quote(stream)}/ws" if is_of_one else "/v1/ws") as socket:
                for message in messages:
                    socket.send_text(message % named)
                told.append([socket.receive_text().replace(stream, "ID") for _ in messages])
        assert told[0] == told[1] == told[2]


def test_following_all_is_following_one_s_own(
    ground: GuardedServer, tokens: dict[tuple[tuple[str, ...], str], str]
) -> None:
    """A confined subscriber of everything, or of a foreign stream by name, hears nothing of others."""
    for asks in ([{"type": "subscribe"}], [{"type": "subscribe", "stream": s} for s in (FOREIGN, OWN, VOID)]):
        with ground.connect(tokens[("read",), PREFIX]) as socket, ground.connect(tokens[("read",), ""]) as free:
            for ask in asks:
                socket.send_json(ask)
                free.send_json(ask)
            for each in (socket, free):
                each.send_json({"type": "predict", "stream": OWN})
                each.receive_json()
            for stream in (FOREIGN, OWN, FOREIGN, OWN):
                ground.server.observe(stream, 1.0)
            assert [socket.receive_json()["stream"] for _ in range(2)] == [OWN, OWN]
            assert [free.receive_json()["stream"] for _ in range(4)] == [FOREIGN, OWN, FOREIGN, OWN]
            socket.send_json({"type": "predict", "id": "end", "stream": OWN})
            assert socket.receive_json()["id"] == "end"


def test_a_subscription_without_its_prefix_would_be_noticed(
    ground: GuardedServer, tokens: dict[tuple[tuple[str, ...], str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control of the test above."""
    monkeypatch.setattr(ConfinedHub, "open", lambda self, prefix="": self._hub.open(prefix))
    with pytest.raises(AssertionError):
        test_following_all_is_following_one_s_own(ground, tokens)


@pytest.mark.parametrize("path", ["/v1/ws", "/v1/streams/in%2Fa/ws", "/v1/streams/out%2Fa/ws"])
@pytest.mark.parametrize("token", [None, "", "nonsense", "uoro_" + "0" * 12 + "_" + "0" * 48])
def test_without_a_key_no_websocket_opens(ground: GuardedServer, path: str, token: str | None) -> None:
    """401 as a problem document, before the handshake, with the request's id."""
    with (
        anonymous(ground),
        pytest.raises(WebSocketDisconnect) as refused,
        ground.connect(token, path),
    ):
        pass
    reply: Any = refused.value
    assert (reply.status_code, reply.json()["code"], reply.headers["www-authenticate"]) == (
        401,
        "unauthorized",
        "Bearer",
    )
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


def closed(socket: Any) -> tuple[int, str]:
    """Code and reason once a socket is closed; the deadline is generous, the wait real."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        try:
            socket.send_json({"type": "predict", "stream": OWN})  # so that there is something to hear if it is not
            socket.receive_json()
        except WebSocketDisconnect as end:
            return end.code, end.reason
        time.sleep(0.05)
    raise AssertionError("the socket stayed open")


def test_a_revoked_key_closes_its_open_websockets_and_no_others(ground: GuardedServer) -> None:
    """4401 with a reason, also for one that was opened with a ticket; another key's socket goes on."""
    token, other = made(ground, "read", "write"), made(ground, "read")
    ticket = ground.call(token, "POST", "/v1/tickets").json()["ticket"]
    with ground.connect(other) as bystander, ground.connect(token) as one:
        with anonymous(ground), ground.client.websocket_connect(f"/v1/ws?ticket={ticket}") as two:
            one.send_json({"type": "observe", "stream": OWN, "x": {"v": 1}})
            assert one.receive_json()["type"] == "result"
            ground.keys.revoke(token)
            for socket in (one, two):
                assert closed(socket) == (KEY_ENDED, "the key was revoked or changed")
        bystander.send_json({"type": "predict", "stream": OWN})
        assert bystander.receive_json()["type"] == "prediction"
    assert ground.call(token, "GET", "/v1/streams").status_code == 401


def test_an_expired_key_closes_its_open_websockets(ground: GuardedServer) -> None:
    """From its moment on, without anybody's touching the file."""
    token = made(ground, "read", expires=datetime.now(UTC) + timedelta(seconds=3))
    with ground.connect(token) as socket:
        assert closed(socket) == (KEY_ENDED, "the key has expired")


def test_a_key_that_is_narrowed_closes_its_open_websockets(ground: GuardedServer) -> None:
    """What was granted when it opened is not granted for ever."""
    token = made(ground, "read", "write", name="narrowed")
    with ground.connect(token) as socket:
        keys = tuple(
            msgspec.structs.replace(key, prefix=PREFIX) if key.name == "narrowed" else key
            for key in read_keys(ground.keys.path)
        )
        ground.keys.path.write_bytes(encode(keys))
        assert closed(socket)[0] == KEY_ENDED


def test_observations_a_second_over_a_websocket(ground: GuardedServer) -> None:
    """What is over the limit is an error of its message, with how long to wait; the socket stays open."""
    token = made(ground, "write", max_observations_per_s=20)
    with ground.connect(token) as socket:
        for i in range(60):
            socket.send_json({"type": "observe", "id": i, "stream": OWN, "x": {"v": 1}})
        answers = [socket.receive_json() for _ in range(60)]
    refused = [answer for answer in answers if answer["type"] == "error"]
    assert [answer["id"] for answer in answers] == list(range(60))
    assert len(refused) >= 20
    assert {(answer["code"], answer["retry_after_s"]) for answer in refused} == {("rate_limited", 1)}


def test_bytes_a_second_slow_a_websocket_down(ground: GuardedServer) -> None:
    """Over its rate it is read more slowly and loses nothing: 1,600 bytes at 800 a second, 800 of them saved up."""
    token = made(ground, "read", max_bytes_per_s=800)
    message = '{"type":"predict","id":1,"stream":"in/a"}'.ljust(400)
    with ground.connect(token) as socket:
        began = time.monotonic()
        for _ in range(4):
            socket.send_text(message)
        assert [socket.receive_json()["type"] for _ in range(4)] == ["prediction"] * 4
        assert time.monotonic() - began >= 0.5
