"""Settings: read from the environment, refused in one sentence, handed down as limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uoro.errors import InvalidSettings
from uoro.settings import Settings


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine, no .env file."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"UORO_{name.upper()}", raising=False)


def test_the_environment_and_a_file_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment wins over .env, which wins over the default."""
    (tmp_path / ".env").write_text("UORO_PORT=8100\nUORO_SNAPSHOT_INTERVAL_S=5\n")
    monkeypatch.setenv("UORO_PORT", "8200")
    settings = Settings.load()
    assert (settings.port, settings.snapshot_interval_s, settings.host) == (8200, 5.0, "127.0.0.1")
    assert settings.limits().snapshot_interval_s == 5.0


def test_there_is_a_worker_for_each_core_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, the number of cores; set, what was said."""
    assert Settings.load().runner_threads == max((os.cpu_count() or 1) - 1, 1)
    monkeypatch.setenv("UORO_RUNNER_THREADS", "256")
    assert Settings.load().runner_threads == 256


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("PORT", "70000", "UORO_PORT"),
        ("PORT", "eight", "UORO_PORT"),
        ("SNAPSHOT_INTERVAL_S", "0", "UORO_SNAPSHOT_INTERVAL_S"),
        ("RUNNER_THREADS", "0", "UORO_RUNNER_THREADS"),
        ("RUNNER_THREADS", "257", "UORO_RUNNER_THREADS"),
        ("LOG_FORMAT", "xml", "UORO_LOG_FORMAT"),
        ("SHARD", "a b", "UORO_SHARD"),
        ("HOST", "0.0.0.0", "UORO_ALLOW_ANONYMOUS"),
        ("REMOTE_WRITE_STREAM", "series", "UORO_REMOTE_WRITE_STREAM"),
        ("REMOTE_WRITE_STREAM", "{__name__", "UORO_REMOTE_WRITE_STREAM"),
        ("REMOTE_WRITE_METRICS", "(", "UORO_REMOTE_WRITE_METRICS"),
        ("CORS_ORIGINS", "https://a.example, b.example", "UORO_CORS_ORIGINS"),
        ("CORS_ORIGINS", "https://a.example/", "UORO_CORS_ORIGINS"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, word: str
) -> None:
    """The sentence names what to mend, and does not run over several lines."""
    monkeypatch.setenv(f"UORO_{name}", value)
    with pytest.raises(InvalidSettings, match=word) as refused:
        Settings.load()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_beyond_loopback_only_with_keys_or_with_the_word_for_it(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Refused without keys; with a key file or with the permission it is served; loopback needs neither."""
    monkeypatch.setenv("UORO_HOST", host)
    with pytest.raises(InvalidSettings, match="UORO_API_KEYS_FILE"):
        Settings.load()
    monkeypatch.setenv("UORO_API_KEYS_FILE", "keys.json")
    assert Settings.load().host == host
    monkeypatch.delenv("UORO_API_KEYS_FILE")
    for loopback in ("127.0.0.1", "::1", "localhost"):
        monkeypatch.setenv("UORO_HOST", loopback)
        assert Settings.load().host == loopback


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without blanks; unset there are none; * is all."""
    assert Settings.load().origins() == ()
    monkeypatch.setenv("UORO_CORS_ORIGINS", "https://a.example, http://[::1]:3000 ,*")
    assert Settings.load().origins() == ("https://a.example", "http://[::1]:3000", "*")


def test_everyone_may_be_served_if_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond loopback without keys only with the word for it."""
    monkeypatch.setenv("UORO_HOST", "0.0.0.0")
    monkeypatch.setenv("UORO_ALLOW_ANONYMOUS", "true")
    assert Settings.load().host == "0.0.0.0"
