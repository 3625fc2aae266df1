"""What all large bodies that are being read take in memory together: each is bounded, and so is their sum."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uoro.errors import Overloaded

SMALL_BODY_BYTES = 2**16
"""Bodies announced with no more than this are not counted: the number of connections bounds them."""


class Intake:
    """Wraps the application: a body that would go beyond `max_bytes`, with all others, ends its request with 429."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._num_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_small(scope):
            await self._app(scope, receive, send)
            return
        num_held = 0

        async def receive_counted() -> Message:
            nonlocal num_held
            message = await receive()
            num = len(message.get("body", b""))
            if self._num_bytes + num > self._max_bytes:
                raise Overloaded("too much is being sent at the same time; send it again a little later")
            num_held += num
            self._num_bytes += num
            return message

        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._num_bytes -= num_held


def _is_small(scope: Scope) -> bool:
    """Whether a body is announced, and small; one in chunks is not announced."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return False
        if name == b"content-length":
            return value.isdigit() and int(value[:20]) <= SMALL_BODY_BYTES
    return True
