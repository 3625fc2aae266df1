"""Query parameters. Each raises InvalidRequest naming the parameter."""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from uoro import limits
from uoro.domain import STREAM_ID
from uoro.errors import InvalidRequest


def integer(request: Request, name: str, default: int, largest: int) -> int:
    """An integer from 1 to `largest`."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= largest):
        raise InvalidRequest(f"{name} must be an integer from 1 to {largest}", field=name)
    return int(text)


def flag(request: Request, name: str) -> bool:
    """A switch that is off unless it says otherwise; `?name` alone turns it on."""
    text = request.query_params.get(name, "false").lower()
    if text not in {"true", "1", "", "false", "0"}:
        raise InvalidRequest(f"{name} must be true or false", field=name)
    return text in {"true", "1", ""}


def wants_full_results(request: Request) -> bool:
    """Whether `results=full` was asked for."""
    if not request.scope["query_string"]:
        return False
    text = request.query_params.get("results")
    if text not in {None, "full", "none"}:
        raise InvalidRequest("results must be full or none", field="results")
    return text == "full"


def labels(request: Request) -> dict[str, str]:
    """The `label=key:value` pairs, all of which a stream must carry."""
    pairs: dict[str, str] = {}
    for text in request.query_params.getlist("label"):
        key, colon, value = text.partition(":")
        if not key or not colon:
            raise InvalidRequest("label must look like key:value", field="label")
        if pairs.setdefault(key, value) != value:
            raise InvalidRequest(f"label {key!r} is asked for with two values", field="label")
    return pairs


def prefix(request: Request) -> str:
    """What the ids must start with; anything, at first."""
    text = request.query_params.get("prefix", "")
    if len(text) > limits.MAX_STREAM_ID_CHARS:
        raise InvalidRequest(f"prefix may have {limits.MAX_STREAM_ID_CHARS} characters", field="prefix")
    return text


def cursor(request: Request) -> str:
    """The id that a cursor stands for; "" at the beginning."""
    text = request.query_params.get("cursor", "")
    try:
        after = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError) as error:
        raise InvalidRequest("cursor is not one that this service gave", field="cursor") from error
    if after and not STREAM_ID.fullmatch(after):
        raise InvalidRequest("cursor is not one that this service gave", field="cursor")
    return after


def cursor_after(stream: str) -> str:
    """The cursor of what follows a stream; `cursor` is its inverse."""
    return base64.urlsafe_b64encode(stream.encode()).decode()
