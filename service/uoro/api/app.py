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
from starlette.responses import Response
from starlette.types import ASGIApp

from uoro.api.assets import Assets
from uoro.api.console import Console
from uoro.api.docs import Docs
from uoro.api.door import Door
from uoro.api.edge import Edge
from uoro.api.forecasts import Forecasts
from uoro.api.intake import Intake
from uoro.api.keyring import Keyring
from uoro.api.models import MAX_MODEL_BYTES, Models
from uoro.api.observing import Observing
from uoro.api.openapi import describe
from uoro.api.operations import Operations
from uoro.api.origins import Origins, sharing
from uoro.api.ports import Engine, RequestMeter
from uoro.api.problems import detail_of, of_status, problem_response, response_of, status_of
from uoro.api.receiving import Receiver
from uoro.api.remote_write import RemoteWrite
from uoro.api.rights import without_rights
from uoro.api.scope import REQUEST_ID_KEY
from uoro.api.series import Book
from uoro.api.shortcut import Shortcut
from uoro.api.sockets import Sockets
from uoro.api.streams import Streams
from uoro.api.tickets import Ticketing, Tickets
from uoro.api.views import confining
from uoro.errors import UoroError
from uoro.ingest.naming import SeriesRules
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
    keyring: Keyring | None = None,
    is_metrics_open: bool = False,
    cors_origins: tuple[str, ...] = (),
    series: SeriesRules | None = None,
    has_shortcut: bool = True,
) -> ASGIApp:
    """The application that serves an engine; without a keyring everyone may call.

    A server that speaks the lifespan protocol through it has the engine's hub bound to its event loop before the
    first request, and the websockets closed after the last; one that does not must see to both itself.

    Without `has_shortcut`, observations take the framework's way, which answers alike and costs more.
    """
    engine_for = confining(engine, meter)
    sockets = Sockets(engine_for, meter, keyring)
    tickets = None if keyring is None else Tickets(keyring)

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
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=Response,
    )
    app.router.route_class = _Route
    observing = Observing(engine_for, limits, meter)
    series = series or SeriesRules()
    receiver = Receiver(Book(series.naming, series.is_rating), series.taken, meter)
    assets = Assets()
    for part in (
        Operations(engine, meter, keyring),
        Streams(engine_for),
        observing,
        RemoteWrite(engine_for, limits, meter, receiver),
        Models(engine_for),
        Forecasts(engine_for, version),
        Ticketing(tickets),
        Docs(app.title, "/openapi.json"),
        Console(assets),
        assets,
    ):
        part.add_to(app)
    sockets.add_to(app)
    app.add_exception_handler(UoroError, _problem)
    app.add_exception_handler(HTTPException, _framework_problem)
    app.add_exception_handler(Exception, _failure)
    app.openapi = _once(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend its document
    unguarded = without_rights(app.routes)
    assert not unguarded, f"calls without a row in the table of rights: {unguarded}"  # noqa: S101 - a slip of ours
    inner: ASGIApp = app
    if has_shortcut:
        inner = Shortcut(app, observing.observe, observing.observe_many, _problem, _failure)
    inner = Intake(inner, limits.max_intake_bytes)
    if keyring is None or tickets is None:
        guarded: ASGIApp = Origins(inner, cors_origins, meter)
    else:
        max_body_bytes = max(limits.max_body_bytes, MAX_MODEL_BYTES)
        guarded = Door(inner, keyring, tickets, meter, max_body_bytes=max_body_bytes, is_metrics_open=is_metrics_open)
    return Edge(sharing(guarded, cors_origins), meter)


def _once(app: FastAPI) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    return openapi


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, UoroError)  # noqa: S101 - registered for it
    if status_of(error) == 500:
        raise error  # a fault of the service like any other exception
    return response_of(error, request.scope.get(REQUEST_ID_KEY))


async def _framework_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    headers = error.headers
    if error.status_code == 405:
        headers = {"allow": ", ".join(_allowed(request))}
    members = of_status(error.status_code, error.detail)
    return problem_response(error.status_code, members, headers, request.scope.get(REQUEST_ID_KEY))


def _allowed(request: Request) -> list[str]:
    """All methods of a path; each is a route of its own."""
    path = request.scope["route"].path
    routes = (route for route in request.app.routes if getattr(route, "path", None) == path)
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})


async def _failure(request: Request, _: Exception) -> Response:
    """The edge logs the exception; the caller learns only where to find it in the log."""
    members = {"code": UoroError.code, "detail": detail_of(UoroError())}
    return problem_response(500, members, request_id=request.scope.get(REQUEST_ID_KEY))
