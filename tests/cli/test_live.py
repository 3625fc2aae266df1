"""The commands about streams against the live service, keys asked for."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from key_ground import KeyFile
from live_service import LiveService
from typer.testing import CliRunner, Result

from uoro.cli.application import application
from uoro_client import Client, Patience

SPEC = {"fields": {"v": {"type": "number"}, "load": {"type": "number", "role": "input"}}, "hidden_size": 2}
UORO = [sys.executable, "-c", "from uoro.cli import main; main()"]
WATCH = [*UORO, "watch"]
LASTING = Patience(max_attempts=1_000, max_total_s=240.0)


class Ground:
    """A service that asks for keys, and the command line that has one."""

    def __init__(self, service: LiveService, keys: KeyFile) -> None:
        self.service = service
        self.admin = keys.make("admin")
        self.reader = keys.make("read")
        self.client = Client(service.url, api_key=self.admin, patience=LASTING)

    def uoro(self, *arguments: object, key: str | None = None, answer: str | None = None) -> Result:
        return CliRunner().invoke(
            application,
            [str(argument) for argument in arguments],
            env={**self.environment(key), "COLUMNS": "160"},
            input=answer,
            terminal_width=160,
        )

    def environment(self, key: str | None = None) -> dict[str, str]:
        return {"UORO_URL": self.service.url, "UORO_API_KEY": key or self.admin}

    def stream(self, name: str, num: int = 0, **labels: str) -> str:
        self.client.create_stream(name, SPEC, labels=labels)
        if num:
            self.client.observe_many(name, [{"v": float(n % 7), "load": 1.0} for n in range(num)])
        return name


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("commands")
    keys = KeyFile(folder / "keys.json")
    service = LiveService(folder, {"API_KEYS_FILE": str(keys.path)})
    made = Ground(service, keys)
    service.start()
    yield made
    made.client.close()
    service.end()


def test_streams_in_a_table(ground: Ground) -> None:
    """One line a stream, with state, observations, skill, anomaly, newest value and labels."""
    ground.stream("table/a", 200, site="north")
    ground.stream("table/b")
    ground.client.freeze("table/b")
    result = ground.uoro("streams", "--prefix", "table/", key=ground.reader)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if "table/" in line]
    skill = ground.client.metrics("table/a").skill
    assert rows[0][:5] == ["table/a", "learning", "200", f"{100 * (skill or 0):.1f}", "%"]
    assert rows[0][-3:] == ["v", "3", "site:north"]
    assert rows[1] == ["table/b", "frozen", "0", "–", "–"]


def test_streams_by_label_and_as_json(ground: Ground) -> None:
    """Labels and prefixes filter; a line of JSON is what the service says of a stream; rates on demand."""
    ground.stream("json/a", 3, site="north", line="1")
    ground.stream("json/b", 3, site="south", line="1")
    result = ground.uoro("streams", "--prefix", "json/", "--label", "line:1", "--label", "site:south", "--json")
    (line,) = result.stdout.splitlines()
    told = json.loads(line)
    assert (told["id"], told["last_seq"], told["labels"]["site"]) == ("json/b", 3, "south")
    assert told["glance"]["x"] == {"v": 2.0}
    limited = ground.uoro("streams", "--prefix", "json/", "--limit", 1, "--json", "--rate-over", "0.1")
    (line,) = limited.stdout.splitlines()
    assert (json.loads(line)["id"], json.loads(line)["observations_per_s"]) == ("json/a", 0.0)
    assert "per s" in ground.uoro("streams", "--prefix", "json/", "--rate-over", "0.1").stdout


def test_more_streams_than_a_page(ground: Ground) -> None:
    """Pages of a hundred follow each other; an id is shown as it is."""
    for n in range(101):
        ground.client.create_stream(f"many:fire:{n:03}", SPEC)
    told = ground.uoro("streams", "--prefix", "many:", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in told] == [f"many:fire:{n:03}" for n in range(101)]
    assert "many:fire:000" in ground.uoro("streams", "--prefix", "many:fire:000").stdout


def test_no_streams(ground: Ground) -> None:
    """Nothing on standard output, a word on the other; a label without a colon is misuse."""
    result = ground.uoro("streams", "--prefix", "nowhere/")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No streams" in result.stderr
    assert ground.uoro("streams", "--label", "north").exit_code == 2


def test_freeze_and_unfreeze(ground: Ground) -> None:
    """Both say where the stream is."""
    ground.stream("frozen", 2)
    assert ground.uoro("freeze", "frozen").stdout == "frozen: frozen, at seq 2\n"
    assert ground.uoro("unfreeze", "frozen").stdout == "frozen: learning, at seq 2\n"


def test_clone_and_delete(ground: Ground) -> None:
    """A clone has the original's place; deleting asks, or is told that it is meant, or refuses."""
    ground.stream("original", 5)
    assert ground.uoro("clone", "original", "copy").stdout == "copy: learning, at seq 5\n"
    assert "stream_exists" in ground.uoro("clone", "original", "copy").stderr
    unsure = ground.uoro("delete", "copy")
    assert unsure.exit_code == 2
    assert "--yes" in unsure.stderr
    assert ground.uoro("delete", "copy", "--yes").stdout == "copy: forgotten\n"
    gone = ground.uoro("delete", "copy", "--yes")
    assert gone.exit_code == 1
    assert "unknown_stream" in gone.stderr


