"""Saying no before a route is looked for: counted, written down, and answered, to a request or to a handshake."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from uoro.api.audit import Refusals
from uoro.api.ports import RequestMeter
from uoro.api.problems import code_of, detail_of, response_of
from uoro.api.scope import REQUEST_ID_KEY
from uoro.errors import RequestError

Headers = Iterable[tuple[bytes, bytes]]


class Refusing:
    """Refuses for one layer around the application."""

    def __init__(self, meter: RequestMeter) -> None:
        self._meter = meter
        self._refusals = Refusals()

    async def refuse(
        self,
        error: RequestError,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        claimed_key: str | None = None,
        headers: Headers = (),
    ) -> None:
        """Answer with a problem document. `claimed_key` is the id of a key that exists, which was not shown."""
        self._meter.refused(code_of(error))
        self._refusals.write(code_of(error), detail_of(error), scope, claimed_key)
        response = response_of(error, scope[REQUEST_ID_KEY])
        response.raw_headers.extend(headers)
        if scope["type"] == "websocket":
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008, "reason": HTTPStatus(response.status_code).phrase})
                return
            response.headers["x-request-id"] = scope[REQUEST_ID_KEY]
        await response(scope, receive, send)
