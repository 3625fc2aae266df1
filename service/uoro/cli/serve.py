"""`uoro serve`: the service, as its settings say."""

from __future__ import annotations

import textwrap

import typer
from pydantic_core import PydanticUndefined

from uoro.cli.terminal import failures_in_a_sentence
from uoro.settings import Settings

_WIDTH = 100


def settings_help() -> str:
    """The help of the command: every setting with its default and its meaning."""
    prefix = Settings.model_config.get("env_prefix", "")
    lines: list[str] = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is PydanticUndefined else _shown(field.default)
        lines.append(f"{prefix}{name}".upper() + (f"  [{default}]" if default else ""))
        lines += textwrap.wrap(field.description or "", _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return (
        "Serve, until it is stopped; learn from every observation the moment it arrives.\n\n"
        "Settings come from the environment or from a .env file in the working directory.\n\n"
        "Example: UORO_AUTO_CREATE=true UORO_PORT=8000 uoro serve\n\n"
        "Settings, with their defaults:\n\n"
        "\b\n" + "\n".join(lines)
    )


def serve() -> None:
    """See `settings_help`."""
    with failures_in_a_sentence():
        settings = Settings.load()
        from uoro.app import serve as serve_with  # noqa: PLC0415 - the help must not wait for torch

        code = serve_with(settings)
    raise typer.Exit(code)


def _shown(default: object) -> str:
    if default is None:
        return "unset"
    return str(default).lower() if isinstance(default, bool) else str(default)
