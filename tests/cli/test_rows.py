"""Files become observations."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from uoro.cli.fields import infer_spec, stream_of
from uoro.cli.rows import RowFile, UnreadableRowError, timestamp
from uoro_client import Observation


def read(path: Path, content: str | bytes, **options: object) -> list[Observation]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with RowFile(path, **options) as rows:  # type: ignore[arg-type]
        return list(rows)


def test_csv(tmp_path: Path) -> None:
    """Numbers are judged by the column, empty cells are missing, and the time column is found by its name."""
    content = "timestamp,value,kind\n2014-07-01 00:00:00,1,a\n2014-07-01 00:30:00,,7\n2014-07-01T01:00:00Z,2.5,\n"
    assert read(tmp_path / "a.csv", content) == [
        Observation({"value": 1.0, "kind": "a"}, "2014-07-01T00:00:00+00:00"),
        Observation({"value": None, "kind": "7"}, "2014-07-01T00:30:00+00:00"),
        Observation({"value": 2.5, "kind": None}, "2014-07-01T01:00:00+00:00"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_dialects(tmp_path: Path, delimiter: str) -> None:
    """The delimiter, a byte order mark, quotes and carriage returns are coped with."""
    content = "\ufeff" + delimiter.join(["a", "b"]) + "\r\n" + delimiter.join(["1", '"x y"']) + "\r\n"
    assert read(tmp_path / "a.csv", content) == [Observation({"a": 1.0, "b": "x y"})]


def test_csv_text_among_numbers(tmp_path: Path) -> None:
    """A word far down a column of numbers stays a word, for the service to refuse; NaN is missing."""
    rows = ["v", *["1"] * 150, "nan", "oops"]
    observations = read(tmp_path / "a.csv", "\n".join(rows))
    assert [row.x["v"] for row in observations[-3:]] == [1.0, None, "oops"]


def test_a_column_only_called_time(tmp_path: Path) -> None:
    """A column called time that holds no times is a field; a named one must hold them."""
    content = "time,v\nnoon,1\nnight,2\n"
    assert read(tmp_path / "a.csv", content)[0] == Observation({"time": "noon", "v": 1.0})
    with pytest.raises(UnreadableRowError, match="line 2: the time 'noon'"):
        read(tmp_path / "a.csv", content, time_field="time")
    with pytest.raises(UnreadableRowError, match="no column 'when'"):
        read(tmp_path / "a.csv", content, time_field="when")


def test_ndjson(tmp_path: Path) -> None:
    """Lines with an x and flat lines, plain and gzipped, blank lines passed over."""
    content = (
        '\n{"t":0,"x":{"s":"\\n","v":null}}\n\n{"Date":"2024-01-01T00:00:00+01:00","v":1,"on":true,"stream":"b"}\n'
    )
    expected = [
        Observation({"s": "\n", "v": None}, 0.0),
        Observation({"v": 1, "on": True}, "2024-01-01T00:00:00+01:00", stream="b"),
    ]
    assert read(tmp_path / "a.ndjson", content) == expected
    assert read(tmp_path / "a.ndjson.gz", gzip.compress(content.encode())) == expected


def test_only_the_fields_asked_for(tmp_path: Path) -> None:
    """Other fields are dropped, the time is kept."""
    kept = frozenset({"v"})
    assert read(tmp_path / "a.csv", "t,v,w\n1,2,3\n", fields=kept) == [Observation({"v": 2.0}, 1.0)]
    assert read(tmp_path / "a.ndjson", '{"t":1,"x":{"v":2,"w":3}}', fields=kept) == [Observation({"v": 2}, 1.0)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"v":1}\n{"v":\n', "line 2: not JSON"),
        ('{"v":1}\n[1]\n', "line 2: not a JSON object"),
        ('{"v":1}\n{"v":{"w":1}}\n', "line 2: the field 'v'"),
        ('{"v":NaN}\n', "line 1: not JSON"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells"),
        (b"\xff\xfe\x00", "not CSV"),
        (gzip.compress(b'{"v":1}\n' * 99)[:-20], "not CSV"),
    ],
)
def test_unreadable_rows_say_where(tmp_path: Path, content: str | bytes, reason: str) -> None:
    """Reading ends with the line number and the reason."""
    with pytest.raises(UnreadableRowError, match=reason):
        read(tmp_path / "a", content)


def test_nothing(tmp_path: Path) -> None:
    """An empty file and a bare header have no rows."""
    assert read(tmp_path / "a", "") == []
    assert read(tmp_path / "a", "a,b\n") == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1e9, 1e9),
        ("1404172800", 1404172800.0),
        (1404172800000, 1404172800.0),
        (None, None),
        ("", None),
        ("2024-02-29", "2024-02-29T00:00:00+00:00"),
    ],
)
def test_timestamps(given: object, expected: object) -> None:
    """Seconds, milliseconds and dates become what the service takes."""
    assert timestamp(given, 1) == expected


def test_specs_are_inferred_from_all_rows_at_hand() -> None:
    """Most values decide; a field without a value is a number; others than targets are inputs."""
    rows = [
        Observation({"a": None, "b": 1}),
        Observation({"a": 2.0, "b": "x", "c": True}),
        Observation({"a": "oops", "b": "y", "d": None}),
        Observation({"a": 1}),
    ]
    assert infer_spec(rows, None) == {
        "fields": {
            "a": {"type": "number"},
            "b": {"type": "category", "size": 128},
            "c": {"type": "category", "size": 128},
            "d": {"type": "number"},
        }
    }
    assert infer_spec(rows[:1], frozenset({"a"})) == {
        "fields": {"a": {"type": "number"}, "b": {"type": "number", "role": "input"}}
    }
    with pytest.raises(ValueError, match="no field 'z'"):
        infer_spec(rows, frozenset({"z"}))


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("nyc_taxi.csv", "nyc_taxi"),
        ("a.b.ndjson.gz", "a.b"),
        ("My file (1).CSV", "My-file-1"),
        ("élan.csv", "lan"),
        ("....csv", "stream"),
        ("x" * 300 + ".csv", "x" * 200),
    ],
)
def test_stream_ids_from_file_names(name: str, stream: str) -> None:
    """Whatever a file is called, the id is valid."""
    assert stream_of(Path("somewhere") / name) == stream
