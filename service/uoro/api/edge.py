"""The outermost layer around every request: its id, its path, its measure, and the last word on failures."""

from __future__ import annotations

import logging
import os
import re
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uoro.api.audit import ACTS, write_act
from uoro.api.paths import canonical_path
from uoro.api.ports import RequestMeter
from uoro.api.scope import REQUEST_ID_KEY, ROUTE_KEY

SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
CLIENT_GONE = 499
MARKS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
"""What every response carries besides its id."""

POLICY_NAME = b"content-security-policy"
POLICY = (POLICY_NAME, b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
"""What a response that is no page may make a browser do; a page brings its own."""

_log = logging.getLogger(__name__)


class Edge:
    """Wraps the application.

    Every response carries `x-request-id` (the caller's, if it is a sane one) and what keeps a browser from
    sniffing, framing and telling where it was. Administrative acts are written to the audit log. Measures are
    labelled with the route's template, never with a raw path or an unknown method.
    """

    def __init__(self, app: ASGIApp, meter: RequestMeter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "path": canonical_path(scope)}
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            scope[REQUEST_ID_KEY] = _request_id(scope).decode()
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request_id = _request_id(scope)
        scope[REQUEST_ID_KEY] = request_id.decode()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.get("headers", ())
                headers = [*given, (b"x-request-id", request_id), *MARKS]
                if POLICY_NAME not in [name for name, _ in given]:
                    headers.append(POLICY)
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            status = CLIENT_GONE
        except Exception:  # noqa: BLE001 - answered with a problem document by now; here the log is told
            name = scope[REQUEST_ID_KEY]
            _log.exception("request %s failed", name, extra={"request_id": name})
            status = 500
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = _route_of(scope)
            self._meter.request(route, method, status, time.perf_counter() - began)
            act = ACTS.get((method, route))
            if act is not None and ROUTE_KEY not in scope:
                write_act(act, scope, status)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SANE_REQUEST_ID.fullmatch(value):
            return bytes(value)
    return os.urandom(8).hex().encode()


def _route_of(scope: Scope) -> str:
    """The template of the path. Routes without a template have one path, and leave no route in the scope."""
    if "route" in scope:
        return str(scope["route"].path)
    if ROUTE_KEY in scope:
        return str(scope[ROUTE_KEY])
    return str(scope["path"]) if "endpoint" in scope else UNMATCHED
