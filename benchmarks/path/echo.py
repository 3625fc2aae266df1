"""A bare ASGI application: it reads a request and answers bytes of the size of the service's reply.

python benchmarks/path/echo.py PORT
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

REPLY = (
    b'{"stream":"s1","seq":1234,"t":null,"duplicate":false,"prediction":{"value":{"mean":11.123456789012345,'
    b'"lower":9.123456789012345,"upper":13.123456789012345}},"loss":0.5123456789012345,"baseline_loss":1.0,'
    b'"anomaly":0.5123456789012345,"next":{"value":{"mean":12.123456789012345,"lower":10.12345678901234,'
    b'"upper":14.12345678901234}}}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(REPLY)).encode())]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": REPLY.decode()})
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": REPLY})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="warning", access_log=False)
