"""`uoro ingest`: what it says to people."""

from __future__ import annotations

import pytest
from http_double import listening
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer
from typer.testing import CliRunner, Result

from uoro.cli.application import application
from uoro_client.testing import Fault, ServiceDouble


def uoro(*arguments: object) -> Result:
    return CliRunner().invoke(
        application, ["ingest", "redis", *map(str, arguments)], env={"COLUMNS": "200"}, terminal_width=200
    )


def test_a_bad_address_and_a_bad_id_are_sentences() -> None:
    """Told before anything is read."""
    for arguments in (("http://x", "k", "--stream", "s"), ("redis://localhost", "k", "--stream", "ü")):
        result = uoro(*arguments)
        assert result.exit_code == 2
        assert "Traceback" not in result.output


@pytest.mark.skipif(REDIS_PROGRAM is None, reason=WHY_NOT)
def test_once_learns_what_is_there_and_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Through a failure of the moment; what is set aside is told, and a decision that is somebody's ends it with 1."""
    assert REDIS_PROGRAM is not None
    source = RedisServer(REDIS_PROGRAM, tmp_path_factory.mktemp("redis"))
    source.start()
    double = ServiceDouble(auto_create=False)
    try:
        with listening(double) as url, source.client() as redis:
            for text in ("1", "2"):
                redis.xadd("k", {"v": text})
            double.faults += [None, None, *[Fault.UNAVAILABLE_AFTERWARDS] * 4]
            result = uoro(source.url, "k", "--stream", "s", "--url", url, "--once")
            assert result.exit_code == 0, result.output
            assert "2 entries learned, 0 set aside" in result.output
            assert "waiting: " in result.output
            redis.xadd("k", {"v": "three"})
            redis.xadd("k", {"v": "4"})
            result = uoro(source.url, "k", "--stream", "s", "--url", url, "--once")
            assert "is set aside: field 'v' takes a number, not 'three'" in result.output
            assert double.learned["s"] == [{"v": 1.0}, {"v": 2.0}, {"v": 4.0}]
            result = uoro(source.url, "k", "--stream", "other", "--url", url, "--once")
            assert (result.exit_code, "another stream needs another group" in result.output) == (1, True)
            redis.set("text", "x")
            result = uoro(source.url, "text", "--stream", "t", "--url", url, "--once")
            assert (result.exit_code, "the other Redis refuses" in result.output) == (1, True)
    finally:
        source.stop()