def test_deleting_asks_whoever_sits_there(ground: Ground) -> None:
    """In a terminal, no keeps the stream and yes forgets it."""
    ground.stream("asked", 1)
    for answer, code, is_there in ((b"n\n", 1, True), (b"y\n", 0, False)):
        ours, theirs = pty.openpty()
        command = [*UORO, "delete", "asked"]
        with subprocess.Popen(
            command, env={**os.environ, **ground.environment()}, stdin=theirs, stdout=theirs, stderr=theirs
        ) as asking:
            os.close(theirs)
            _read(ours, "for good?")
            os.write(ours, answer)
            _read(ours, "forgotten" if code == 0 else "Aborted")
            assert asking.wait(30) == code
        os.close(ours)
        assert any(info.id == "asked" for info in ground.client.streams(prefix="asked")) == is_there


def test_snapshots(ground: Ground) -> None:
    """Kept, listed, gone back to; an unknown one is told."""
    ground.stream("kept", 3)
    assert "no snapshots" in ground.uoro("snapshots", "list", "kept").stderr
    assert ground.uoro("snapshots", "create", "kept", "three").stdout == "kept: three is kept, at seq 3\n"
    ground.client.observe("kept", {"v": 1.0})
    shown = ground.uoro("snapshots", "list", "kept", key=ground.reader).stdout
    assert re.search(r"three +3 +20\d\d-\d\d-\d\d ", shown)
    assert json.loads(ground.uoro("snapshots", "list", "kept", "--json").stdout)["name"] == "three"
    assert ground.uoro("snapshots", "restore", "kept", "three").stdout == "kept: learning, at seq 3\n"
    missing = ground.uoro("snapshots", "restore", "kept", "four")
    assert missing.exit_code == 1
    assert "unknown_snapshot" in missing.stderr


@pytest.mark.parametrize(
    "command", [["freeze", "x"], ["clone", "x", "y"], ["delete", "x", "--yes"], ["snapshots", "create", "x", "y"]]
)
def test_a_key_that_may_not(ground: Ground, command: list[str]) -> None:
    """A key without the scope is told so in one sentence."""
    ground.client.create_stream("x", SPEC)
    result = ground.uoro(*command, key=ground.reader)
    assert result.exit_code == 1
    assert "403" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [["streams"], ["watch", "x"], ["freeze", "x"], ["snapshots", "list", "x"]])
def test_nobody_there(ground: Ground, command: list[str]) -> None:
    """A closed port is one sentence that says what to do."""
    result = ground.uoro(*command, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "uoro serve" in result.stderr


def test_watching_in_lines(ground: Ground) -> None:
    """Without a terminal each result is a line, the recent ones first; as JSON it is the result itself."""
    ground.stream("lines", 5)
    result = ground.uoro("watch", "lines", "--last", 2, "--count", 2, key=ground.reader)
    assert result.exit_code == 0
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == ["seq 4", "seq 5"]
    assert re.search(r"v 4 said \S+ \[\S+, \S+\]  loss \S+  skill \S+ %  anomaly \S+ %", result.stdout)
    told = [json.loads(line) for line in ground.uoro("watch", "lines", "--count", 5, "--json").stdout.splitlines()]
    assert [one["seq"] for one in told] == [1, 2, 3, 4, 5]
    assert told[-1]["x"] == {"v": 4.0}


def test_watching_what_is_not_there(ground: Ground) -> None:
    """An unknown stream, and a field that is no target."""
    assert "unknown_stream" in ground.uoro("watch", "nothing").stderr
    ground.stream("fields")
    result = ground.uoro("watch", "fields", "--field", "load")
    assert result.exit_code == 2
    assert "there are v" in result.stderr


def test_watching_through_a_kill(ground: Ground) -> None:
    """The server is killed and comes back: every result is a line, once; the outage is told beside."""
    ground.stream("outage")
    writer = ground.client.writer()
    command = [*WATCH, "outage", "--count", "12", "--json"]
    environment = {**os.environ, **ground.environment()}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None and watching.stderr is not None
        writer.observe("outage", {"v": 1.0})
        first = watching.stdout.readline()
        for n in range(5):
            writer.observe("outage", {"v": float(n)})
        ground.service.kill()
        told = watching.stderr.readline()
        ground.service.start()
        for n in range(6):
            writer.observe("outage", {"v": float(n)})
        lines = [first, *watching.stdout]
    assert watching.returncode == 0
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, 13))
    assert b"trying again" in told


def test_watching_in_a_terminal(ground: Ground) -> None:
    """A picture with a plot and the newest values; ctrl-C ends it and gives the terminal back."""
    ground.stream("screen", 40)
    ours, theirs = pty.openpty()
    environment = {**os.environ, **ground.environment(), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen([*WATCH, "screen"], env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as watching:
        os.close(theirs)
        shown = _read(ours, "live", "⠁")
        ground.client.observe("screen", {"v": 123.0})
        shown += _read(ours, "123")
        watching.send_signal(signal.SIGINT)
        shown += _read(ours, "\x1b[?1049l")
        assert watching.wait(30) == 130
    os.close(ours)
    assert "Traceback" not in shown
    assert "seq 41" in shown


def _read(terminal: int, *words: str, timeout_s: float = 60.0) -> str:
    """What a terminal shows until all words were there; any braille stands for one of its kind."""
    shown, deadline_s = "", time.monotonic() + timeout_s
    while not all(word in re.sub("[\u2801-\u28ff]", "⠁", shown) for word in words):
        assert time.monotonic() < deadline_s, f"{words} not in {shown[-3000:]!r}"
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown
