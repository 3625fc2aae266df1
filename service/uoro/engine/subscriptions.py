"""Fan-out of results to those who asked for them. All methods but `publish` belong to the event loop's thread.

Rules:
1. Every subscription has a bounded buffer. One that falls behind is marked overflowed and gets nothing more:
   a subscriber sees every result or is told that it does not, never a thinned stream.
2. `publish` may be called from any thread and never blocks. Results that nobody follows are never read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from uoro.domain import Observation, Observed, Result
from uoro.errors import Overloaded


class Told:
    """One result on its way to subscribers, who share it.

    Attributes:
        message: what it looks like on the wire, once a subscriber has written it.
    """

    __slots__ = ("message", "observed")

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.message: str | None = None


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
        self._buffer: deque[Told] = deque()
        self._arrived = asyncio.Event()

    def offer(self, told: Told) -> None:
        """Buffer one result, or overflow."""
        if self.is_overflowed or not told.observed.stream.startswith(self._prefix):
            return
        if len(self._buffer) >= self._max_messages:
            self.is_overflowed = True
        else:
            self._buffer.append(told)
        self._arrived.set()

    async def take(self) -> list[Told]:
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
        self._of_all: set[Subscription] = set()
        self._by_stream: dict[str, set[Subscription]] = {}
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

    def follow(self, subscription: Subscription, stream: str | None) -> None:
        """Let a subscription follow one more stream, or all."""
        if stream is None:
            self.unfollow(subscription, None)
            subscription.streams = None
            self._of_all.add(subscription)
        elif subscription.streams is not None:
            subscription.streams.add(stream)
            self._by_stream.setdefault(stream, set()).add(subscription)

    def unfollow(self, subscription: Subscription, stream: str | None) -> None:
        """Let a subscription follow one stream less, or none any more."""
        streams = subscription.streams or set()
        for left in list(streams) if stream is None else [stream] if stream in streams else []:
            streams.discard(left)
            followers = self._by_stream[left]
            followers.discard(subscription)
            if not followers:
                del self._by_stream[left]
        if stream is None:
            self._of_all.discard(subscription)
            subscription.streams = set()

    def close(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self.unfollow(subscription, None)
        self._subscriptions.discard(subscription)

    def publish(self, stream: str, results: Sequence[Result], observations: Sequence[Observation]) -> None:
        """Hand results of a stream, and the observations they are of, to whoever follows it; from any thread."""
        if (self._of_all or stream in self._by_stream) and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._fan_out, stream, results, observations)

    def _fan_out(self, stream: str, results: Sequence[Result], observations: Sequence[Observation]) -> None:
        followers = [*self._of_all, *self._by_stream.get(stream, ())]
        if followers:
            for result, observation in zip(results, observations, strict=True):
                told = Told(Observed(stream, result.seq, False, result, observation.x))
                for subscription in followers:
                    subscription.offer(told)
