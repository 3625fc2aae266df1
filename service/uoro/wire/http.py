"""One HTTP connection, within its allowance.

Rules, beyond those of uvicorn's protocol, which this one extends:
1. Without room it is told so (503) once it speaks, or after a moment, and closed.
2. From its beginning, and from each answer on, the next head must be complete in its time. What comes of a body after
   the answer to it does not count as a beginning of anything.
3. A head over its limits is answered 431, and so are trailers; they are counted and never kept.
4. A client that is owed bytes takes them, or is cut off.
5. Nothing is said about a fault while an earlier request waits for its answer: the connection just ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from uoro.api.problems import PROBLEM_TYPE, document
from uoro.wire.guard import HEAD_TIMEOUT, HEAD_TOO_LARGE, PIPELINED, STALLED, Guard
from uoro.wire.outflow import Outflow

FIELD_EXTRA_BYTES = 4
"""A colon, a space and the end of a line."""


class _Refused(Exception):
    """Stops the parser; why is kept by the connection."""


class HttpConnection(HttpToolsProtocol):
    """uvicorn's protocol with a guard; made by `partial(HttpConnection, guard=...)`."""

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
        self._allowance = guard.allowance
        self._outflow = Outflow(guard.allowance.stall_s, guard.allowance.min_drained_bytes)
        self._is_let_in = False
        self._turning_away: asyncio.TimerHandle | None = None
        self._refusal: str | None = None
        self._since_s = 0.0  # it was opened, or the last answer given
        self._is_in_head = True
        self._num_raw_bytes = 0  # of a head that is not complete
        self._num_head_bytes = 0
        self._num_headers = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or turn it away."""
        self._is_let_in = self._guard.admit(self)
        if self._is_let_in:
            self._since_s = self.loop.time()
            super().connection_made(transport)
            return
        self.transport = transport
        if self._guard.num_turned_away >= self._allowance.max_turned_away:
            transport.abort()
            return
        self._guard.num_turned_away += 1
        self._turning_away = self.loop.call_later(self._allowance.turn_away_s, self._turn_away)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if not self._is_let_in:
            if self._turning_away is not None:
                self._turning_away.cancel()
                self._guard.num_turned_away -= 1
            return
        self._guard.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a head that does not end is given up, whatever its parser makes of it."""
        if not self._is_let_in:
            self._turn_away()
            return
        if self._is_in_head:
            self._num_raw_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._num_raw_bytes > 2 * self._allowance.max_head_bytes:
            self._refusal = self._refusal or HEAD_TOO_LARGE
            self.send_400_response("")

    def eof_received(self) -> None:
        """The client says no more; what it asked for may still be answered."""

    def on_message_begin(self) -> None:
        """A request begins."""
        self._num_head_bytes = self._num_headers = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or one of the trailers, which nobody reads."""
        self._num_headers += 1
        self._count(len(name) + len(value) + FIELD_EXTRA_BYTES)
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._is_in_head = False
        self._num_raw_bytes = 0
        if len(self.pipeline) >= self._allowance.max_pipelined:
            self._refusal = PIPELINED
            raise _Refused
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is complete; what comes next is a head."""
        self._is_in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer was given."""
        self._since_s = self.loop.time()
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, unless answers are still owed on it."""
        if self._is_owing():
            self.transport.close()
            return
        self._guard.leave(self)
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read on, and close."""
        if self.transport.is_closing():
            return
        if self._refusal is not None:
            self._guard.meter.cut(self._refusal)
        if self._is_owing():
            self.transport.close()
        elif self._refusal == HEAD_TOO_LARGE:
            most = f"{self._allowance.max_head_bytes} bytes and {self._allowance.max_headers} fields"
            self._say(431, {"code": HEAD_TOO_LARGE, "detail": f"the head of a request may have {most}"})
        else:
            self._say(400, {"code": "malformed_request", "detail": msg})

    def overdue(self, now_s: float) -> str | None:
        """Why its time is over, if it is."""
        is_leaving = self.transport.is_closing() or self.flow.write_paused
        num_waiting = self.transport.get_write_buffer_size() if is_leaving else 0
        if self._outflow.is_stuck(now_s, num_waiting):
            return STALLED
        is_late = not is_leaving and not self._is_owing() and now_s - self._since_s >= self._allowance.head_s
        return HEAD_TIMEOUT if is_late else None

    def end(self, reason: str) -> None:
        """Close it; one that does not read is cut off."""
        if reason == STALLED:
            self.transport.abort()
        else:
            self.transport.close()

    def _is_owing(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, num_bytes: int) -> None:
        self._num_head_bytes += num_bytes
        if self._num_head_bytes > self._allowance.max_head_bytes or self._num_headers > self._allowance.max_headers:
            self._refusal = HEAD_TOO_LARGE
            raise _Refused

    def _turn_away(self) -> None:
        if not self.transport.is_closing():
            self._say(503, {"code": "too_many_connections", "detail": "there is no room for one more connection"}, 1)

    def _say(self, status: int, members: dict[str, object], retry_after_s: int | None = None) -> None:
        """An answer to what never became a request; the last one on this connection."""
        body = document(status, members)
        head = [
            STATUS_LINE[status],
            f"content-type: {PROBLEM_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n".encode(),
        ]
        if retry_after_s is not None:
            head.append(b"retry-after: %d\r\n" % retry_after_s)
        self.transport.write(b"".join([*head, b"\r\n", body]))
        self.transport.close()
