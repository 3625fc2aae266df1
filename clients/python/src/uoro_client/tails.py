"""Tails: every result of one stream, once and in order, through lost connections and restarts of the service.

A tail subscribes, waits until the service follows the stream for it, fetches the recent results, and goes on with
what it hears; `order.py` states the rules. It is an iterator and a context manager, and connects when it is entered
or first asked for a result.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from uoro_client.errors import ClientError, ReplyLost, SubscriptionLost
from uoro_client.order import Order
from uoro_client.replies import ObservationReply
from uoro_client.retry import Patience, pause_before_retry
from uoro_client.subscription import KEY_ENDED, NORMAL_CLOSURE, AsyncSubscription, Subscription


class Outage:
    """How long a tail has had no connection, and whether it goes on trying.

    Attributes:
        error: what the latest attempt failed with; None while there is a connection.
    """

    def __init__(self, patience: Patience) -> None:
        self.error: ClientError | None = None
        self._patience = patience
        self._since_s = 0.0
        self._num_attempts = 0

    def over(self) -> None:
        """The connection is back."""
        self.error = None
        self._num_attempts = 0

    def failed(self, error: ClientError) -> float:
        """Seconds until the next attempt. Raises the error if it stands."""
        if self.error is None:
            self._since_s = time.monotonic()
        self.error = error
        self._num_attempts += 1
        is_cut = isinstance(error, SubscriptionLost) and error.close_code != KEY_ENDED
        pause_s = pause_before_retry(
            self._patience,
            ReplyLost(str(error)) if is_cut else error,  # to listen again changes nothing
            is_repeatable=True,
            num_attempts=self._num_attempts,
            elapsed_s=time.monotonic() - self._since_s,
            chance=random.random(),
        )
        if pause_s is None:
            raise error
        return pause_s


class Tail:
    """One stream's results as they come, for synchronous code; made by `Client.tail`."""

    def __init__(
        self,
        stream: str,
        subscribe: Callable[[str], Subscription],
        recent: Callable[[str], Sequence[ObservationReply]],
        order: Order,
        patience: Patience,
    ) -> None:
        self._stream = stream
        self._subscribe = subscribe
        self._recent = recent
        self._order = order
        self._outage = Outage(patience)
        self._subscription: Subscription | None = None
        self._due: deque[ObservationReply] = deque()
        self._closed = threading.Event()

    @property
    def num_missed(self) -> int:
        """Results that came while there was no connection, and that the service no longer keeps."""
        return self._order.num_missed

    @property
    def outage(self) -> ClientError | None:
        """Why there is no connection at the moment; None if there is one."""
        return self._outage.error

    def __enter__(self) -> Self:
        self._connected()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ObservationReply:
        while not self._closed.is_set():
            if self._due:
                return self._due.popleft()
            subscription = self._connected()
            if self._due:
                continue
            if subscription is None:
                break
            try:
                heard = next(subscription, None)
                if heard is None and not self._closed.is_set():
                    raise SubscriptionLost(NORMAL_CLOSURE, "the service closed it")
            except ClientError as error:
                self._lose(error)
            else:
                if heard is not None and self._order.is_new(heard):
                    self._due.append(heard)
        raise StopIteration

    def close(self) -> None:
        """End the tail; its iteration ends too. May be called from another thread."""
        self._closed.set()
        if self._subscription is not None:
            self._subscription.close()

    def _connected(self) -> Subscription | None:
        """The subscription, made anew if it was lost; None once the tail is closed."""
        while self._subscription is None and not self._closed.is_set():
            subscription = self._subscribe(self._stream)
            try:
                heard = subscription.settle()
                self._due += self._order.fetched(self._recent(self._stream))
                self._due += [result for result in heard if self._order.is_new(result)]
            except ClientError as error:
                subscription.close()
                self._lose(error)
            else:
                self._subscription = subscription
                self._outage.over()
        return self._subscription

    def _lose(self, error: ClientError) -> None:
        """Let go of the connection and wait. Raises the error if it stands."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        self._closed.wait(self._outage.failed(error))


class AsyncTail:
    """One stream's results as they come, for asynchronous code; made by `AsyncClient.tail`."""

    def __init__(
        self,
        stream: str,
        subscribe: Callable[[str], AsyncSubscription],
        recent: Callable[[str], Awaitable[Sequence[ObservationReply]]],
        order: Order,
        patience: Patience,
    ) -> None:
        self._stream = stream
        self._subscribe = subscribe
        self._recent = recent
        self._order = order
        self._outage = Outage(patience)
        self._subscription: AsyncSubscription | None = None
        self._due: deque[ObservationReply] = deque()
        self._is_closed = False

    @property
    def num_missed(self) -> int:
        """Results that came while there was no connection, and that the service no longer keeps."""
        return self._order.num_missed

    @property
    def outage(self) -> ClientError | None:
        """Why there is no connection at the moment; None if there is one."""
        return self._outage.error

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
        while not self._is_closed:
            if self._due:
                return self._due.popleft()
            subscription = await self._connected()
            if self._due:
                continue
            if subscription is None:
                break
            try:
                heard = await anext(subscription, None)
                if heard is None and not self._is_closed:
                    raise SubscriptionLost(NORMAL_CLOSURE, "the service closed it")
            except ClientError as error:
                await self._lose(error)
            else:
                if heard is not None and self._order.is_new(heard):
                    self._due.append(heard)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the tail; its iteration ends too."""
        self._is_closed = True
        if self._subscription is not None:
            await self._subscription.aclose()

    async def _connected(self) -> AsyncSubscription | None:
        """The subscription, made anew if it was lost; None once the tail is closed."""
        while self._subscription is None and not self._is_closed:
            subscription = self._subscribe(self._stream)
            try:
                heard = await subscription.settle()
                self._due += self._order.fetched(await self._recent(self._stream))
                self._due += [result for result in heard if self._order.is_new(result)]
            except ClientError as error:
                await subscription.aclose()
                await self._lose(error)
            else:
                self._subscription = subscription
                self._outage.over()
        return self._subscription

    async def _lose(self, error: ClientError) -> None:
        """Let go of the connection and wait. Raises the error if it stands."""
        if self._subscription is not None:
            await self._subscription.aclose()
            self._subscription = None
        await asyncio.sleep(self._outage.failed(error))
