"""Waiting for the engine without a hold on its work."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Bell:
    """Wakes those on one event loop who wait for futures: one ring for as many as came meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done: deque[asyncio.Future[None]] = deque()
        self._is_rung = False

    def ring(self, waiter: asyncio.Future[None]) -> None:
        """One may wake; from any thread."""
        self._done.append(waiter)
        if not self._is_rung and not self._loop.is_closed():
            self._is_rung = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        # Cleared first: whoever comes from here on rings again.
        self._is_rung = False
        while self._done:
            waiter = self._done.popleft()
            if not waiter.done():
                waiter.set_result(None)


_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()


async def answer(future: Future[T]) -> T:
    """The outcome of an engine call. A client that goes away stops the wait, never what it asked for."""
    if not future.done():
        loop = asyncio.get_running_loop()
        bell = _bells.get(loop)
        if bell is None:
            bell = _bells[loop] = _Bell(loop)
        waiter: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(_Ringing(bell, waiter))
        await waiter
    return future.result()


class _Ringing:
    """What a future calls when it is done."""

    __slots__ = ("_bell", "_waiter")

    def __init__(self, bell: _Bell, waiter: asyncio.Future[None]) -> None:
        self._bell = bell
        self._waiter = waiter

    def __call__(self, _: Future[Any]) -> None:
        self._bell.ring(self._waiter)
