"""A proxy on a unix socket between a store and its server, which loses, delays and refuses requests as told."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from enum import Enum
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote


class Loss(Enum):
    """What happens to a request.

    It is not handed on, or its reply is not, and the connection closes at once; it is handed on late; or it is answered
    with an error in the server's place.
    """

    REQUEST = "request"
    REPLY = "reply"
    SLOW = "slow"
    OOM = "-OOM command not allowed when used memory > 'maxmemory'."
    READONLY = "-READONLY You can't write against a read only replica."
    LOADING = "-LOADING Redis is loading the dataset in memory"


_ERRORS = (Loss.OOM, Loss.READONLY, Loss.LOADING)


class ScriptedProxy:
    """Losses befall the requests with `word`, in the order of `script`; None lets one through.

    Args:
        word: an empty one means every request, those that open a connection included.
        delay_s: by which a slow request is late.

    Attributes:
        num_meant: how many requests with the word came.
        held: requests that were lost on their way; `deliver_late` hands them to the server after all.
    """

    def __init__(self, server_socket: Path, socket_path: Path, word: bytes, delay_s: float = 0.0) -> None:
        self.num_meant = 0
        self.script: deque[Loss | None] = deque()
        self.held: list[bytes] = []
        self.url = "unix://" + quote(str(socket_path))
        self._server_socket = server_socket
        self._word = word
        self._delay_s = delay_s
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(socket_path))
        self._listener.listen()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def deliver_late(self) -> list[bytes]:
        """The server's replies to the requests that were lost, now that they arrive."""
        replies = []
        for request in self.held:
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(str(self._server_socket))
                upstream.sendall(request)
                replies.append(upstream.recv(2**16))
        self.held.clear()
        return replies

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            _shut(connection)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                downstream, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(downstream,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, downstream: socket.socket) -> None:
        with downstream, socket.socket(socket.AF_UNIX) as upstream:
            self._open |= {downstream, upstream}
            try:
                upstream.connect(str(self._server_socket))
                with downstream.makefile("rb") as requests, upstream.makefile("rb") as replies:
                    while request := read_frame(requests):
                        loss = self._draw(request)
                        if loss is not None and loss in _ERRORS:
                            downstream.sendall(f"{loss.value}\r\n".encode())
                            continue
                        if loss is Loss.SLOW:
                            time.sleep(self._delay_s)
                        if loss is Loss.REQUEST:
                            self.held.append(request)
                            return
                        upstream.sendall(request)
                        reply = read_frame(replies)
                        if loss is Loss.REPLY:
                            return
                        downstream.sendall(reply)
            except OSError:
                return
            finally:
                self._open -= {downstream, upstream}

    def _draw(self, request: bytes) -> Loss | None:
        # The library names every function, so its loading has every word.
        if self._word and (b"LOAD" in request or self._word not in request):
            return None
        self.num_meant += 1
        return self.script.popleft() if self.script else None


def read_frame(stream: BinaryIO) -> bytes:
    """One whole request or reply of the Redis protocol (version 2); empty at the end of the stream."""
    head = stream.readline()
    if head[:1] == b"$" and head != b"$-1\r\n":
        return head + stream.read(int(head[1:]) + 2)
    if head[:1] == b"*" and head != b"*-1\r\n":
        return head + b"".join(read_frame(stream) for _ in range(int(head[1:])))
    return head


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
