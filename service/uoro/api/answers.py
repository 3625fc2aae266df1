"""Waiting for the engine without a hold on its work."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def answer(future: Future[T]) -> T:
    """The outcome of an engine call. A client that goes away stops the wait, never what it asked for."""
    return await asyncio.shield(asyncio.wrap_future(future))
