"""The ASGI application: every route, every problem, one edge around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from uoro.api.edge import REQUEST_ID_KEY, Edge
from uoro.api.models import Models
from uoro.api.observing import Observing
from uoro.api.openapi import describe
from uoro.api.operations import Operations
from uoro.api.ports import Engine, RequestMeter
from uoro.api.problems import detail_of, of_status, problem_response, response_of, status_of
from uoro.api.shortcut import Shortcut
from uoro.api.sockets import Sockets
from uoro.api.streams import Streams
from uoro.errors import UoroError
from uoro.limits import Limits


class _Route(APIRoute):
    """A route whose endpoint reads the request itself; FastAPI documents it and does nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


def create_app(
    engine: Engine,
    limits: Limits,
    meter: RequestMeter,
    *,
    version: str = "0.1.0",
    has_shortcut: bool = True,
) -> ASGIApp:
    """The application that serves an engine.

    A server that speaks the lifespan protocol through it has the engine's hub bound to its event loop before the
    first request, and the websockets closed after the last; one that does not must see to both itself.

    Without `has_shortcut`, observations take the framework's way, which answers alike and costs more.
    """
    sockets = Sockets(engine, meter)

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        engine.hub.bind(asyncio.get_running_loop())
        yield
        await sockets.close()

    app = FastAPI(
        title="UORO streaming learning service",
        version=version,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=live,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=Response,
    )
    app.router.route_class = _Route
    observing = Observing(engine, limits, meter)
    for part in (Operations(engine, meter), Streams(engine), observing, Models(engine)):
        part.add_to(app)
    sockets.add_to(app)
    app.add_route("/", _to_docs, include_in_schema=False)
    app.add_exception_handler(UoroError, _problem)
    app.add_exception_handler(HTTPException, _framework_problem)
    app.add_exception_handler(Exception, _failure)
    app.openapi = _once(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend its document
    short = Shortcut(app, observing.observe, observing.observe_many, _problem, _failure)
    return Edge(short if has_shortcut else app, meter)


def _once(app: FastAPI) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    return openapi


async def _to_docs(_: Request) -> Response:
    return RedirectResponse("/docs", 307)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, UoroError)  # noqa: S101 - registered for it
    if status_of(error) == 500:
        raise error  # a fault of the service like any other exception
    return response_of(error)


async def _framework_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    headers = error.headers
    if error.status_code == 405:
        headers = {"allow": ", ".join(_allowed(request))}
    return problem_response(error.status_code, of_status(error.status_code, error.detail), headers)


def _allowed(request: Request) -> list[str]:
    """All methods of a path; each is a route of its own."""
    path = request.scope["route"].path
    routes = (route for route in request.app.routes if getattr(route, "path", None) == path)
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})


async def _failure(request: Request, _: Exception) -> Response:
    """The edge logs the exception; the caller learns only where to find it in the log."""
    members = {"code": UoroError.code, "detail": detail_of(UoroError())}
    return problem_response(500, {**members, "request_id": request.scope.get(REQUEST_ID_KEY)})
