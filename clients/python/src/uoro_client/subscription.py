"""Subscriptions: every result of some streams from now on, heard over a websocket.

A subscription is an iterator and a context manager. It connects when it is entered or first asked for a
result, and is never thinned: one that falls too far behind ends with `SubscriptionLost`, close code 1013.
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

import msgspec
from websockets.asyncio import client as async_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync import client as sync_socket

from uoro_client import wire
from uoro_client.errors import (
    ApiError,
    ClientError,
    ConnectionFailed,
    SubscriptionLost,
    UnexpectedReply,
    api_error,
)
from uoro_client.observations import encode
from uoro_client.replies import ObservationReply, read

NORMAL_CLOSURE = 1000
BROKEN_CONNECTION = 1006
KEY_ENDED = 4401
_SETTLING = "settling"


class _Message(msgspec.Struct):
    """The envelope of every message."""

    type: str
    id: str | None = None
    code: str = ""
    detail: str = ""


def requests(streams: tuple[str, ...]) -> list[str]:
    """What to say to follow these streams; without any, all that the key may see."""
    if not streams:
        return [encode({"type": "subscribe"}).decode()]
    return [encode({"type": "subscribe", "stream": stream}).decode() for stream in streams]


def question(streams: tuple[str, ...]) -> str:
    """A question that changes nothing. Messages are taken in order, so its answer, be it an error, proves that what
    was said before has been taken: acknowledgements of their own subscriptions do not have.
    """
    return encode({"type": "predict", "id": _SETTLING, **({"stream": streams[0]} if streams else {})}).decode()


def is_answer(message: str | bytes) -> bool:
    """Whether this answers the question."""
    return read(_Message, message.encode() if isinstance(message, str) else message).id == _SETTLING


def heard(message: str | bytes) -> ObservationReply | None:
    """The result in a message; None for an acknowledgement. Raises ApiError, UnexpectedReply."""
    body = message.encode() if isinstance(message, str) else message
    envelope = read(_Message, body)
    if envelope.type == "result":
        return read(ObservationReply, body)
    if envelope.type == "error":
        raise ApiError(0, envelope.code, envelope.detail)
    if envelope.type in {"subscribed", "unsubscribed"}:
        return None
    raise UnexpectedReply(f"a subscription got a message of the type {envelope.type!r}")


def lost(closed: ConnectionClosed) -> SubscriptionLost | None:
    """Why a subscription ended; None if it was closed in order."""
    close = closed.rcvd
    if close is None:
        return SubscriptionLost(BROKEN_CONNECTION, "the connection broke")
    return None if close.code == NORMAL_CLOSURE else SubscriptionLost(close.code, close.reason)


def refused(error: OSError | InvalidHandshake, url: str) -> ClientError:
    """Why a subscription could not begin."""
    if isinstance(error, InvalidStatus):
        return api_error(error.response.status_code, error.response.headers, bytes(error.response.body or b""))
    return ConnectionFailed(f"no service answers at {url}: {error or type(error).__name__}")


class Subscription:
    """Results as they come, for synchronous code."""

    def __init__(self, url: str, api_key: str | None, timeout_s: float, streams: tuple[str, ...]) -> None:
        self._url = wire.socket_url(url)
        self._headers = wire.headers(api_key)
        self._timeout_s = timeout_s
        self._streams = streams
        self._socket: sync_socket.ClientConnection | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._connected()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ObservationReply:
        socket = self._connected()
        while True:
            try:
                result = heard(socket.recv())
            except ConnectionClosed as closed:
                raise lost(closed) or StopIteration from closed
            if result is not None:
                return result

    def settle(self) -> list[ObservationReply]:
        """Wait until the service follows the streams; returns what was heard by then."""
        socket, results = self._connected(), list[ObservationReply]()
        try:
            socket.send(question(self._streams))
            while not is_answer(message := socket.recv()):
                result = heard(message)
                if result is not None:
                    results.append(result)
        except ConnectionClosed as closed:
            raise lost(closed) or SubscriptionLost(NORMAL_CLOSURE, "it was closed") from closed
        return results

    def close(self) -> None:
        """End the subscription; its iteration ends too."""
        self._open.close()

    def _connected(self) -> sync_socket.ClientConnection:
        if self._socket is None:
            try:
                self._socket = self._open.enter_context(
                    sync_socket.connect(self._url, additional_headers=self._headers, open_timeout=self._timeout_s)
                )
            except (OSError, InvalidHandshake) as error:
                raise refused(error, self._url) from error
            try:
                for request in requests(self._streams):
                    self._socket.send(request)
            except ConnectionClosed as closed:
                raise lost(closed) or SubscriptionLost(NORMAL_CLOSURE, "it was closed") from closed
        return self._socket


class AsyncSubscription:
    """Results as they come, for asynchronous code."""

    def __init__(self, url: str, api_key: str | None, timeout_s: float, streams: tuple[str, ...]) -> None:
        self._url = wire.socket_url(url)
        self._headers = wire.headers(api_key)
        self._timeout_s = timeout_s
        self._streams = streams
        self._socket: async_socket.ClientConnection | None = None

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ObservationReply:
        socket = await self._connected()
        while True:
            try:
                result = heard(await socket.recv())
            except ConnectionClosed as closed:
                raise lost(closed) or StopAsyncIteration from closed
            if result is not None:
                return result

    async def settle(self) -> list[ObservationReply]:
        """Wait until the service follows the streams; returns what was heard by then."""
        socket, results = await self._connected(), list[ObservationReply]()
        try:
            await socket.send(question(self._streams))
            while not is_answer(message := await socket.recv()):
                result = heard(message)
                if result is not None:
                    results.append(result)
        except ConnectionClosed as closed:
            raise lost(closed) or SubscriptionLost(NORMAL_CLOSURE, "it was closed") from closed
        return results

    async def aclose(self) -> None:
        """End the subscription; its iteration ends too."""
        if self._socket is not None:
            await self._socket.close()

    async def _connected(self) -> async_socket.ClientConnection:
        if self._socket is None:
            try:
                self._socket = await async_socket.connect(
                    self._url, additional_headers=self._headers, open_timeout=self._timeout_s
                )
            except (OSError, InvalidHandshake) as error:
                raise refused(error, self._url) from error
            try:
                for request in requests(self._streams):
                    await self._socket.send(request)
            except ConnectionClosed as closed:
                raise lost(closed) or SubscriptionLost(NORMAL_CLOSURE, "it was closed") from closed
        return self._socket
