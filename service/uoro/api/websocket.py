"""One websocket: observations in, results out.

Rules:
1. Every message but `subscribe` and `unsubscribe` is answered, in the order of arrival. An observation goes to
   the engine when it arrives, without waiting for the answers before it; a prediction is asked for when its turn
   comes, so that it knows of every observation before it.
2. So many answers may be outstanding; then nothing is read until one is given.
3. A subscriber gets each result of what it follows, its own included: the reply with its `id`, the subscription's
   message without, and with `x`, the values that came. One that falls behind is closed with 1013, as is one that
   does not read at all.
4. An error is told and the socket stays open. A message over its limit closes it with 1009, a stop of the server
   with 1012, the end of its key with 4401.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw
from starlette.websockets import WebSocket, WebSocketDisconnect

from uoro.api.answers import answer
from uoro.api.messages import (
    ClientMessage,
    Observe,
    Predict,
    RefusedMessage,
    Subscribe,
    error_message,
    own_result_message,
    read_message,
    result_message,
)
from uoro.api.ports import Engine, RequestMeter
from uoro.api.replies import prediction_document
from uoro.domain import Prediction, Run
from uoro.engine.outcomes import Outcomes
from uoro.engine.subscriptions import Subscription
from uoro.errors import InvalidRequest, UoroError

MAX_MESSAGE_BYTES = 2**18
MAX_UNANSWERED = 256
MAX_FOLLOWED = 10_000
SEND_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 1.0

_ENCODER = msgspec.json.Encoder()
_log = logging.getLogger(__name__)


class _Closing(Exception):
    """The socket ends. `code` None: the client has left already."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class _Unanswered:
    """An answer that is owed: to which message, when it can be had, and how it is worded."""

    request_id: Raw
    begin: Callable[[], Future[Any]]
    word: Callable[[Any], object]


