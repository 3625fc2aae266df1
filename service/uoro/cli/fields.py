"""What a stream is, judged by its first rows, and what its id is, judged by its file. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from uoro.learning.spec import INFERRED_CATEGORY_SIZE
from uoro.limits import MAX_STREAM_ID_CHARS
from uoro_client.observations import Observation

FILE_ENDINGS = frozenset({".csv", ".gz", ".json", ".jsonl", ".ndjson", ".safetensors", ".tsv", ".txt"})


def infer_spec(rows: Iterable[Observation], targets: frozenset[str] | None) -> dict[str, object]:
    """A spec with every field that the rows show.

    A field is a category if most of its values are strings or booleans, else a number. With `targets`, the
    other fields are inputs. Raises ValueError if a target is not among the fields.
    """
    balance: dict[str, int] = {}
    for row in rows:
        for name, value in row.x.items():
            vote = 0 if value is None else 1 if isinstance(value, str | bool) else -1
            balance[name] = balance.get(name, 0) + vote
    if targets is not None and (absent := sorted(targets - balance.keys())):
        raise ValueError(f"there is no field {absent[0]!r}; there are {', '.join(balance)}")
    fields: dict[str, dict[str, object]] = {}
    for name, votes in balance.items():
        fields[name] = {"type": "category", "size": INFERRED_CATEGORY_SIZE} if votes > 0 else {"type": "number"}
        if targets is not None and name not in targets:
            fields[name]["role"] = "input"
    return {"fields": fields}


def stream_of(path: Path) -> str:
    """A valid stream id from a file's name without its endings."""
    stem = path.name
    while Path(stem).suffix.lower() in FILE_ENDINGS:
        stem = Path(stem).stem
    return re.sub(r"[^A-Za-z0-9._\-:]+", "-", stem).strip("-._:")[:MAX_STREAM_ID_CHARS] or "stream"
