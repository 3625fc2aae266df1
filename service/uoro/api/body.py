"""Reading a request's body: bounded in bytes and in time, whole or not at all."""

from __future__ import annotations

import asyncio
import time

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
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if packed is None and encoding not in {"", "identity"}:
        raise UnsupportedEncoding("the body must not be compressed; send it without a Content-Encoding")
    if packed is not None and encoding not in {"", packed}:
        raise UnsupportedEncoding(f"the body must be compressed with {packed}")
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > max_bytes:
        raise BodyTooLarge(f"the body is announced with {announced[:20]} bytes and may have {max_bytes}")
    chunks: list[bytes] = []
    num_bytes = 0
    deadline = time.monotonic() + body_timeout_s
    while True:
        try:
            async with asyncio.timeout(min(chunk_timeout_s, deadline - time.monotonic())):
                message = await request.receive()
        except TimeoutError as error:
            raise BodyTimeout("the body did not arrive in time") from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise BodyTooLarge(f"the body may have {max_bytes} bytes and has more")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def content_type(request: Request, *known: str) -> str:
    """The content type without its parameters; the first of `known` where none is given.

    Raises UnsupportedMediaType for one that is not among `known`.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not given:
        return known[0]
    if given not in known:
        raise UnsupportedMediaType(f"the content type must be {' or '.join(known)}")
    return given
