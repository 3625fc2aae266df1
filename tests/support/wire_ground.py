"""The web server as it is, on a port of its own, with short limits; and clients that are rude, on bare sockets."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from api_ground import CountingMeter
from starlette.types import ASGIApp

from uoro.api.app import create_app
from uoro.engine.engine import Engine
from uoro.engine.meter import SilentMeter
from uoro.limits import Limits
from uoro.store.memory import MemoryStore
from uoro.wire.allowance import Allowance
from uoro.wire.guard import Guard
from uoro.wire.server import web_server

PATIENCE_S = 240.0
"""After which a client of these tests gives up: a first compilation has its time; what is judged comes much sooner."""


class CutMeter:
    """Remembers how connections ended."""

    def __init__(self) -> None:
        self.num_open = 0
        self.cuts: Counter[str] = Counter()

    def connections(self, num: int) -> None:
        self.num_open = num

    def cut(self, reason: str) -> None:
        self.cuts[reason] += 1


class WireServer:
    """A running web server."""

    def __init__(self, port: int, guard: Guard, meter: CutMeter, engine: Engine) -> None:
        self.port = port
        self.guard = guard
        self.meter = meter
        self.engine = engine

    def connect(self, said: bytes = b"", *, receive_buffer: int | None = None) -> Rude:
        """A client that has said something."""
        return Rude(self.port, said, receive_buffer)

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Return once something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, "it never came to be"
            time.sleep(0.002)

    def ask(self, said: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to what one connection says; the connection is closed by either side."""
        with self.connect(said) as client:
            return client.answer()


class Rude:
    """A bare socket."""

    def __init__(self, port: int, said: bytes, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", port))
        self.say(said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, said: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(said)

    def reset(self) -> None:
        """Leave without a word, by a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def rest(self) -> bytes:
        """Everything that comes until the other side closes; a reset is an end too."""
        said = b""
        try:
            while part := self.socket.recv(2**16):
                said += part
        except ConnectionResetError:
            pass
        return said

    def head(self) -> bytes:
        """What comes up to the first empty line."""
        said = b""
        while b"\r\n\r\n" not in said:
            part = self.socket.recv(1)
            if not part:
                break
            said += part
        return said

    def answer(self) -> tuple[int, bytes]:
        """Status and body of one answer that says its length."""
        head = self.head()
        assert head.startswith(b"HTTP/1.1 "), head
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        body = b""
        while len(body) < length:
            body += self.socket.recv(length - len(body))
        return int(head[9:12]), body

    def is_open(self) -> bool:
        """Whether the other side has neither closed nor reset, and has said nothing."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self.socket.settimeout(PATIENCE_S)


@contextmanager
def wired(allowance: Allowance | None = None, *, app: ASGIApp | None = None, **options: Any) -> Iterator[WireServer]:
    """A web server in front of a real engine on the memory store, or of another application."""
    limits = Limits(drain_timeout_s=1.0, **options)
    engine = Engine(MemoryStore(), "me", limits, SilentMeter(), auto_create=True)
    engine.start()
    meter = CutMeter()
    guard = Guard(allowance or Allowance(), meter)
    server = web_server(app or create_app(engine, limits, CountingMeter()), guard, "warning")
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    ground = WireServer(listening.getsockname()[1], guard, meter, engine)
    try:
        ground.wait_for(lambda: server.started and engine.is_ready)
        yield ground
    finally:
        server.should_exit = True
        thread.join()
        engine.stop()


def masked(opcode: int, content: bytes, *, fin: bool = True) -> bytes:
    """A websocket frame of a client, masked with zeros."""
    size = len(content)
    length = (
        bytes([0x80 | size])
        if size < 126
        else bytes([0x80 | 126]) + size.to_bytes(2)
        if size < 2**16
        else bytes([0x80 | 127]) + size.to_bytes(8)
    )
    return bytes([(0x80 if fin else 0) | opcode]) + length + b"\0\0\0\0" + content


HANDSHAKE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
