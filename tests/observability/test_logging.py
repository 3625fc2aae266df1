"""Log lines, read back as whoever collects them would."""

import json
import logging
import re
import warnings
from collections.abc import Iterator

import pytest

from uoro.observability.logging import configure

NAMES = ("uoro.audit", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    kept = (root.handlers[:], root.level)
    loggers = [(logging.getLogger(name), logging.getLogger(name).level) for name in NAMES]
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = kept
    root.setLevel(root.level)
    for logger, level in loggers:
        logger.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_json_line_has_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    """Time in RFC 3339 and UTC, level, logger, message, and the extra fields with their types."""
    configure("info", "json")
    logging.getLogger("uoro.engine").warning("away for %d s", 3, extra={"attempt": 2, "stream": "a", "on": True})
    (line,) = map(json.loads, lines(capsys))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "logger": "uoro.engine",
        "message": "away for 3 s",
        "attempt": 2,
        "stream": "a",
        "on": True,
    }


def test_json_lines_stay_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Line breaks, surrogates, NaN, objects and fields named like ours cannot break or forge a line."""
    configure("info", "json")
    extra = {"loss": float("nan"), "odd": object, "level": "fatal", "text": "\ud800", "time": "never"}
    logging.getLogger("x").info('two\nlines "quoted" \ud800', extra=extra)
    (line,) = (json.loads(text, parse_constant=pytest.fail) for text in lines(capsys))
    assert line["message"] == 'two\nlines "quoted" \ud800'
    assert line["loss"] == "nan"
    assert line["level"] == "info"
    assert line["time"] != "never"


@pytest.mark.parametrize("format_", ["console", "json"])
def test_an_exception_comes_with_its_traceback(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    """The traceback is inside the JSON document, or below the console's line."""
    configure("info", format_)
    try:
        {}["missing"]
    except KeyError:
        logging.getLogger("x").exception("failed")
    told = lines(capsys)
    if format_ == "json":
        (told,) = told
        told = [json.loads(told)["message"], *json.loads(told)["exception"].splitlines()]
    assert told[0].endswith("failed")
    assert told[1].startswith("Traceback")
    assert told[-1] == "KeyError: 'missing'"


def test_a_console_line_is_short_and_cannot_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    """Clock, level, logger, message, extras; a line break or escape sequence from outside is made visible."""
    configure("info", "console")
    logging.getLogger("uoro.api").info(
        "refused %s", "a\nb\x1b[31m", extra={"code": "overloaded", "detail": "one\ntwo", "café": 1}
    )
    (line,) = lines(capsys)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} info    uoro\.api  refused a\\nb\\x1b\[31m"
        r'  code=overloaded  detail="one\\ntwo"  café=1',
        line,
    )


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_level_is_the_least_that_is_logged(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """A line at the level appears, the one just below does not."""
    configure(level, "json")
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger("x").log(number - 1, "below")
    logging.getLogger("x").log(number, "at")
    assert [json.loads(line)["message"] for line in lines(capsys)] == ["at"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_audit_log_is_written_at_every_level(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """Whatever the least level of everything else."""
    configure(level, "json")
    logging.getLogger("uoro.audit").info("delete_stream", extra={"act": "delete_stream"})
    assert [json.loads(line)["act"] for line in lines(capsys)] == ["delete_stream"]


def test_uvicorn_speaks_through_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own handlers and its coloured copy of the message are gone; a line for each request needs debug."""
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
    logging.getLogger("uvicorn").propagate = False
    configure("info", "json")
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted\x1b[0m"})
    logging.getLogger("uvicorn.access").info("GET /")
    (line,) = map(json.loads, lines(capsys))
    assert (line["logger"], line["message"]) == ("uvicorn.error", "Started")
    assert "color_message" not in line
    configure("debug", "json")
    logging.getLogger("uvicorn.access").info("GET /")
    assert [json.loads(text)["message"] for text in lines(capsys)] == ["GET /"]


def test_configuring_twice_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The later call replaces the earlier one."""
    configure("info", "json")
    configure("info", "console")
    logging.getLogger("x").info("once")
    (line,) = lines(capsys)
    assert line.endswith("info    x  once")


def test_warnings_become_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's warning is a log line, not loose text between them."""
    configure("info", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old habit", stacklevel=1)
    (line,) = map(json.loads, lines(capsys))
    assert line["logger"] == "py.warnings"
    assert "old habit" in line["message"]


@pytest.mark.parametrize("format_", ["console", "json"])
def test_keys_and_tickets_are_cut_whoever_logs_them(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    """In a message, an extra field or a traceback; what only looks a little like one stays."""
    configure("debug", format_)
    token, ticket = f"uoro_{'0a' * 6}_{'5ec2e7' * 8}", "71c4e7" * 8
    logger = logging.getLogger("uvicorn.error")
    logger.debug("< authorization: Bearer %s", token)
    logger.info('"WebSocket /v1/ws?ticket=%s&a=1" [accepted]', ticket, extra={"key": token})
    try:
        raise ValueError(token)  # noqa: TRY301 - a traceback is what is asked for
    except ValueError:
        logger.exception("failed")
    logger.info("uoro_stream_loss and uoro_client_errors")
    told = capsys.readouterr().err
    assert "5ec2e7" not in told
    assert ticket not in told
    assert "uoro_0a0a0a0a0a0a_" in told
    assert "a=1" in told
    assert "uoro_stream_loss and uoro_client_errors" in told
