"""Fan-out of results to those who asked for them. All methods but `publish` belong to the event loop's thread.

Rules:
1. Every subscription has a bounded buffer. One that falls behind is marked overflowed and gets nothing more:
   a subscriber sees every result or is told that it does not, never a thinned stream.
2. `publish` may be called from any thread and never blocks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from uoro.domain import Observed
from uoro.errors import Overloaded


class Subscription:
    """One listener's bounded buffer. `streams` it follows; None stands for all.

    Args:
        prefix: of the streams that it may hear of, whatever it follows.

    Attributes:
        is_overflowed: it fell more than its buffer behind; what is buffered is the last it will get.
    """

    def __init__(self, max_messages: int, prefix: str = "") -> None:
        self.streams: set[str] | None = set()
        self.is_overflowed = False
        self._max_messages = max_messages
        self._prefix = prefix
        self._buffer: deque[Observed] = deque()
        self._arrived = asyncio.Event()

    def offer(self, observed: Observed) -> None:
        """Buffer one result, or overflow."""
        if self.is_overflowed or not observed.stream.startswith(self._prefix):
            return
        if len(self._buffer) >= self._max_messages:
            self.is_overflowed = True
        else:
            self._buffer.append(observed)
        self._arrived.set()

    async def take(self) -> list[Observed]:
        """Wait for results and take all that are buffered; an empty list means overflowed."""
        while not self._buffer and not self.is_overflowed:
            self._arrived.clear()
            await self._arrived.wait()
        taken = list(self._buffer)
        self._buffer.clear()
        return taken


class Hub:
    """All subscriptions of a server."""

    def __init__(self, max_subscribers: int, max_messages: int) -> None:
        self._max_subscribers = max_subscribers
        self._max_messages = max_messages
        self._subscriptions: set[Subscription] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the event loop that subscribers live on, before the first `publish`."""
        self._loop = loop

    def open(self, prefix: str = "") -> Subscription:
        """A new subscription that follows nothing yet, and never streams without the prefix.

        Raises Overloaded when there are too many.
        """
        if len(self._subscriptions) >= self._max_subscribers:
            raise Overloaded(f"{self._max_subscribers} subscribers are connected, which is the limit")
        subscription = Subscription(self._max_messages, prefix)
        self._subscriptions.add(subscription)
        return subscription

    def close(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._subscriptions.discard(subscription)

    def publish(self, results: Sequence[Observed]) -> None:
        """Hand results to whoever follows their streams; from any thread."""
        if self._subscriptions and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._fan_out, results)

    def _fan_out(self, results: Sequence[Observed]) -> None:
        for subscription in self._subscriptions:
            streams = subscription.streams
            for observed in results:
                if streams is None or observed.stream in streams:
                    subscription.offer(observed)