class Socket:
    """The conversation with one client; `stream` is the one of the path, None where messages name theirs."""

    def __init__(
        self,
        websocket: WebSocket,
        engine: Engine,
        meter: RequestMeter,
        stream: str | None,
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self._websocket = websocket
        self._engine = engine
        self._meter = meter
        self._stream = stream
        self._send_timeout_s = send_timeout_s
        self._unanswered: asyncio.Queue[_Unanswered] = asyncio.Queue(MAX_UNANSWERED)
        self._subscribed: asyncio.Future[Subscription] = asyncio.get_running_loop().create_future()
        self._stopped: asyncio.Future[_Closing] = asyncio.get_running_loop().create_future()
        self._sends: list[float] = []  # since when, oldest first

    def stop(self, code: int = 1012, reason: str = "the server is going away") -> None:
        """End the conversation; the first reason stands."""
        if not self._stopped.done():
            self._stopped.set_result(_Closing(code, reason))

    async def run(self) -> None:
        """Converse until either side ends it."""
        await self._websocket.accept()
        parts = [asyncio.create_task(self._ended(part)) for part in (self._read, self._answer, self._tell, self._watch)]
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            if self._subscribed.done():
                self._engine.hub.close(self._subscribed.result())
        closing = next(part.result() for part in parts if part in ended)
        await asyncio.wait(parts)
        await self._close(closing)

    async def _ended(self, part: Callable[[], Coroutine[Any, Any, None]]) -> _Closing:
        """Why a part of the conversation ended; each goes on until it raises."""
        try:
            await part()
        except _Closing as closing:
            return closing
        except Exception:  # noqa: BLE001 - logged; the socket ends, the server does not
            _log.exception("a websocket failed")
        return _Closing(1011, "an error of the service; it has been logged")

    async def _read(self) -> None:
        """Take messages as they come."""
        while True:
            try:
                message = await self._websocket.receive()
            except RuntimeError as error:  # the client left between two messages
                raise _Closing(None) from error
            if message["type"] == "websocket.disconnect":
                raise _Closing(None)
            text: str | bytes = message.get("text") or message.get("bytes") or b""
            if len(text) > MAX_MESSAGE_BYTES:
                raise _Closing(1009, f"a message may have {MAX_MESSAGE_BYTES} bytes")
            try:
                owed = self._take(read_message(text))
            except RefusedMessage as refused:
                if refused.kind == "observe":
                    self._meter.rejected(refused.error.code, 1)
                owed = _refusal(refused.request_id, refused.error)
            if owed is not None:
                await self._unanswered.put(owed)

    def _take(self, message: ClientMessage) -> _Unanswered | None:
        """Do what a message asks for; returns the answer that is owed now."""
        try:
            if isinstance(message, Observe):
                future = self._engine.observe([Run(self._stream_of(message), [message.observation], (0,))])
                return _Unanswered(message.id, lambda: future, partial(_result, message.id))
            if isinstance(message, Predict):
                return self._prediction(message, self._stream_of(message))
            if isinstance(message, Subscribe):
                self._follow(message)
            else:
                self._unfollow(message.stream)
        except UoroError as error:
            return _refusal(message.id, error)
        return None

    def _stream_of(self, message: ClientMessage) -> str:
        stream = message.stream or self._stream
        if stream is None:
            raise InvalidRequest("on this socket a message names its stream", field="stream")
        if self._stream is not None and stream != self._stream:
            raise InvalidRequest(f"this socket is that of stream {self._stream!r}", field="stream")
        return stream

    def _prediction(self, message: Predict, stream: str) -> _Unanswered:
        seq = 0

        def begin() -> Future[list[Prediction] | None]:
            nonlocal seq
            seq = self._engine.describe(stream).last_seq + 1
            return self._engine.predict(stream, message.horizon or 1)

        def word(predictions: list[Prediction] | None) -> dict[str, object]:
            document = prediction_document(stream, seq, predictions, horizon=message.horizon)
            return {"type": "prediction", "id": message.id, **document}

        return _Unanswered(message.id, begin, word)

    def _follow(self, message: Subscribe) -> None:
        if not self._subscribed.done():
            self._subscribed.set_result(self._engine.hub.open())
        subscription = self._subscribed.result()
        if message.stream is None and self._stream is None:
            self._engine.hub.follow(subscription, None)
            return
        stream = self._stream_of(message)
        if subscription.streams is None:
            return
        if stream not in subscription.streams and len(subscription.streams) >= MAX_FOLLOWED:
            raise InvalidRequest(f"a socket may follow {MAX_FOLLOWED} streams, or all", field="stream")
        self._engine.hub.follow(subscription, stream)

    def _unfollow(self, stream: str | None) -> None:
        if not self._subscribed.done():
            return
        subscription = self._subscribed.result()
        if stream is not None and subscription.streams is None:
            raise InvalidRequest("this socket follows all streams; unsubscribe from all", field="stream")
        self._engine.hub.unfollow(subscription, stream)

    async def _answer(self) -> None:
        """Give the answers that are owed, in order."""
        while True:
            owed = await self._unanswered.get()
            try:
                message = owed.word(await answer(owed.begin()))
            except UoroError as error:
                message = error_message(owed.request_id, error)
            except Exception:  # noqa: BLE001 - logged; told to the client as internal
                _log.exception("an answer on a websocket failed")
                message = error_message(owed.request_id, UoroError())
            await self._send(message)

    async def _tell(self) -> None:
        """Pass on what the subscription brings."""
        subscription = await asyncio.shield(self._subscribed)
        while True:
            taken = await subscription.take()
            for told in taken:
                if subscription.streams is None or told.observed.stream in subscription.streams:
                    if told.message is None:
                        told.message = _encode(result_message(told.observed))
                    await self._send_text(told.message)
            if not taken:
                raise _Closing(1013, "this subscriber fell further behind than its buffer")

    async def _watch(self) -> None:
        """Wait for the server's end; in between, look whether the client still reads."""
        clock = asyncio.get_running_loop().time
        while not self._stopped.done():
            await asyncio.wait([self._stopped], timeout=self._send_timeout_s / 8)
            if self._sends and clock() - self._sends[0] > self._send_timeout_s:
                raise _Closing(1013, "the client does not read")
        raise self._stopped.result()

    async def _send(self, message: object) -> None:
        await self._send_text(_encode(message))

    async def _send_text(self, text: str) -> None:
        # A timeout of its own would cost as much as the send itself: `_watch` looks after those that take long.
        since = asyncio.get_running_loop().time()
        self._sends.append(since)
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise _Closing(None) from error
        finally:
            self._sends.remove(since)

    async def _close(self, closing: _Closing) -> None:
        if closing.code is None:
            return
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._websocket.close(closing.code, closing.reason)


def _refusal(request_id: Raw, error: UoroError) -> _Unanswered:
    def begin() -> Future[Any]:
        raise error

    return _Unanswered(request_id, begin, dict)


def _result(request_id: Raw, outcomes: Outcomes) -> object:
    outcome = outcomes.only()
    if isinstance(outcome, UoroError):
        raise outcome
    return own_result_message(request_id, outcome)


def _encode(message: object) -> str:
    return _ENCODER.encode(message).decode()
