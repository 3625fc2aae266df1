"""The door: where keys are configured, no request and no websocket gets past it without one.

It judges before a route is looked for, so that whatever answers behind it has been judged: which call it is (from
the table of rights), whose key or ticket it came with, whether the key grants the call, and whether it may send so
many bytes. The principal goes on in the scope.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uoro.access.key import id_of
from uoro.api.keyring import Keyring
from uoro.api.ports import RequestMeter
from uoro.api.principal import Principal
from uoro.api.problems import Forbidden, Unauthorized
from uoro.api.quota import BYTES, Quota
from uoro.api.refusal import Refusing
from uoro.api.rights import ANY_KEY, OPEN, WEBSOCKET, Right, right_of, template_of
from uoro.api.scope import PRINCIPAL_KEY, ROUTE_KEY
from uoro.api.tickets import Tickets
from uoro.errors import RequestError

UNREAD_BODY_BYTES = 2**16
"""After a refusal with more of a body than this still on its way the connection is not used again."""

MAX_PAUSE_S = 60.0
"""A websocket over its bytes a second is not read for so long at most at a time."""


class Door:
    """Wraps the application.

    Args:
        max_body_bytes: what a body is charged at most; one that is longer is not read.
        is_metrics_open: `/metrics` asks for no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring: Keyring,
        tickets: Tickets,
        meter: RequestMeter,
        *,
        max_body_bytes: int,
        is_metrics_open: bool = False,
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._tickets = tickets
        self._refusing = Refusing(meter)
        self._max_body_bytes = max_body_bytes
        self._is_metrics_open = is_metrics_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        is_http = scope["type"] == "http"
        method = scope["method"] if is_http else WEBSOCKET
        template = template_of(method, scope["path"])
        right = ANY_KEY if template is None else self._right_of(method, template)
        if right.is_open:
            await self._app(scope, receive, send)
            return
        try:
            principal = self._identify(scope)
            scope[PRINCIPAL_KEY] = principal
            _judge(principal, right)
            if is_http:
                principal.quota.take(BYTES, min(_announced_bytes(scope) or 1, self._max_body_bytes))
        except RequestError as error:
            if template is not None:
                scope[ROUTE_KEY] = template
            await self._refuse(error, scope, receive, send)
            return
        if principal.quota.has(BYTES):
            receive = _charged(scope, receive, principal.quota)
        await self._app(scope, receive, _told(send, principal.quota) if is_http else send)

    def _right_of(self, method: str, template: str) -> Right:
        right = right_of(method, template)
        return OPEN if right.is_of_all and self._is_metrics_open else right

    def _identify(self, scope: Scope) -> Principal:
        """Whose key or ticket came with a request. Raises Unauthorized."""
        token = bearer_of(scope)
        if token is not None:
            return self._keyring.identify(token)
        if scope["type"] == "websocket":
            tickets = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("ticket", [])
            if len(tickets) == 1:
                return self._tickets.redeem(tickets[0])
        raise Unauthorized("this service asks for a key: Authorization: Bearer uoro_…")

    async def _refuse(self, error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
        named = id_of(bearer_of(scope) or "")
        principal = scope.get(PRINCIPAL_KEY)
        headers = [] if principal is None else principal.quota.headers()
        num_bytes = _announced_bytes(scope)
        if scope["type"] == "http" and (num_bytes is None or num_bytes > UNREAD_BODY_BYTES):
            headers.append((b"connection", b"close"))
        key_id = named if principal is None and self._keyring.knows(named) else None
        await self._refusing.refuse(error, scope, receive, send, claimed_key=key_id, headers=headers)


def bearer_of(scope: Scope) -> str | None:
    """The token of the Authorization header; None without one, "" for another scheme."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if not given:
        return None
    scheme, _, token = given[0].decode("latin-1").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" and len(given) == 1 else ""


def _judge(principal: Principal, right: Right) -> None:
    """Raise Forbidden unless a principal has a right."""
    if right.scope is not None:
        principal.demand(right.scope)
    if right.is_of_all and principal.key.prefix:
        raise Forbidden("this call tells of all streams, and this key is confined to some")


def _announced_bytes(scope: Scope) -> int | None:
    """The length of a request's body; None if it comes in chunks."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            return int(value[:20]) if value.isdigit() else None
    return 0


def _charged(scope: Scope, receive: Receive, quota: Quota) -> Receive:
    """What is received, charged to the quota where it has not been announced: chunks, and websocket messages.

    A websocket that is over its rate is read more slowly, which its sender feels.
    """
    if scope["type"] == "http" and _announced_bytes(scope) is not None:
        return receive

    async def receive_charged() -> Message:
        message = await receive()
        content = message.get("body") or message.get("text") or message.get("bytes") or b""
        pause_s = quota.charge(BYTES, len(content))
        if scope["type"] == "websocket" and pause_s:
            await asyncio.sleep(min(pause_s, MAX_PAUSE_S))
        return message

    return receive_charged


def _told(send: Send, quota: Quota) -> Send:
    """Answers that say how far the limits of a key are used."""
    if not quota.headers():
        return send

    async def send_told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *quota.headers()]}
        await send(message)

    return send_told
