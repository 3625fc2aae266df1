"""Which call needs what, in one table: enforcement, the OpenAPI document and the tests read it.

Rules:
1. `read` changes nothing; `write` brings observations and makes or halts streams; `admin` takes away or replaces
   what was learned.
2. Every route of the application has a row, or the application is not built.
3. What a caller may see of streams is not decided here but by `Confined`, which stands before the engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.routing import BaseRoute

from uoro.access.key import Scope

WEBSOCKET = "WEBSOCKET"
_STREAM = "/v1/streams/{stream}"


@dataclass(frozen=True, slots=True)
class Right:
    """What one call asks of its caller.

    Attributes:
        scope: that the key must grant; None: any key will do.
        is_open: no key is asked for.
        is_of_all: it tells of all streams, so that a key must not be confined to a prefix.
        act: the name under which it is written to the audit log; "" for what is not administrative.
    """

    scope: Scope | None = None
    is_open: bool = False
    is_of_all: bool = False
    act: str = ""


OPEN = Right(is_open=True)
ANY_KEY = Right()
READ = Right(Scope.READ)
WRITE = Right(Scope.WRITE)


def _write(act: str) -> Right:
    return Right(Scope.WRITE, act=act)


def _admin(act: str) -> Right:
    return Right(Scope.ADMIN, act=act)


RIGHTS: dict[tuple[str, str], Right] = {
    ("GET", "/"): OPEN,
    ("GET", "/assets/{file}"): OPEN,
    ("GET", "/livez"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/docs"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/metrics"): Right(Scope.READ, is_of_all=True),
    ("POST", "/v1/tickets"): ANY_KEY,
    ("GET", "/v1/streams"): READ,
    ("GET", _STREAM): READ,
    ("GET", f"{_STREAM}/prediction"): READ,
    ("GET", f"{_STREAM}/metrics"): READ,
    ("GET", f"{_STREAM}/results"): READ,
    ("GET", f"{_STREAM}/snapshots"): READ,
    ("GET", f"{_STREAM}/export"): READ,
    ("GET", "/api/v1/query_range"): READ,
    ("GET", "/api/v1/query"): READ,
    ("GET", "/api/v1/series"): READ,
    ("GET", "/api/v1/labels"): READ,
    ("GET", "/api/v1/label/{name}/values"): READ,
    ("GET", "/api/v1/status/buildinfo"): READ,
    ("POST", "/v1/observations"): WRITE,
    ("POST", "/api/v1/write"): WRITE,
    ("POST", f"{_STREAM}/observations"): WRITE,
    ("PUT", _STREAM): _write("create_stream"),
    ("POST", f"{_STREAM}/freeze"): _write("freeze_stream"),
    ("POST", f"{_STREAM}/unfreeze"): _write("unfreeze_stream"),
    ("POST", f"{_STREAM}/snapshots"): _write("save_snapshot"),
    ("POST", f"{_STREAM}/clone"): _write("clone_stream"),
    ("DELETE", _STREAM): _admin("delete_stream"),
    ("POST", f"{_STREAM}/snapshots/{{name}}/restore"): _admin("restore_snapshot"),
    ("PUT", f"{_STREAM}/import"): _admin("import_model"),
    (WEBSOCKET, "/v1/ws"): ANY_KEY,
    (WEBSOCKET, f"{_STREAM}/ws"): ANY_KEY,
}
"""By method and template of the path."""

OBSERVE = Scope.WRITE
PREDICT = Scope.READ
SUBSCRIBE = Scope.READ
"""What the messages of a websocket need."""

_Shape = tuple[str, int]


def _by_shape() -> dict[_Shape, list[tuple[list[str], str]]]:
    shapes: dict[_Shape, list[tuple[list[str], str]]] = {}
    for method, template in RIGHTS:
        segments = template.split("/")
        shapes.setdefault((method, len(segments)), []).append((segments, template))
    return shapes


_SHAPES = _by_shape()


def template_of(method: str, path: str) -> str | None:
    """The template that a canonical path follows; None if there is no such call."""
    segments = path.split("/")
    for known, template in _SHAPES.get(("GET" if method == "HEAD" else method, len(segments)), ()):
        if all(a == b or (a[:1] == "{" and b) for a, b in zip(known, segments, strict=True)):
            return template
    return None


def right_of(method: str, template: str) -> Right:
    """What a call of the table asks for."""
    return RIGHTS["GET" if method == "HEAD" else method, template]


def without_rights(routes: Iterable[BaseRoute]) -> list[str]:
    """The routes that have no row."""
    missing: list[str] = []
    for route in routes:
        path = str(getattr(route, "path", route))
        methods = getattr(route, "methods", None) or {WEBSOCKET}
        missing += [f"{m} {path}" for m in methods if ("GET" if m == "HEAD" else m, path) not in RIGHTS]
    return missing
