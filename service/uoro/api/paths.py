"""Paths and the ids within them.

An id may contain "/", which comes percent-encoded. Servers decode paths before routing, which would make the
slash of an id look like one of the path. So requests are routed on the path as it came, brought to one
spelling; a parameter is decoded after its route is found. A slash that is not encoded is one of the path.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from starlette.requests import HTTPConnection
from starlette.types import Scope

from uoro.domain import STREAM_ID
from uoro.errors import InvalidRequest

SNAPSHOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}")


def canonical_path(scope: Scope) -> str:
    """The path with every segment encoded in the one way that leaves `:` and unreserved characters alone."""
    raw = scope.get("raw_path")
    if raw is None or b"%" not in raw:
        return str(scope["path"])
    segments = raw.decode("latin-1").split("/")
    return "/".join(quote(unquote(segment, errors="replace"), safe=":") for segment in segments)


def stream_in(connection: HTTPConnection) -> str:
    """The stream id in the path. Raises InvalidRequest."""
    return stream_id(unquote(connection.path_params["stream"]))


def snapshot_in(connection: HTTPConnection) -> str:
    """The snapshot name in the path. Raises InvalidRequest."""
    return snapshot_name(unquote(connection.path_params["name"]))


def stream_id(value: object, field: str = "stream") -> str:
    """A value that is a stream id. Raises InvalidRequest naming `field`."""
    if not isinstance(value, str) or not STREAM_ID.fullmatch(value):
        raise InvalidRequest(
            "a stream id is 1 to 200 of the characters A-Z a-z 0-9 . _ - : / and starts with a letter or digit",
            field=field,
        )
    return value


def snapshot_name(value: object) -> str:
    """A value that is a snapshot's name. Raises InvalidRequest."""
    if not isinstance(value, str) or not SNAPSHOT_NAME.fullmatch(value):
        raise InvalidRequest(
            "a snapshot's name is 1 to 100 of the characters A-Z a-z 0-9 . _ - and starts with a letter or digit",
            field="name",
        )
    return value
