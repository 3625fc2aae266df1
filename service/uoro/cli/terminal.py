"""What the commands say to people: results on stdout, failures as one sentence on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

from uoro.errors import InvalidSettings, UoroError
from uoro_client import Client, ClientError, ConnectionFailed, Patience

FAILED = 1
MISUSED = 2
INTERRUPTED = 130
PATIENCE = Patience(max_attempts=6, max_total_s=20.0)
"""Somebody waits in front of the terminal: where nobody answers it is told within a few seconds."""


def out() -> Console:
    """The console for results. Ids are shown as they are: `:fire:` is no picture."""
    return Console(highlight=False, emoji=False)


def err() -> Console:
    """The console for progress, notes and failures."""
    return Console(stderr=True, highlight=False, emoji=False)


def printable(text: str) -> str:
    """Text of callers as a terminal may show it: nothing in it moves the cursor or changes colours."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def number(value: float | None) -> str:
    """A number at four significant digits; a dash for none."""
    return "–" if value is None else f"{value:.4g}"


def percent(value: float | None) -> str:
    """A ratio in percent; a dash for none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """Say why it cannot be done, and end."""
    err().print(sentence, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def failures_in_a_sentence() -> Iterator[None]:
    """Every expected error becomes one sentence and an exit code."""
    try:
        yield
    except InvalidSettings as error:
        fail(str(error), MISUSED)
    except ConnectionFailed as error:
        fail(f"{error}. Is the server running? `uoro serve` starts one; --url names another.")
    except (ClientError, UoroError) as error:
        fail(f"{error}.")
    except OSError as error:
        fail(f"{error.filename or 'the file'} cannot be used: {error.strerror or error}.")
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def client_of(url: str, api_key: str | None, patience: Patience | None = None) -> Client:
    """A client for the options that every command shares."""
    try:
        return Client(url, api_key=api_key or None, patience=patience or PATIENCE)
    except ValueError as error:
        fail(f"{error}.", MISUSED)
