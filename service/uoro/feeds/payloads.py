"""Payloads of messages -> observations. Pure.

Rules:
1. A JSON number, string or boolean is the value of the field `value`; so is a text that is no JSON.
2. An object with a member `x` is an observation as the service takes it, with `t` and `seq` if it has them; any other
   object's members are the fields.
"""

from __future__ import annotations

from typing import Any

import msgspec

from uoro.feeds.errors import MisfitError
from uoro_client.observations import Observation

_OWN_MEMBERS = frozenset({"x", "t", "seq"})


def observation_of(payload: bytes) -> Observation:
    """The observation in a payload. Raises MisfitError."""
    try:
        content: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        content = _text(payload)
    if not isinstance(content, dict):
        return Observation({"value": _value("value", content)})
    if not isinstance(content.get("x"), dict):
        return Observation(_fields(content))
    if not content.keys() <= _OWN_MEMBERS:
        raise MisfitError(f"an observation has no member {min(content.keys() - _OWN_MEMBERS)!r}")
    t, seq = content.get("t"), content.get("seq")
    if not isinstance(t, int | float | str | None) or isinstance(t, bool):
        raise MisfitError("t is neither a number nor a date")
    if not isinstance(seq, int | None) or isinstance(seq, bool) or (seq is not None and seq < 1):
        raise MisfitError("seq is no place in a stream: 1, 2, 3 …")
    return Observation(_fields(content["x"]), t, seq)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise MisfitError("the payload is not UTF-8") from error


def _fields(members: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in members.items()}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, dict | list):
        raise MisfitError(f"field {name!r} is not a number, string, boolean or null")
    return value
