"""`uoro replay` against a double of the service behind a real port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_double import listening
from typer.testing import CliRunner, Result

from uoro.cli.application import application
from uoro_client.testing import Fault, ServiceDouble

CSV = "timestamp,value,load\n" + "".join(f"{n},{n},{2 * n}\n" for n in range(1, 251))


@pytest.fixture
def double() -> ServiceDouble:
    return ServiceDouble(auto_create=False)


@pytest.fixture
def url(double: ServiceDouble) -> Iterator[str]:
    with listening(double) as address:
        yield address


@pytest.fixture
def taxi(tmp_path: Path) -> Path:
    file = tmp_path / "taxi.csv"
    file.write_text(CSV)
    return file


def uoro(*arguments: object) -> Result:
    return CliRunner().invoke(
        application, [str(argument) for argument in arguments], env={"COLUMNS": "120"}, terminal_width=120
    )


def test_a_file_ends_in_a_table(double: ServiceDouble, url: str, taxi: Path) -> None:
    """Every row is learned in order, in a stream named after the file, and the table tells how well."""
    result = uoro("replay", taxi, "--url", url, "--batch-size", 60)
    assert result.exit_code == 0
    assert [x["value"] for x in double.learned["taxi"]] == list(range(1, 251))
    assert double.times["taxi"][0] == 1.0
    row = next(line for line in result.stdout.splitlines() if "taxi" in line)
    assert row.split()[:8] == ["taxi", "250", "0.5", "1", "50.0", "%", "90.0", "%"]
    assert "naive loss" in result.stdout


def test_targets_and_fields(double: ServiceDouble, url: str, taxi: Path) -> None:
    """A target makes the others inputs; fields drops the rest; a target that is not there is one sentence."""
    assert uoro("replay", taxi, "--url", url, "--target", "value").exit_code == 0
    assert double.specs["taxi"]["fields"]["load"] == {"type": "number", "role": "input"}
    assert uoro("replay", taxi, "--url", url, "--stream", "b", "--fields", "load", "--limit", 3).exit_code == 0
    assert double.learned["b"] == [{"load": 2.0}, {"load": 4.0}, {"load": 6.0}]
    result = uoro("replay", taxi, "--url", url, "--stream", "c", "--target", "fare")
    assert result.exit_code == 2
    assert "no field 'fare'" in result.stderr


def test_faults_on_the_way_teach_nothing_twice(double: ServiceDouble, url: str, taxi: Path) -> None:
    """Lost replies and an unavailable store are gone through without a duplicate or a gap."""
    double.faults += [None, None, None, Fault.LOSE_REPLY, Fault.UNAVAILABLE_AFTERWARDS, Fault.OVERLOADED]
    assert uoro("replay", taxi, "--url", url, "--batch-size", 50).exit_code == 0
    assert [x["value"] for x in double.learned["taxi"]] == list(range(1, 251))


def test_resuming_goes_on_where_the_stream_ended(double: ServiceDouble, url: str, taxi: Path) -> None:
    """Rows that are there are passed over; without --resume they would be added again."""
    assert uoro("replay", taxi, "--url", url, "--limit", 100).exit_code == 0
    result = uoro("replay", taxi, "--url", url, "--resume")
    assert result.exit_code == 0
    assert "100 rows were there already" in result.stderr
    assert [x["value"] for x in double.learned["taxi"]] == list(range(1, 251))
    assert uoro("replay", taxi, "--url", url, "--limit", 1).exit_code == 0
    assert len(double.learned["taxi"]) == 251


def test_resuming_another_file_is_refused(double: ServiceDouble, url: str, taxi: Path) -> None:
    """If the last row passed over is not what the stream saw last, nothing is posted."""
    assert uoro("replay", taxi, "--url", url, "--limit", 10).exit_code == 0
    double.times["taxi"][-1] = 77.0
    result = uoro("replay", taxi, "--url", url, "--resume")
    assert result.exit_code == 2
    assert "nothing was posted" in result.stderr
    assert len(double.learned["taxi"]) == 10


def test_rows_of_many_streams(double: ServiceDouble, url: str, tmp_path: Path) -> None:
    """Rows that name their streams go there, each stream in its order, and each gets a line in the table."""
    file = tmp_path / "many.ndjson"
    rows = [{"stream": f"s/{n % 3}", "t": n, "x": {"v": n, "k": "a"}} for n in range(300)]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    double.faults += [None] * 7 + [Fault.LOSE_REPLY]
    result = uoro("replay", file, "--url", url, "--batch-size", 90)
    assert result.exit_code == 0
    assert {stream: len(seen) for stream, seen in double.learned.items()} == {"s/0": 100, "s/1": 100, "s/2": 100}
    assert [x["v"] for x in double.learned["s/1"]] == list(range(1, 300, 3))
    assert all(f"s/{n}" in result.stdout for n in range(3))


def test_refused_rows_are_told(double: ServiceDouble, url: str, tmp_path: Path) -> None:
    """A misfit far down is counted, named, and the rest is learned."""
    file = tmp_path / "v.csv"
    file.write_text("v\n" + "1\n" * 150 + "oops\n" + "2\n" * 10)
    result = uoro("replay", file, "--url", url)
    assert result.exit_code == 0
    assert "1 rows were refused" in result.stderr
    assert len(double.learned["v"]) == 160


def test_a_broken_file_still_shows_what_was_learned(double: ServiceDouble, url: str, tmp_path: Path) -> None:
    """The table comes first, then the line that could not be read."""
    file = tmp_path / "v.ndjson"
    file.write_text('{"v":1}\n' * 150 + "{\n")
    result = uoro("replay", file, "--url", url, "--batch-size", 10)
    assert result.exit_code == 1
    assert "line 151: not JSON" in result.stderr
    assert len(double.learned["v"]) == 150
    assert "observations/s" in result.stdout


def test_ctrl_c_shows_the_table_so_far(
    double: ServiceDouble, url: str, taxi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption between batches ends with the table and the exit code of an interruption."""

    def interrupt(_: object, num: int) -> None:
        if "taxi" in double.learned:
            raise KeyboardInterrupt

    monkeypatch.setattr("uoro.cli.replay._Pace.wait_for", interrupt)
    result = uoro("replay", taxi, "--url", url, "--batch-size", 100)
    assert result.exit_code == 130
    assert "100" in result.stdout
    assert "--resume" in result.stderr


def test_nobody_there(taxi: Path) -> None:
    """One sentence that says what to do, and an exit code."""
    result = uoro("replay", taxi, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "no service answers at http://127.0.0.1:9" in result.stderr
    assert "uoro serve" in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_address_and_a_missing_file(url: str, taxi: Path, tmp_path: Path) -> None:
    """Both are told in a sentence."""
    assert uoro("replay", taxi, "--url", "localhost").exit_code == 2
    result = uoro("replay", tmp_path / "none.csv", "--url", url)
    assert result.exit_code == 1
    assert "none.csv cannot be used" in result.stderr
