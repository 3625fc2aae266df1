"""The `uoro` command line."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `uoro` command."""
    from uoro.cli.application import application  # noqa: PLC0415 - `import uoro.cli` stays free of effects

    application()
