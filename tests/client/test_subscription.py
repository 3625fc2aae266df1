"""Subscriptions against a real websocket server that says what the contract says."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.server import ServerConnection, serve

from uoro_client import ApiError, AsyncClient, Client, ConnectionFailed, SubscriptionLost

RESULT = {
    "type": "result",
    "stream": "a",
    "seq": 1,
    "duplicate": False,
    "next": {"v": {"mean": 1, "lower": 0, "upper": 2}},
}


@contextmanager
def speaking(*messages: dict[str, object], close: tuple[int, str] = (1000, "")) -> Iterator[tuple[str, list[object]]]:
    """A server that hears one message, says these, and closes; yields its address and what it heard."""
    heard: list[object] = []

    def speak(socket: ServerConnection) -> None:
        assert socket.request is not None
        heard.append(socket.request.path)
        heard.append(json.loads(socket.recv()))
        for message in messages:
            socket.send(json.dumps(message))
        socket.close(*close)

    with serve(speak, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}", heard
        server.shutdown()
        thread.join()


def test_results_arrive_until_the_end() -> None:
    """Results are typed, acknowledgements are passed over, an orderly close ends the iteration."""
    acknowledged = {"type": "subscribed"}
    with speaking(acknowledged, RESULT, RESULT) as (url, heard), Client(url).subscribe("a") as results:
        replies = list(results)
    assert heard == ["/v1/ws", {"type": "subscribe", "stream": "a"}]
    assert [reply.stream for reply in replies] == ["a", "a"]
    assert replies[0].next is not None
    assert replies[0].next.number("v").upper == 2


def test_a_slow_reader_is_told() -> None:
    """Being cut off is an error with the close code, not a quiet end."""
    with (
        speaking(RESULT, close=(1013, "too slow")) as (url, _),
        Client(url) as client,
        client.subscribe() as results,
    ):
        next(results)
        with pytest.raises(SubscriptionLost, match="too slow") as caught:
            next(results)
    assert caught.value.close_code == 1013


def test_an_error_message_is_an_error() -> None:
    """A problem told over the socket carries its code."""
    problem = {"type": "error", "id": None, "code": "unknown_stream", "detail": "no such stream"}
    with (
        speaking(problem) as (url, _),
        Client(url).subscribe("b") as results,
        pytest.raises(ApiError, match="no such stream") as caught,
    ):
        next(results)
    assert caught.value.code == "unknown_stream"


def test_nobody_there() -> None:
    """A closed port is a ConnectionFailed."""
    with Client("http://127.0.0.1:9") as client, pytest.raises(ConnectionFailed):
        next(client.subscribe("a"))


def test_the_async_twin() -> None:
    """The asynchronous subscription hears the same."""

    async def story(url: str) -> list[int]:
        async with AsyncClient(url) as client, client.subscribe("a") as results:
            return [reply.seq async for reply in results]

    with speaking(RESULT, RESULT) as (url, _):
        assert asyncio.run(story(url)) == [1, 1]
    with pytest.raises(ConnectionFailed):
        asyncio.run(story("http://127.0.0.1:9"))
