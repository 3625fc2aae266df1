"""The websocket protocol against a real engine, and a socket alone where a test must hold things still."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from api_ground import CountingMeter, Server, quote, serving
from starlette.websockets import WebSocketDisconnect

from uoro.api import schemas
from uoro.api import websocket as websocket_module
from uoro.api.sockets import Sockets
from uoro.api.websocket import MAX_MESSAGE_BYTES, MAX_UNANSWERED, Socket
from uoro.engine.subscriptions import Hub
from uoro.limits import Limits


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the tests of this file; few subscribers with small buffers."""
    limits = Limits(max_subscribers=2, max_subscriber_messages=8, drain_timeout_s=1.0)
    with serving(limits=limits) as ground:
        yield ground


def connect(server: Server, stream: str | None = None) -> Any:
    """A socket of one stream, or of all."""
    return server.client.websocket_connect("/v1/ws" if stream is None else f"/v1/streams/{quote(stream)}/ws")


@pytest.mark.parametrize("request_id", [7, "a", None, {"deep": [1.5, "é"]}, 2**80])
def test_an_observation_is_answered_with_its_id(server: Server, request_id: object) -> None:
    """The reply to one observation, as over HTTP, with type and the id that came, whatever JSON it is."""
    stream = server.create("ws/x:")
    with connect(server, stream) as socket:
        socket.send_json({"type": "observe", "id": request_id, "x": {"v": 1}, "t": "2026-01-31T12:00:00Z"})
        message = socket.receive_json()
    assert (message.pop("type"), message.pop("id")) == ("result", request_id)
    schemas.Reply.model_validate(message)
    assert (message["stream"], message["seq"], message["t"]) == (stream, 1, "2026-01-31T12:00:00Z")


def test_binary_frames_are_read_like_text(server: Server) -> None:
    """A client may send its JSON as bytes."""
    with connect(server, server.create()) as socket:
        socket.send_bytes(b'{"type":"observe","x":{"v":1}}')
        assert socket.receive_json()["id"] is None


def test_many_at_once_are_answered_in_order(server: Server) -> None:
    """More than may be outstanding, sent before anything is read, come back one by one in order."""
    stream = server.create()
    num = MAX_UNANSWERED + 44
    with connect(server, stream) as socket:
        for i in range(num):
            socket.send_json({"type": "observe", "id": i, "x": {"v": 1}})
        messages = [socket.receive_json() for _ in range(num)]
    assert [m["id"] for m in messages] == list(range(num))
    assert [m["seq"] for m in messages] == list(range(1, num + 1))


def test_a_prediction_knows_the_observations_sent_before_it(server: Server) -> None:
    """Though nothing was read in between; with a horizon it has as many steps."""
    stream = server.create()
    with connect(server) as socket:
        socket.send_json({"type": "predict", "id": 0, "stream": stream})
        socket.send_json({"type": "observe", "id": 1, "stream": stream, "x": {"v": 4}})
        socket.send_json({"type": "predict", "id": 2, "stream": stream, "horizon": 3})
        empty, result, prediction = (socket.receive_json() for _ in range(3))
    assert empty == {"type": "prediction", "id": 0, "stream": stream, "seq": 1, "prediction": None}
    assert (prediction["seq"], prediction["prediction"]) == (2, result["next"])
    assert (prediction["horizon"], len(prediction["predictions"])) == (3, 3)


def test_a_subscriber_hears_every_observation(server: Server) -> None:
    """Others' and its own; the subscription's has what came and no id, the reply to one's own the reverse."""
    stream, other = server.create(), server.create()
    with connect(server, stream) as socket:
        socket.send_json({"type": "subscribe"})
        socket.send_json({"type": "predict", "id": "now"})
        assert socket.receive_json()["id"] == "now"
        server.observe(other, 1.0)
        reply = server.post(stream, b'{"x":{"v":1}}').json()
        assert socket.receive_json() == {"type": "result", **reply, "x": {"v": 1.0}}
        socket.send_json({"type": "observe", "id": "own", "x": {"v": 2}})
        messages = [socket.receive_json(), socket.receive_json()]
    assert {m.get("id") for m in messages} == {"own", None}
    assert {m["seq"] for m in messages} == {2}


