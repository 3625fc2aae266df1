"""`uoro keys`: made and shown once, listed without secrets, revoked by id or name."""

from __future__ import annotations

import os
import re
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from uoro.access.key import TOKEN, Scope, hash_of, id_of
from uoro.access.keyfile import read_keys
from uoro.api.keyring import Keyring
from uoro.cli.application import application
from uoro.cli.keys import expiry_of
from uoro.doctor import check_keys
from uoro.settings import Settings

RUN = CliRunner().invoke
NOW = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine, no .env file."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("UORO_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The key file that the setting names; not there yet."""
    path = tmp_path / "keys.json"
    monkeypatch.setenv("UORO_API_KEYS_FILE", str(path))
    return path


def create(*options: str) -> str:
    """A new key's token."""
    result = RUN(application, ["keys", "create", *options])
    assert result.exit_code == 0, result.stderr
    (token,) = result.stdout.split()
    return token


def test_a_key_is_shown_once_and_works(file: Path) -> None:
    """Standard output is the token and nothing else, so that it can be piped; the file knows all but the secret."""
    life = ["--expires", "2d"]
    bounds = ["--max-observations-per-s", "5", "--max-bytes-per-s", "6", "--max-streams", "7"]
    token = create("sensors", "--scope", "write", "--scope", "read", "--prefix", "plant/", *life, *bounds)
    assert TOKEN.fullmatch(token)
    (key,) = read_keys(file)
    assert (key.id, key.name, key.hash, key.scopes) == (
        id_of(token), "sensors", hash_of(token), (Scope.WRITE, Scope.READ),
    )  # fmt: skip
    assert (key.prefix, key.max_observations_per_s, key.max_bytes_per_s, key.max_streams) == ("plant/", 5, 6, 7)
    assert key.expires == key.created + timedelta(days=2)
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Keyring(file).identify(token).key == key


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["a"], 2, "--scope"),
        (["a", "--scope", "root"], 2, "root"),
        (["a", "--scope", "read", "--prefix", "/x"], 2, "prefix '/x'"),
        (["a", "--scope", "read", "--expires", "soon"], 2, "90d"),
        (["a", "--scope", "read", "--expires", "2001-01-01"], 2, "over already"),
        (["a", "--scope", "read", "--max-streams", "0"], 2, "max-streams"),
        (["a\nb", "--scope", "read"], 2, "printable"),
        (["n" * 101, "--scope", "read"], 2, "length <= 100"),
        (["", "--scope", "read"], 2, "length >= 1"),
        (["a", "--scope", "read", "--file", "nowhere/keys.json"], 1, "nowhere"),
        (["taken", "--scope", "read"], 2, "two keys have the name 'taken'"),
    ],
)
def test_what_cannot_be_a_key_changes_nothing(file: Path, options: list[str], code: int, words: str) -> None:
    """Told in a sentence, with the exit code of a misuse where it is one."""
    create("taken", "--scope", "read")
    before = file.read_bytes()
    result = RUN(application, ["keys", "create", *options])
    assert result.exit_code == code
    assert words in result.stderr
    assert file.read_bytes() == before


