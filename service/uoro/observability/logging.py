"""Log lines: short ones to read, or one JSON document a line to collect. Everything goes to standard error.

A value that came from outside cannot forge a line: control characters are escaped in both formats. What looks like
a key or a ticket is cut short, whoever logged it: at level debug the web server writes down whole requests.
"""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "websocket"}
"""Attributes every record has, and those of uvicorn that repeat its message or are objects of its own."""

_TOKEN = re.compile(r"(uoro_[0-9a-f]{12}_)[0-9A-Za-z]+")
_TICKET = re.compile(r"(ticket=)[^&\s\"\\]+")

_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def configure(level: str, format: str) -> None:  # noqa: A002 - the setting's own name
    """Send all loggers, uvicorn's among them, through one.

    Args:
        level: least level logged: "debug", "info", "warning", "error".
        format: "console" or "json".
    """
    log_handler = logging.StreamHandler()
    log_handler.setFormatter(JsonLines() if format == "json" else ConsoleLines())
    logging.basicConfig(level=level.upper(), handlers=[log_handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    # Who did what is written down however little else is wanted.
    logging.getLogger("uoro.audit").setLevel(logging.INFO)
    if level != "debug":
        # A line for each request costs more than the request; uoro_request_duration_seconds counts them.
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)


class ConsoleLines(logging.Formatter):
    """`12:03:44.017 warning uoro.engine  the store is away  attempt=3` in local time, then a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and its exception below."""
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        extra = "".join(f"  {name}={_visible(value)}" for name, value in _extra(record).items())
        clock = moment.isoformat(sep=" ", timespec="milliseconds")[11:23]
        message = _one_line(record.getMessage())
        line = f"{clock} {record.levelname.lower():<7} {record.name}  {message}{extra}"
        exception = _exception(self, record)
        return _redacted(f"{line}\n{exception}" if exception else line)


class JsonLines(logging.Formatter):
    """`{"time", "level", "logger", "message", …extra fields, "exception"?}`, time in RFC 3339, UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one JSON document without line breaks."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, str | float | bool | None] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _extra(record).items():
            line.setdefault(name, value)
        exception = _exception(self, record)
        if exception:
            line["exception"] = exception
        return _redacted(json.dumps(line))


def _redacted(line: str) -> str:
    """The line without the secret part of keys and tickets."""
    if "uoro_" not in line and "ticket=" not in line:
        return line
    return _TICKET.sub(r"\1…", _TOKEN.sub(r"\1…", line))


def _extra(record: logging.LogRecord) -> dict[str, str | float | bool | None]:
    return {name: _plain(value) for name, value in vars(record).items() if name not in _OWN}


def _plain(value: object) -> str | float | bool | None:
    """What JSON has: a text, a finite number, a truth value or null; anything else as text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)


def _visible(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text.isprintable() or " " in text or not text else text


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)
