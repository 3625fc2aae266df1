"""A short way to the calls that bring observations, past the framework's routing and middleware.

What the framework would do to such a request costs several times what the request itself does. The endpoint behind the
short way is the documented one, and errors become the same answers, so that nobody can tell which way a request went;
a property test holds the two together. Everything else takes the long way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from uoro.errors import UoroError

Endpoint = Callable[[Request], Awaitable[Response]]
Refusal = Callable[[Request, Exception], Awaitable[Response]]

BEGINNING, END = "/v1/streams/", "/observations"
ROUTE = SimpleNamespace(path="/v1/streams/{stream}/observations")
ROUTE_OF_MANY = SimpleNamespace(path="/v1/observations")


class Shortcut:
    """Wraps the application.

    Args:
        observe: the endpoint for observations of one stream.
        observe_many: the endpoint for observations that name their streams.
        refuse: answers an error of the tree; raises one that is the service's own fault.
        fail: answers any other exception.
    """

    def __init__(self, app: ASGIApp, observe: Endpoint, observe_many: Endpoint, refuse: Refusal, fail: Refusal) -> None:
        self._app = app
        self._observe = observe
        self._observe_many = observe_many
        self._refuse = refuse
        self._fail = fail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoint(scope)
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(endpoint, request)
        except ClientDisconnect:
            raise
        except Exception as error:
            response = await self._fail(request, error)
            await response(scope, receive, send)
            raise
        await response(scope, receive, send)

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        try:
            return await endpoint(request)
        except UoroError as error:
            return await self._refuse(request, error)

    def _endpoint(self, scope: Scope) -> Endpoint | None:
        """Who answers this request, if it is of those that take the short way; the scope is told like by a router."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        path: str = scope["path"]
        if path == ROUTE_OF_MANY.path:
            scope["route"], scope["path_params"] = ROUTE_OF_MANY, {}
            return self._observe_many
        stream = path[len(BEGINNING) : -len(END)]
        if path.startswith(BEGINNING) and path.endswith(END) and stream and "/" not in stream:
            scope["route"], scope["path_params"] = ROUTE, {"stream": stream}
            return self._observe
        return None