def test_a_socket_of_all_follows_what_it_asks_for(server: Server) -> None:
    """Without a stream all of them, with one that one; unsubscribing ends it."""
    one, two = server.create(), server.create()
    with connect(server) as socket:

        def heard(num: int) -> list[str]:
            """Post to both, then ask for a prediction: whose results come, the prediction among them."""
            server.observe(one, 1.0)
            server.observe(two, 1.0)
            socket.send_json({"type": "predict", "stream": one})
            messages = [socket.receive_json() for _ in range(num + 1)]
            return sorted(m["stream"] for m in messages if m["type"] == "result")

        for ask, streams in (
            ({"type": "subscribe", "stream": two}, [two]),
            ({"type": "subscribe"}, sorted([one, two])),
            ({"type": "unsubscribe"}, []),
            ({"type": "subscribe", "stream": one}, [one]),
            ({"type": "unsubscribe", "stream": one}, []),
        ):
            socket.send_json(ask)
            socket.send_json({"type": "predict", "stream": one})
            assert socket.receive_json()["type"] == "prediction"
            assert heard(len(streams)) == streams


REFUSED = [
    ("", None, "malformed_body", None),
    ("{", None, "malformed_body", None),
    ("[" * 5000, None, "malformed_body", None),
    ("[]", None, "invalid_request", None),
    ("{}", None, "invalid_request", "type"),
    ('{"id":1,"type":"learn"}', 1, "invalid_request", "type"),
    ('{"id":1,"type":["observe"]}', 1, "invalid_request", "type"),
    ('{"id":1,"type":"observe"}', 1, "invalid_observation", "x"),
    ('{"id":1,"type":"observe","x":{"v":NaN}}', 1, "invalid_observation", "v"),
    ('{"id":1,"type":"observe","x":{"v":[]}}', 1, "invalid_observation", "v"),
    ('{"id":1,"type":"observe","x":{"w":1}}', 1, "invalid_observation", "w"),
    ('{"id":1,"type":"observe","x":{},"t":"x"}', 1, "invalid_observation", "t"),
    ('{"id":1,"type":"observe","x":{},"seq":0}', 1, "invalid_observation", "seq"),
    ('{"id":1,"type":"observe","x":{},"y":0}', 1, "invalid_observation", "y"),
    ('{"id":1,"type":"observe","x":{},"seq":5}', 1, "out_of_sequence", None),
    ('{"id":1,"type":"observe","x":{},"stream":"?"}', 1, "invalid_request", "stream"),
    ('{"id":1,"type":"observe","x":{},"stream":"other"}', 1, "invalid_request", "stream"),
    ('{"id":1,"type":"predict","horizon":0}', 1, "invalid_request", "horizon"),
    ('{"id":1,"type":"predict","horizon":501}', 1, "invalid_request", "horizon"),
    ('{"id":1,"type":"predict","horizon":true}', 1, "invalid_request", "horizon"),
    ('{"id":1,"type":"predict","x":{}}', 1, "invalid_request", "x"),
    ('{"id":1,"type":"subscribe","stream":"other"}', 1, "invalid_request", "stream"),
    ('{"id":"\\ud800","type":"learn"}', None, "invalid_request", "type"),
]


@pytest.mark.parametrize(("text", "request_id", "code", "field"), REFUSED)
def test_an_error_is_told_and_the_socket_stays_open(
    server: Server, text: str, request_id: object, code: str, field: str | None
) -> None:
    """With the id of the message where it can be read, the code, and the field at fault; nothing is learned."""
    stream = server.create()
    with connect(server, stream) as socket:
        socket.send_text(text)
        error = socket.receive_json()
        assert (error["type"], error["id"], error["code"], error.get("field")) == ("error", request_id, code, field)
        assert error["detail"]
        socket.send_text('{"type":"observe","id":2,"x":{"v":1}}')
        assert socket.receive_json()["seq"] == 1


@pytest.mark.parametrize("kind", ["observe", "predict"])
def test_an_id_that_cannot_be_written_goes_back_as_null(server: Server, kind: str) -> None:
    """The message is honoured all the same."""
    with connect(server, server.create()) as socket:
        socket.send_text('{"id":"\\udc00","type":"%s"%s}' % (kind, ',"x":{"v":1}' if kind == "observe" else ""))  # noqa: UP031 - braces abound
        message = socket.receive_json()
    assert (message["type"] in {"result", "prediction"}, message["id"]) == (True, None)


def test_what_a_socket_follows_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit a stream is followed, one more is refused; all may be followed instead, not less one."""
    monkeypatch.setattr(websocket_module, "MAX_FOLLOWED", 2)
    asked: list[tuple[dict[str, Any], str | None]] = [
        ({"type": "unsubscribe"}, None),
        ({"type": "subscribe", "stream": "a"}, None),
        ({"type": "subscribe", "stream": "b"}, None),
        ({"type": "subscribe", "stream": "b"}, None),
        ({"type": "subscribe", "stream": "c"}, "invalid_request"),
        ({"type": "subscribe"}, None),
        ({"type": "subscribe", "stream": "c"}, None),
        ({"type": "unsubscribe", "stream": "c"}, "invalid_request"),
        ({"type": "unsubscribe"}, None),
    ]
    with connect(server) as socket:
        for message, code in asked:
            socket.send_json(message)
            if code is not None:
                assert socket.receive_json()["code"] == code
        socket.send_json({"type": "predict", "stream": "nowhere", "id": "end"})
        assert socket.receive_json()["id"] == "end"


def test_on_a_socket_of_all_a_message_names_its_stream(server: Server) -> None:
    """Without one it is an error."""
    with connect(server) as socket:
        for message in ({"type": "observe", "x": {}}, {"type": "predict"}):
            socket.send_json(message)
            assert socket.receive_json()["field"] == "stream"


def test_an_unknown_stream_is_an_error_of_each_message(server: Server) -> None:
    """The socket opens all the same: the stream may come to be."""
    with connect(server, "unborn") as socket:
        for message in ({"type": "observe", "x": {"v": 1}}, {"type": "predict"}):
            socket.send_json(message)
            assert socket.receive_json()["code"] == "unknown_stream"


def test_a_path_without_an_id_is_refused_before_the_handshake(server: Server) -> None:
    """The problem document comes as the HTTP answer."""
    with pytest.raises(WebSocketDisconnect) as caught, connect(server, "%20"):
        pass
    assert (caught.value.status_code, caught.value.json()["code"]) == (422, "invalid_request")  # type: ignore[attr-defined]


def test_a_message_over_its_limit_closes_the_socket(server: Server) -> None:
    """At the limit it is read, one more closes with 1009."""
    with connect(server, server.create()) as socket:
        socket.send_text('{"type":"predict"}'.ljust(MAX_MESSAGE_BYTES))
        assert socket.receive_json()["type"] == "prediction"
        socket.send_text('{"type":"predict"}'.ljust(MAX_MESSAGE_BYTES + 1))
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_json()
    assert caught.value.code == 1009


def test_a_subscriber_that_falls_behind_is_cut_off(server: Server) -> None:
    """Eight results fit its buffer; a burst of nine closes it with 1013 and a reason, after what it had."""
    stream = server.create()
    with connect(server, stream) as socket:
        socket.send_json({"type": "subscribe"})
        socket.send_json({"type": "predict"})
        socket.receive_json()
        server.observe(stream, *[1.0] * 8)
        assert [socket.receive_json()["seq"] for _ in range(8)] == list(range(1, 9))
        server.observe(stream, *[1.0] * 9)
        assert [socket.receive_json()["seq"] for _ in range(8)] == list(range(9, 17))
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_json()
    assert (caught.value.code, bool(caught.value.reason)) == (1013, True)


def test_subscribers_are_bounded(server: Server) -> None:
    """The third of two is told `overloaded`; when one leaves there is room again."""
    stream = server.create()
    subscribe = {"type": "subscribe", "id": 1}
    with connect(server, stream) as third:
        with connect(server, stream) as first, connect(server, stream) as second:
            for socket in (first, second):
                socket.send_json(subscribe)
                socket.send_json({"type": "predict"})
                assert socket.receive_json()["type"] == "prediction"
            third.send_json(subscribe)
            assert third.receive_json()["code"] == "overloaded"
        while len(server.engine.hub):
            time.sleep(0.001)
        third.send_json(subscribe)
        third.send_json({"type": "predict"})
        assert third.receive_json()["type"] == "prediction"


class ScriptedWebSocket:
    """A client that says the same forever, or nothing, and reads or does not."""

    def __init__(self, text: str | None, *, reads: bool = True) -> None:
        self.num_taken = 0
        self.sent: list[str] = []
        self.heard = asyncio.Event()
        self.closed: tuple[int, str] | None = None
        self.scope: dict[str, Any] = {}
        self._text = text
        self._reads = reads

    async def accept(self) -> None: ...

    async def receive(self) -> dict[str, Any]:
        if self._text is None:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        self.num_taken += 1
        return {"type": "websocket.receive", "text": self._text}

    async def send_text(self, text: str) -> None:
        if not self._reads:
            await asyncio.Event().wait()
        self.sent.append(text)
        self.heard.set()

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


class SilentEngine:
    """Never answers an observation, or fails each one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.hub = Hub(10, 10)
        self.error = error

    def observe(self, submissions: object) -> Future[list[object]]:
        future: Future[list[object]] = Future()
        if self.error is not None:
            future.set_exception(self.error)
        return future


