"""The other commands, and what every command's help promises."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_double import listening
from typer.testing import CliRunner

from uoro import cli
from uoro.cli.application import application
from uoro.doctor import Finding, check_memory, check_port, check_store, examine, judge_durability
from uoro.settings import Settings
from uoro_client.testing import ServiceDouble

RUN = CliRunner().invoke
SOUND = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
    "version": "7.2",
    "role": "master",
}


@pytest.fixture
def double() -> ServiceDouble:
    return ServiceDouble()


@pytest.fixture
def url(double: ServiceDouble) -> Iterator[str]:
    with listening(double) as address:
        yield address


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings.load(data_dir=tmp_path / "data", port=port, memory_budget_bytes=2**20)


@pytest.mark.parametrize(
    "command",
    [
        "serve",
        "replay",
        "streams",
        "watch",
        "snapshots",
        "snapshots list",
        "snapshots create",
        "snapshots restore",
        "freeze",
        "unfreeze",
        "clone",
        "delete",
        "export",
        "import",
        "doctor",
        "keys",
        "keys create",
        "keys list",
        "keys revoke",
        "version",
    ],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """`--help` shows how it is called."""
    result = RUN(application, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"uoro {command}" in result.stdout.partition("Example:")[2]


def test_the_entry_point(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`main` is the command line."""
    monkeypatch.setattr("sys.argv", ["uoro", "version"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


def test_the_help_of_serve_lists_every_setting() -> None:
    """Every setting is there with its default and its meaning."""
    shown = RUN(application, ["serve", "--help"]).stdout
    for name, field in Settings.model_fields.items():
        assert f"UORO_{name.upper()}" in shown
        assert (field.description or "nothing")[:40] in shown
    assert "UORO_PORT  [8000]" in shown


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_a_bad_setting_stops_with_one_sentence(command: str) -> None:
    """The setting is named, and the exit code is 2."""
    result = RUN(application, [command], env={"UORO_PORT": "eighty"})
    assert result.exit_code == 2
    assert result.stderr.startswith("UORO_PORT is not usable")
    assert len(result.stderr.strip().splitlines()) == 1


def test_models_go_out_and_in(double: ServiceDouble, url: str, tmp_path: Path) -> None:
    """An exported file is imported under its name; a taken id needs --replace, and the message says so."""
    double.answer  # noqa: B018 - the double is shared with the server
    file = tmp_path / "copy.safetensors"
    double.learned["taxi"], double.specs["taxi"], double.labels["taxi"], double.times["taxi"] = (
        [{"v": 1}],
        {},
        {},
        [None],
    )
    assert RUN(application, ["export", "taxi", "-o", str(file), "--url", url]).exit_code == 0
    assert RUN(application, ["import", str(file), "--url", url]).exit_code == 0
    assert double.learned["copy"] == [{"v": 1}]
    again = RUN(application, ["import", str(file), "--url", url])
    assert again.exit_code == 1
    assert "--replace" in again.stderr
    assert RUN(application, ["import", str(file), "--replace", "--url", url]).exit_code == 0


def test_a_failed_export_leaves_no_file(url: str, tmp_path: Path) -> None:
    """A stream that is not there makes no file."""
    result = RUN(application, ["export", "none", "-o", str(tmp_path / "x"), "--url", url])
    assert result.exit_code == 1
    assert "unknown_stream" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_fit_machine(settings: Settings) -> None:
    """With an embedded store, a small budget and a free port nothing is to be mended."""
    assert [(finding.name, finding.advice) for finding in examine(settings)] == [
        ("store", ""),
        ("user", ""),
        ("compute", ""),
        ("memory", ""),
        ("port", ""),
        ("keys", ""),
        ("clock", ""),
    ]


def test_the_doctor_tells_what_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding with advice is marked, the advice shown, and the exit code is 1."""
    found = [Finding("port", "taken", "set UORO_PORT"), Finding("clock", "fine")]
    monkeypatch.setattr("uoro.doctor.examine", lambda _: iter(found))
    result = RUN(application, ["doctor"], env={"UORO_HOST": "127.0.0.1"})
    assert result.exit_code == 1
    assert "✗ port" in result.stdout
    assert "✓ clock" in result.stdout
    assert "to mend: set UORO_PORT" in result.stdout


def test_a_sound_redis() -> None:
    """A server that flushes every write and evicts nothing is fit, also if it does not let its settings be seen."""
    assert judge_durability(SOUND).is_ok
    assert judge_durability(dict.fromkeys(SOUND, "unknown")).is_ok


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("appendonly", "no", "appendonly yes"),
        ("appendfsync", "everysec", "appendfsync always"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("version", "6.2.1", "Redis 7"),
        ("role", "slave", "primary"),
    ],
)
def test_an_unsound_redis(name: str, value: str, advice: str) -> None:
    """Each unsound setting has its own advice."""
    assert advice in judge_durability(SOUND | {name: value}).advice


def test_a_redis_that_is_away(settings: Settings) -> None:
    """A store that cannot be reached is a finding, not a crash."""
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:9/0"})
    finding = next(iter(examine(away)))
    assert (finding.name, finding.is_ok) == ("store", False)


def test_a_taken_port(settings: Settings) -> None:
    """Somebody listens already: the advice names the setting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.port))
        taken.listen()
        assert "UORO_PORT" in check_port(settings).advice
    assert check_port(settings).is_ok


def test_a_budget_beyond_the_memory(settings: Settings) -> None:
    """The advice names a budget that fits."""
    finding = check_memory(settings.model_copy(update={"memory_budget_bytes": 2**60}))
    assert "UORO_MEMORY_BUDGET_BYTES to at most" in finding.advice


def test_a_data_directory_that_is_a_file(settings: Settings, tmp_path: Path) -> None:
    """What stands in the way of the embedded store is told."""
    (tmp_path / "data").write_text("in the way")
    assert "UORO_DATA_DIR" in check_store(settings).advice


def test_a_shell_completes_commands() -> None:
    """What the completion scripts of a shell ask for is answered with the commands that fit."""
    environment = {"_UORO_COMPLETE": "complete_bash", "COMP_WORDS": "uoro sna", "COMP_CWORD": "1"}
    result = RUN(application, [], env=environment, prog_name="uoro")
    assert result.stdout.split() == ["snapshots"]
    assert "--install-completion" in RUN(application, ["--help"]).stdout
