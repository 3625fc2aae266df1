"""JSON from callers: what it says, or one sentence why it says nothing.

JSON has no NaN, no Infinity and no lone surrogates, and our numbers no 1e400; callers send them all the same.
`parse` reads them as Python does, so that whoever looks at the values can name the field at fault. What
is no JSON even then is a MalformedBody. Of a repeated key the last one counts.
"""

from __future__ import annotations

import json

import msgspec

from uoro.errors import InvalidRequest, MalformedBody

MAX_INTEGER_DIGITS = 40
"""Longer integers are read as floats: far beyond every limit, and reading them exactly takes quadratic time."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a msgspec decoder raises for bytes that are not the JSON it expects."""


def parse(body: bytes | str, where: str = "the body") -> object:
    """The value of a JSON text. Raises MalformedBody naming `where`."""
    try:
        text = body if isinstance(body, str) else body.decode()
        value: object = json.loads(text, parse_int=_integer)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"{where} is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise MalformedBody(f"{where} is not JSON: {error.msg} (character {error.pos})") from error
    except RecursionError as error:
        raise MalformedBody(f"{where} is nested too deeply") from error
    return value


def parse_object(body: bytes, *keys: str) -> dict[str, object]:
    """A JSON object that has no other keys than these. Raises MalformedBody, InvalidRequest."""
    document = parse(body)
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    for key in document:
        if key not in keys:
            raise InvalidRequest(f"unknown key {key!r}; known are {', '.join(keys)}", field=key)
    return document


def is_text(value: object) -> bool:
    """Whether a value is a string that can be encoded as UTF-8."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)
