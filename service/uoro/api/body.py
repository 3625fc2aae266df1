"""Reading a request's body: bounded in bytes and in time, whole or not at all."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from uoro.api.problems import BodyTimeout, UnsupportedEncoding, UnsupportedMediaType
from uoro.errors import BodyTooLarge

CHUNK_TIMEOUT_S = 30.0
BODY_TIMEOUT_S = 300.0

JSON = "application/json"
NDJSON = "application/x-ndjson"

MAX_DOCUMENT_BYTES = 2**20
"""What is not observations or a model is small."""


async def read_body(
    request: Request,
    max_bytes: int,
    *,
    packed: str | None = None,
    chunk_timeout_s: float = CHUNK_TIMEOUT_S,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> bytes:
    """The whole body, as it came. The two times bound the wait for each chunk and for all of them.

    `packed` names the one Content-Encoding that it must have, or be silent about; without it, none.

    Raises BodyTooLarge, BodyTimeout, UnsupportedEncoding; ClientDisconnect if the client left midway.
    """
    encoding = header(request, b"content-encoding").strip().lower()
    if packed is None and encoding not in {"", "identity"}:
        raise UnsupportedEncoding("the body must not be compressed; send it without a Content-Encoding")
    if packed is not None and encoding not in {"", packed}:
        raise UnsupportedEncoding(f"the body must be compressed with {packed}")
    announced = header(request, b"content-length")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > max_bytes:
        raise BodyTooLarge(f"the body is announced with {announced[:20]} bytes and may have {max_bytes}")
    chunks: list[bytes] = []
    num_bytes = 0
    loop = asyncio.get_running_loop()
    deadline = loop.time() + body_timeout_s
    patience = _Patience()
    while True:
        timer = loop.call_at(min(loop.time() + chunk_timeout_s, deadline), patience.end)
        try:
            message = await request.receive()
        except asyncio.CancelledError:
            patience.explain()
            raise
        finally:
            timer.cancel()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise BodyTooLarge(f"the body may have {max_bytes} bytes and has more")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class _Patience:
    """What `asyncio.timeout` does, for a wait that is mostly over before it begins: one timer, and nothing else."""

    __slots__ = ("_is_over", "_task")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._is_over = False

    def end(self) -> None:
        """Time is up."""
        assert self._task is not None  # noqa: S101 - whoever waits is a task
        self._is_over = True
        self._task.cancel()

    def explain(self) -> None:
        """Raise BodyTimeout if it was this that cancelled the task, and nobody else did."""
        if self._is_over and self._task is not None and not self._task.uncancel():
            raise BodyTimeout("the body did not arrive in time")


def header(request: Request, name: bytes) -> str:
    """A header's value, the first if there are several; "" if there is none."""
    for its, value in request.scope["headers"]:
        if its == name:
            return bytes(value).decode("latin-1")
    return ""


def content_type(request: Request, *known: str) -> str:
    """The content type without its parameters; the first of `known` where none is given.

    Raises UnsupportedMediaType for one that is not among `known`.
    """
    given = header(request, b"content-type").partition(";")[0].strip().lower()
    if not given:
        return known[0]
    if given not in known:
        raise UnsupportedMediaType(f"the content type must be {' or '.join(known)}")
    return given