def test_keys_are_listed_without_secrets(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its name, scopes, prefix, life and limits."""
    monkeypatch.setenv("COLUMNS", "200")
    token = create("sensors", "--scope", "write", "--prefix", "plant/", "--max-streams", "7", "--expires", "2999-01-31")
    create("grafana", "--scope", "read")
    shown = RUN(application, ["keys", "list", "--file", str(file)]).stdout
    for word in (
        "sensors",
        "grafana",
        "write",
        "read",
        "plant/",
        "7 streams",
        "2999-01-31 00:00",
        "never",
        id_of(token),
    ):
        assert word in shown
    assert token.rpartition("_")[2] not in shown
    assert hash_of(token) not in shown


def test_a_key_is_revoked_by_id_or_by_name(file: Path) -> None:
    """It and no other; one that is not there is an error."""
    one, two, three = (create(name, "--scope", "read") for name in ("one", "two", "three"))
    assert RUN(application, ["keys", "revoke", id_of(one)]).exit_code == 0
    assert RUN(application, ["keys", "revoke", "two"]).exit_code == 0
    assert [key.id for key in read_keys(file)] == [id_of(three)]
    result = RUN(application, ["keys", "revoke", "two"])
    assert (result.exit_code, "'two'" in result.stderr) == (1, True)
    assert two not in result.stderr


def test_a_name_that_is_another_key_s_id_revokes_only_that_one(file: Path) -> None:
    """An id goes before a name."""
    first = id_of(create("first", "--scope", "read"))
    create(first, "--scope", "read")
    assert RUN(application, ["keys", "revoke", first]).exit_code == 0
    assert [key.name for key in read_keys(file)] == [first]


@pytest.mark.parametrize("command", [["create", "a", "--scope", "read"], ["list"], ["revoke", "a"]])
def test_a_file_must_be_named(command: list[str]) -> None:
    """By the option or the setting."""
    result = RUN(application, ["keys", *command])
    assert (result.exit_code, "UORO_API_KEYS_FILE" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", [["list"], ["revoke", "a"], ["create", "a", "--scope", "read"]])
def test_a_spoilt_file_is_not_overwritten(file: Path, command: list[str]) -> None:
    """It may hold keys that somebody needs."""
    file.write_text("{")
    result = RUN(application, ["keys", *command])
    assert (result.exit_code, "not usable" in result.stderr) == (2, True)
    assert file.read_text() == "{"


def test_the_file_of_a_dot_env_is_found(tmp_path: Path) -> None:
    """The commands read the settings that the server reads."""
    (tmp_path / ".env").write_text("UORO_API_KEYS_FILE=from-env.json\n")
    create("a", "--scope", "read")
    assert len(read_keys(tmp_path / "from-env.json")) == 1


def test_lives_and_dates() -> None:
    """Hours and days from now, or a date, in UTC unless it says otherwise."""
    whole = NOW.replace(microsecond=0)
    assert expiry_of("12h", NOW) == whole + timedelta(hours=12)
    assert expiry_of("90d", NOW) == whole + timedelta(days=90)
    assert expiry_of("2027-01-31", NOW) == datetime(2027, 1, 31, tzinfo=UTC)
    assert expiry_of("2027-01-31T12:00:00+02:00", NOW) == datetime(2027, 1, 31, 10, tzinfo=UTC)
    for bad in ("0d", "d", "-1d", "90", "1w", "999999d"):
        with pytest.raises(ValueError, match="neither a life"):
            expiry_of(bad, NOW)


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_a_key_file_that_is_none_stops_the_start(file: Path, command: str) -> None:
    """In one sentence that names the file, before anything listens."""
    file.write_text("{}")
    result = RUN(application, [command], env={"UORO_PORT": "0", "UORO_DATA_DIR": str(file.parent / "data")})
    assert result.exit_code == (2 if command == "serve" else 1)
    told = result.stderr if command == "serve" else result.stdout
    assert re.search(r"the key file .*keys\.json is not usable: ", told)
    if command == "serve":
        assert len(told.strip().splitlines()) == 1


def test_the_doctor_looks_at_the_keys(file: Path) -> None:
    """None, one that is good, one that is over, one that others may write."""
    settings = Settings.load()
    assert not check_keys(settings).is_ok
    create("a", "--scope", "read")
    assert check_keys(settings).is_ok
    file.chmod(0o622)
    assert "chmod 600" in check_keys(settings).advice
    RUN(application, ["keys", "revoke", "a"])
    moment = datetime.now(UTC) + timedelta(seconds=1)
    create("b", "--scope", "read", "--expires", moment.isoformat())
    while datetime.now(UTC) <= moment:
        time.sleep(0.05)
    assert "nobody may call" in check_keys(settings).advice
    assert check_keys(settings.model_copy(update={"api_keys_file": None})).is_ok
