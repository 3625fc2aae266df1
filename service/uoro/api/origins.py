"""Pages of other sites, in the browser of someone who can reach the service.

Where no keys are configured, whoever reaches the service may write; that somebody else's page makes the browser do
so is not meant. A browser names the page's origin with each websocket and each request that is not a mere reading.
With keys a foreign page has none to show, so nothing is asked of it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from uoro.api.ports import RequestMeter
from uoro.api.problems import ForeignOrigin
from uoro.api.refusal import Refusing

ANY = "*"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
CORS_MAX_AGE_S = 600


class Origins:
    """Wraps the application where no keys are configured. `allowed`: origins beside the service's own."""

    def __init__(self, app: ASGIApp, allowed: tuple[str, ...], meter: RequestMeter) -> None:
        self._app = app
        self._allowed = allowed
        self._refusing = Refusing(meter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope.get("method") in READING or self._is_ours(scope):
            await self._app(scope, receive, send)
            return
        error = ForeignOrigin("a page of another site may not call; UORO_CORS_ORIGINS names those that may")
        await self._refusing.refuse(error, scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        origin = host = site = None
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value.decode("latin-1")
            elif name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"sec-fetch-site":
                site = value
        if origin is None or site == b"same-origin" or ANY in self._allowed or origin in self._allowed:
            return True
        return host is not None and urlsplit(origin).netloc.lower() == host


def sharing(app: ASGIApp, allowed: tuple[str, ...]) -> ASGIApp:
    """The application, readable for pages of the origins allowed; as it is if there are none."""
    if not allowed:
        return app
    return CORSMiddleware(
        app,
        allow_origins=allowed,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=("authorization", "content-type", "x-request-id"),
        expose_headers=("x-request-id", "retry-after", "ratelimit", "ratelimit-policy"),
        max_age=CORS_MAX_AGE_S,
    )
