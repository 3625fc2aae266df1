"""Writes of a connection, gathered: what one turn of the event loop has to say to a client goes out at once.

The web server writes the head of an answer and its body one after the other, and each frame of a websocket by itself;
the answers of one flush come in one turn. A write to a socket costs more than making what is written.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_GATHERED_BYTES = 2**16
"""With more than this waiting it is written at once: so the transport tells a writer in time that it is to pause."""


class Gathering(asyncio.Transport):
    """A transport whose writes go out together, at the end of the loop's turn at the latest."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes | bytearray | memoryview] = []
        self._num_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write soon, after whatever was written before; like the transport's own."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._num_bytes += len(data)
        if self._num_bytes > MAX_GATHERED_BYTES:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting, self._num_bytes = self._waiting, [], 0
        if waiting and not self._transport.is_closing():
            self._transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    def close(self) -> None:
        """Close it once everything is written."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close it now."""
        self._waiting, self._num_bytes = [], 0
        self._transport.abort()

    def write_eof(self) -> None:
        """Nothing more is written."""
        self._flush()
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        """Whether it can be closed half."""
        return self._transport.can_write_eof()

    def get_write_buffer_size(self) -> int:
        """Bytes that are not written yet."""
        return self._num_bytes + self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Bytes at which a writer goes on, and above which it pauses."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Change them."""
        self._transport.set_write_buffer_limits(high, low)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        """Whether it is read from."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told what comes."""
        return self._transport.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another."""
        self._transport.set_protocol(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)


class GatheringProtocol(HttpToolsProtocol):
    """The web server's protocol over gathered writes; a websocket that comes of a request keeps its transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client is there."""
        super().connection_made(Gathering(transport))
