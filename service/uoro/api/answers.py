"""Waiting for the engine without a hold on its work."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def answer(future: Future[T]) -> T:
    """The outcome of an engine call. A client that goes away stops the wait, never what it asked for."""
    if not future.done():
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(lambda _: None if loop.is_closed() else loop.call_soon_threadsafe(_wake, waiter))
        await waiter
    return future.result()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
