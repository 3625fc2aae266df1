"""Observations from a file: CSV, or NDJSON, plain or gzipped, told apart by their first bytes.

Rules:
1. An NDJSON line is `{"t": …, "x": {…}}`, or a flat object whose members are the fields.
2. A CSV has a header. A column is a number if every value of the first rows is one; an empty cell is missing.
3. The time is the member or column that was named, or else one called t, time, timestamp, date or datetime.
   It is an epoch in seconds or milliseconds, or a date as ISO 8601 writes it, in UTC if it names no zone.
4. A row that cannot be read ends the reading with its line number.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

import msgspec

from uoro.limits import MAX_ABS_EPOCH_S
from uoro_client.observations import Observation, Value

TIME_NAMES = frozenset({"t", "time", "timestamp", "date", "datetime"})
MISSING_NUMBERS = frozenset({"", "na", "n/a", "nan", "null", "none"})
FIRST_ROWS = 100
_GZIP_MAGIC = b"\x1f\x8b"
_DELIMITERS = ",;\t|"


class UnreadableRowError(Exception):
    """A row that is not an observation. The message begins with where it stands."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


class RowFile:
    """A file of observations, read once.

    Args:
        fields: the only fields to keep; None keeps all.
        time_field: the member or column that holds the time; None recognises it by its name.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, fields: frozenset[str] | None = None, time_field: str | None = None) -> None:
        self.num_bytes = path.stat().st_size
        self._fields = fields
        self._time_field = time_field
        self._opened = ExitStack()
        self._raw = self._opened.enter_context(path.open("rb"))
        is_gzip = self._raw.read(2) == _GZIP_MAGIC
        self._raw.seek(0)
        plain: Any = self._opened.enter_context(gzip.GzipFile(fileobj=self._raw)) if is_gzip else self._raw
        self._text = self._opened.enter_context(io.TextIOWrapper(plain, encoding="utf-8-sig", newline=""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def num_bytes_read(self) -> int:
        """How far the file itself has been read."""
        return self._raw.tell()

    def __iter__(self) -> Iterator[Observation]:
        """The observations in order. Raises UnreadableRowError."""
        try:
            first = next((line for line in self._text if line.strip()), "")
            lines = chain([first], self._text)
            read = self._read_json if first.lstrip().startswith("{") else self._read_csv
            yield from read(lines)
        except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, csv.Error) as error:
            raise UnreadableRowError(1, f"the file is not CSV, NDJSON or gzipped NDJSON ({error})") from error

    def _read_json(self, lines: Iterable[str]) -> Iterator[Observation]:
        decoder = msgspec.json.Decoder()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise UnreadableRowError(number, f"not JSON: {error}") from error
            if not isinstance(row, dict):
                raise UnreadableRowError(number, "not a JSON object")
            yield self._observation(row, number)

    def _observation(self, row: dict[str, Any], number: int) -> Observation:
        stream = row.get("stream")
        if isinstance(row.get("x"), dict):
            x, time = row["x"], row.get(self._time_field or "t")
        else:
            time_field = self._time_field or next((name for name in row if name.lower() in TIME_NAMES), None)
            x = {name: value for name, value in row.items() if name not in {time_field, "stream", "seq"}}
            time = None if time_field is None else row.get(time_field)
        for name, value in x.items():
            if isinstance(value, dict | list):
                raise UnreadableRowError(number, f"the field {name!r} is not a number, string, boolean or null")
        return Observation(self._kept(x), timestamp(time, number), stream=stream if isinstance(stream, str) else None)

    def _read_csv(self, lines: Iterator[str]) -> Iterator[Observation]:
        header_line = next(lines)
        delimiter = max(_DELIMITERS, key=header_line.count)
        header = [name.strip() for name in next(csv.reader([header_line], delimiter=delimiter), [])]
        header = [name or f"column_{place}" for place, name in enumerate(header, 1)]
        rows = ((number, row) for number, row in enumerate(csv.reader(lines, delimiter=delimiter), 2) if any(row))
        first = list(islice(rows, FIRST_ROWS))
        time_column = self._time_column(header, [row for _, row in first])
        columns = [
            (place, name, _is_number_column(row[place] for _, row in first if place < len(row)))
            for place, name in enumerate(header)
            if place != time_column and (self._fields is None or name in self._fields)
        ]
        for number, row in chain(first, rows):
            if len(row) > len(header):
                raise UnreadableRowError(number, f"{len(row)} cells under a header of {len(header)}")
            x = {name: cell(row[place], is_number=is_number) for place, name, is_number in columns if place < len(row)}
            time = None if time_column is None or time_column >= len(row) else row[time_column]
            yield Observation(x, timestamp(time, number))

    def _time_column(self, header: list[str], first: list[list[str]]) -> int | None:
        """The place of the time; a column that is only called like one and holds none is a field."""
        if self._time_field is not None:
            if self._time_field not in header:
                raise UnreadableRowError(1, f"there is no column {self._time_field!r}; there are {', '.join(header)}")
            return header.index(self._time_field)
        for place, name in enumerate(header):
            if name.lower() in TIME_NAMES:
                cells = [row[place] for row in first if place < len(row) and row[place].strip()]
                try:
                    for text in cells:
                        timestamp(text, 0)
                except UnreadableRowError:
                    continue
                return place
        return None

    def _kept(self, x: Mapping[str, Value]) -> Mapping[str, Value]:
        return x if self._fields is None else {name: value for name, value in x.items() if name in self._fields}


def timestamp(given: object, line: int) -> float | str | None:
    """A time as the service takes it: epoch seconds or RFC 3339. Raises UnreadableRowError."""
    if given is None or given == "":
        return None
    try:
        number = float(given)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        pass
    else:
        return number / 1000 if abs(number) > MAX_ABS_EPOCH_S else number
    try:
        date = datetime.fromisoformat(str(given).strip())
    except ValueError as error:
        raise UnreadableRowError(line, f"the time {given!r} is neither an epoch nor an ISO 8601 date") from error
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).isoformat()


def cell(text: str, *, is_number: bool) -> Value:
    """A CSV cell's value; text in a column of numbers stays text, which the service refuses and names."""
    text = text.strip()
    if not is_number:
        return text or None
    if text.lower() in MISSING_NUMBERS:
        return None
    return number if (number := _number(text)) is not None else text


def _is_number_column(cells: Iterable[str]) -> bool:
    """Whether every cell that is not missing is a number; a column with nothing in it counts as numbers."""
    return all(text.strip().lower() in MISSING_NUMBERS or _number(text) is not None for text in cells)


def _number(text: str) -> float | None:
    """A finite number; digits grouped by underscores, as Python would take them, are text."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None
