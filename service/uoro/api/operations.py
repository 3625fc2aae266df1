"""Calls for those who run the service: alive, ready, metrics."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from uoro.api import query, schemas
from uoro.api.answers import answer
from uoro.api.keyring import Keyring
from uoro.api.openapi import Answer, operation
from uoro.api.openapi import query as parameter
from uoro.api.ports import Engine, RequestMeter
from uoro.api.problems import problem_response
from uoro.api.replies import json_response
from uoro.api.scope import REQUEST_ID_KEY
from uoro.domain import Metrics
from uoro.errors import NotReady, Overloaded, Unavailable, UnknownStream, UoroError

MEASURE_TIMEOUT_S = 1.0
"""A scrape waits no longer for streams that are at work."""

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Operations:
    """Endpoints beside the streams."""

    def __init__(self, engine: Engine, meter: RequestMeter, keyring: Keyring | None = None) -> None:
        self._engine = engine
        self._meter = meter
        self._keyring = keyring

    async def live(self, _: Request) -> Response:
        """The server answers."""
        return json_response({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Whether observations are taken, and if not, why."""
        shown = {"checks": self._checks()} if query.flag(request, "verbose") else {}
        if self._engine.is_ready:
            return json_response({"status": "ready", **shown})
        faults = [f"{name}: {state}" for name, state in self._engine.checks().items() if state != "ok"]
        members = {"code": NotReady.code, "detail": "; ".join(faults) or "not ready", **shown}
        return problem_response(503, members, {"retry-after": "1"}, request.scope.get(REQUEST_ID_KEY))

    def _checks(self) -> dict[str, str]:
        """What is ready and what is not. A key file in disorder is told, and keeps nobody out who has a key."""
        keys = {} if self._keyring is None else {"keys": self._keyring.state()}
        return self._engine.checks() | keys

    async def metrics(self, _: Request) -> Response:
        """All metrics as Prometheus text."""
        await self._measure()
        return Response(self._meter.scrape(), headers={"content-type": PROMETHEUS_TEXT})

    async def _measure(self) -> None:
        """Ask for the metrics of those streams only that changed and are shown one by one."""
        asked: list[tuple[str, Future[Metrics]]] = []
        with suppress(Unavailable, Overloaded):  # what was known before is shown
            for stream in self._meter.stale():
                with suppress(UnknownStream):
                    asked.append((stream, self._engine.metrics(stream)))
        with suppress(TimeoutError):
            async with asyncio.timeout(MEASURE_TIMEOUT_S):
                for stream, future in asked:
                    with suppress(UoroError):
                        self._meter.measured(stream, await answer(future))

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoints."""
        text = Answer(200, "the metrics", media_type=PROMETHEUS_TEXT, schema={"type": "string"})
        app.add_api_route(
            "/livez",
            self.live,
            methods=["GET"],
            **operation("live", "Is it alive?", Answer(200, "it is", schemas.Health), tag="operations"),
        )
        app.add_api_route(
            "/readyz",
            self.ready,
            methods=["GET"],
            **operation(
                "ready",
                "Does it take observations?",
                Answer(200, "it does", schemas.Health),
                problems=(422, 503),
                parameters=(parameter("verbose", {"type": "boolean", "default": False}, "list the checks"),),
                tag="operations",
            ),
        )
        app.add_api_route(
            "/metrics",
            self.metrics,
            methods=["GET"],
            **operation("metrics", "Metrics as Prometheus text", text, tag="operations"),
        )
