"""Entries of texts -> observations, by what their stream is. Pure.

Rules:
1. The same entry and the same stream give the same verdict each time: what was read once can be read again.
2. An entry that does not fit is set aside as a whole, with the reason; it takes no place in the stream.
3. An empty text is a missing value. In a number field so is NaN, as text in any case.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from uoro.feeds.errors import MisfitError
from uoro.learning.spec import INFERRED_CATEGORY_SIZE
from uoro.limits import MAX_ABS_NUMBER, MAX_CATEGORY_BYTES, MAX_FIELD_NAME_CHARS, MAX_FIELDS
from uoro_client.observations import Observation, Value

MAX_DATE_MS = 253_402_300_799_999
"""The end of the year 9999."""


def infer_spec(entries: Iterable[Mapping[str, str]]) -> dict[str, object]:
    """A spec with every field of the entries: a number if all its texts are, or are missing; else a category.

    Raises MisfitError if the entries have no fields that a stream can have.
    """
    texts: dict[str, list[str]] = {}
    for entry in entries:
        for name, text in entry.items():
            texts.setdefault(name, []).append(text)
    if not 1 <= len(texts) <= MAX_FIELDS or any(not 1 <= len(name) <= MAX_FIELD_NAME_CHARS for name in texts):
        raise MisfitError(f"a stream has 1 to {MAX_FIELDS} fields with names of 1 to {MAX_FIELD_NAME_CHARS} characters")
    number, category = {"type": "number"}, {"type": "category", "size": INFERRED_CATEGORY_SIZE}
    return {"fields": {name: number if all(map(_is_number, its)) else category for name, its in texts.items()}}


def kinds_of(spec: Mapping[str, object]) -> dict[str, str]:
    """The type of each field of a spec's document."""
    fields = spec["fields"]
    assert isinstance(fields, dict)  # noqa: S101 - every spec has them
    return {name: str(field["type"]) for name, field in fields.items()}


def observation_of(entry: Mapping[str, str], ms: int, kinds: Mapping[str, str]) -> Observation:
    """An entry of a time in milliseconds since the epoch as an observation. Raises MisfitError."""
    x: dict[str, Value] = {}
    for name, text in entry.items():
        if name not in kinds:
            raise MisfitError(f"the stream has no field {name!r}")
        x[name] = _value(name, text, kinds[name])
    return Observation(x, time_of(ms))


def time_of(ms: int) -> str | None:
    """A time as the service takes it; None beyond the year 9999."""
    if not 0 <= ms <= MAX_DATE_MS:
        return None
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def ms_of(time: float | str | None) -> int | None:
    """A time that the service tells, in milliseconds since the epoch."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time).timestamp()
    return None if time is None else round(1000 * time)


def _value(name: str, text: str, kind: str) -> Value:
    if kind == "category":
        if len(text.encode()) > MAX_CATEGORY_BYTES:
            raise MisfitError(f"field {name!r} has a text of more than {MAX_CATEGORY_BYTES} bytes")
        return text or None
    if not _is_number(text):
        raise MisfitError(f"field {name!r} takes a number, not {text[:40]!r}")
    number = float(text) if text.strip() else math.nan
    if math.isnan(number):
        return None
    if abs(number) > MAX_ABS_NUMBER:
        raise MisfitError(f"field {name!r} is beyond ±{MAX_ABS_NUMBER:g}")
    return number


def _is_number(text: str) -> bool:
    """Whether a text is a number or missing; digits grouped by underscores, as Python would take them, are text."""
    if not text.strip():
        return True
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
