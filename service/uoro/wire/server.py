"""The web server: uvicorn, with guarded connections."""

from __future__ import annotations

from functools import partial

import uvicorn
from starlette.types import ASGIApp

from uoro.wire.guard import Guard
from uoro.wire.http import HttpConnection
from uoro.wire.websocket import WebsocketConnection

MAX_MESSAGE_BYTES = 2**20
GRACE_S = 10


def web_server(app: ASGIApp, guard: Guard, log_level: str) -> uvicorn.Server:
    """A server that lets connections in as the guard allows.

    Websockets are not compressed: a few bytes could stand for very many.
    """
    ping_s = guard.allowance.ping_s
    config = uvicorn.Config(
        app,
        http=partial(HttpConnection, guard=guard),  # type: ignore[arg-type]  # it is only called
        ws=partial(WebsocketConnection, guard=guard),  # type: ignore[arg-type]  # same
        log_config=None,
        log_level=log_level,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_keep_alive=guard.allowance.keep_alive_s,
        ws_ping_interval=ping_s,
        ws_ping_timeout=ping_s,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)