OBSERVE = '{"type":"observe","id":1,"x":{"v":1}}'


def socket_of(websocket: ScriptedWebSocket, engine: SilentEngine, **options: float) -> Socket:
    """A socket between the two."""
    return Socket(websocket, engine, CountingMeter(), "s", **options)  # type: ignore[arg-type]


def test_nothing_more_is_read_while_too_much_is_unanswered() -> None:
    """An engine that does not answer stops the reading at the bound."""

    async def scenario() -> int:
        websocket = ScriptedWebSocket(OBSERVE)
        running = asyncio.create_task(socket_of(websocket, SilentEngine()).run())
        for _ in range(10 * MAX_UNANSWERED):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        return websocket.num_taken

    # One more is being answered and one waits to be queued.
    assert asyncio.run(scenario()) == MAX_UNANSWERED + 2


def test_a_client_that_does_not_read_is_closed() -> None:
    """A send that does not get through within its time ends the conversation with 1013."""
    websocket = ScriptedWebSocket('{"type":"predict","horizon":0}', reads=False)

    async def scenario() -> None:
        await socket_of(websocket, SilentEngine(), send_timeout_s=0.01).run()

    asyncio.run(scenario())
    assert websocket.closed == (1013, "the client does not read")


def test_a_fault_of_the_service_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    """The client hears `internal`, the log hears the rest, and the socket stays open."""
    websocket = ScriptedWebSocket(OBSERVE)

    async def scenario() -> None:
        running = asyncio.create_task(socket_of(websocket, SilentEngine(RuntimeError("a secret"))).run())
        await websocket.heard.wait()
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(scenario())
    error = json.loads(websocket.sent[0])
    assert (error["type"], error["id"], error["code"]) == ("error", 1, "internal")
    assert "secret" not in websocket.sent[0]
    assert "a secret" in caplog.text


def test_a_socket_that_fails_is_closed_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    """The log hears why, the client that it is not its fault."""
    websocket = ScriptedWebSocket(None)

    async def fail() -> dict[str, Any]:
        raise ZeroDivisionError("a secret")

    websocket.receive = fail  # type: ignore[method-assign]

    async def scenario() -> None:
        await socket_of(websocket, SilentEngine()).run()

    asyncio.run(scenario())
    assert websocket.closed is not None
    assert (websocket.closed[0], "secret" in websocket.closed[1]) == (1011, False)
    assert "a secret" in caplog.text


def test_a_stop_of_the_server_closes_sockets_with_1012() -> None:
    """All that are open are told before the server goes."""
    websocket = ScriptedWebSocket(None)
    websocket.path_params = {"stream": "s"}  # type: ignore[attr-defined]

    async def scenario() -> None:
        sockets = Sockets(lambda _: SimpleNamespace(hub=Hub(1, 1)), CountingMeter())  # type: ignore[arg-type, return-value]
        running = asyncio.create_task(sockets.one_stream(websocket))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await sockets.close()
        await running

    asyncio.run(scenario())
    assert websocket.closed == (1012, "the server is going away")
