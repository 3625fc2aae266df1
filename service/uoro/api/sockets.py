"""All websockets of a server: their routes, and their end with it."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, WebSocket

from uoro.api.keyring import Keyring
from uoro.api.paths import stream_in
from uoro.api.ports import RequestMeter
from uoro.api.principal import Principal, principal_of
from uoro.api.views import EngineFor
from uoro.api.websocket import CLOSE_TIMEOUT_S, Socket

CHECK_INTERVAL_S = 1.0
"""How often the keys of open websockets are looked at."""

KEY_ENDED = 4401


class Sockets:
    """Endpoints `/v1/ws` and `/v1/streams/{stream}/ws`. One whose key is revoked, changed or over is closed."""

    def __init__(self, engine_for: EngineFor, meter: RequestMeter, keyring: Keyring | None = None) -> None:
        self._engine_for = engine_for
        self._meter = meter
        self._keyring = keyring
        self._open: dict[Socket, asyncio.Event] = {}
        self._callers: dict[Socket, Principal] = {}
        self._watch: asyncio.Task[None] | None = None

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
        socket = Socket(websocket, self._engine_for(websocket), self._meter, stream)
        ended = self._open[socket] = asyncio.Event()
        caller = principal_of(websocket)
        if caller is not None:
            self._callers[socket] = caller
            if self._watch is None:
                self._watch = asyncio.create_task(self._look_after_keys())
        try:
            await socket.run()
        finally:
            del self._open[socket]
            self._callers.pop(socket, None)
            ended.set()

    async def _look_after_keys(self) -> None:
        """Close the sockets whose keys have ended, for as long as there are any with keys."""
        try:
            while self._callers:
                await asyncio.sleep(CHECK_INTERVAL_S)
                for socket, caller in list(self._callers.items()):
                    reason = self._keyring.why_not(caller) if self._keyring is not None else None
                    if reason is not None:
                        socket.stop(KEY_ENDED, reason)
        finally:
            self._watch = None
