"""All websockets of a server: their routes, and their end with it."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, WebSocket

from uoro.api.paths import stream_in
from uoro.api.ports import Engine, RequestMeter
from uoro.api.websocket import CLOSE_TIMEOUT_S, Socket


class Sockets:
    """Endpoints `/v1/ws` and `/v1/streams/{stream}/ws`."""

    def __init__(self, engine: Engine, meter: RequestMeter) -> None:
        self._engine = engine
        self._meter = meter
        self._open: dict[Socket, asyncio.Event] = {}

    async def one_stream(self, websocket: WebSocket) -> None:
        """A socket of one stream."""
        await self._serve(websocket, stream_in(websocket))

    async def all_streams(self, websocket: WebSocket) -> None:
        """A socket whose messages name their streams."""
        await self._serve(websocket, None)

    async def close(self) -> None:
        """End all conversations; waits a moment for their ends."""
        ended = list(self._open.values())
        for socket in self._open:
            socket.stop()
        if ended:
            waits = [asyncio.ensure_future(event.wait()) for event in ended]
            _, late = await asyncio.wait(waits, timeout=2 * CLOSE_TIMEOUT_S)
            for wait in late:
                wait.cancel()

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoints."""
        app.add_api_websocket_route("/v1/streams/{stream}/ws", self.one_stream)
        app.add_api_websocket_route("/v1/ws", self.all_streams)

    async def _serve(self, websocket: WebSocket, stream: str | None) -> None:
        socket = Socket(websocket, self._engine, self._meter, stream)
        ended = self._open[socket] = asyncio.Event()
        try:
            await socket.run()
        finally:
            del self._open[socket]
            ended.set()
