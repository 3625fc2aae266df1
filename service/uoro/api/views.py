"""Which engine an endpoint talks to: the engine itself, or what the caller of a request may know of it."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import HTTPConnection

from uoro.api.confined import Confined
from uoro.api.conversing import Conversing
from uoro.api.ports import Engine, RequestMeter
from uoro.api.principal import principal_of

EngineFor = Callable[[HTTPConnection], Engine]
"""The engine as the caller of a request may know it. Endpoints hold this and never the engine itself."""


def confining(engine: Engine, meter: RequestMeter) -> EngineFor:
    """Views of an engine; `meter` is told of observations that are refused before the engine sees them."""

    def engine_for(connection: HTTPConnection) -> Engine:
        principal = principal_of(connection)
        if principal is None or not principal.is_bounded:
            return engine
        kind = Conversing if connection.scope["type"] == "websocket" else Confined
        return kind(engine, principal, meter)

    return engine_for
