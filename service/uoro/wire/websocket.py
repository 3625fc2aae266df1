"""One websocket connection, within its allowance.

Rules, beyond those of uvicorn's protocol, which this one extends:
1. A handshake that cannot be read is answered 400, and one that is not complete in its time is closed.
2. A message has so many fragments at most; empty ones would make it no longer.
3. Text that is no UTF-8 closes the connection (1007).
4. A ping is answered while the client reads; the answers would pile up otherwise.
5. A client that is owed bytes takes them, or is cut off: a close waits for what is unsent, without end.
"""

from __future__ import annotations

import asyncio
from asyncio.transports import BaseTransport
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame

from uoro.wire.guard import FRAGMENTED, HEAD_TIMEOUT, STALLED, Guard
from uoro.wire.outflow import Outflow


class WebsocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's protocol with a guard; made by `partial(WebsocketConnection, guard=...)`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        guard: Guard,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard = guard
        self._outflow = Outflow(guard.allowance.stall_s, guard.allowance.min_drained_bytes)
        self._since_s = 0.0

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin; the room is that of the HTTP connection which this one was."""
        self._guard.admit(self)
        self._since_s = self.loop.time()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._guard.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a handshake that makes no sense ends here."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(STATUS_LINE[400] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """One more fragment."""
        if len(self.frames) < self._guard.allowance.max_fragments:
            super().handle_cont(event)
        elif not self.transport.is_closing():
            self._guard.meter.cut(FRAGMENTED)
            most = self._guard.allowance.max_fragments
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"a message may have {most} fragments")
            self.handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        """A message is complete; text that is none is the client's fault and not worth an error in the log."""
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self.frames = []
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, unless the client leaves unread what it is owed."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # the answer alone: all else is written at once

    def handle_parser_exception(self) -> None:
        """Close after a breach of the protocol; one before the handshake is over leaves nothing to say."""
        if self.conn.close_sent is not None:
            super().handle_parser_exception()
        elif not self.transport.is_closing():
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.PROTOCOL_ERROR})
            self.transport.close()

    def overdue(self, now_s: float) -> str | None:
        """Why its time is over, if it is."""
        is_leaving = self.transport.is_closing() or not self.writable.is_set()
        num_waiting = self.transport.get_write_buffer_size() if is_leaving else 0
        if self._outflow.is_stuck(now_s, num_waiting):
            return STALLED
        is_late = not self.handshake_complete and now_s - self._since_s >= self._guard.allowance.head_s
        return HEAD_TIMEOUT if is_late and not is_leaving else None

    def end(self, reason: str) -> None:
        """Close it; one that does not read is cut off."""
        if reason == STALLED:
            self.transport.abort()
        else:
            self.transport.close()


def _is_text(frames: list[bytes]) -> bool:
    content = frames[0] if len(frames) == 1 else b"".join(frames)
    if content.isascii():
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
