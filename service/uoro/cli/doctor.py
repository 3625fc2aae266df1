"""`uoro doctor`: is this machine fit to serve, and what to mend if not."""

from __future__ import annotations

import typer

from uoro.cli.terminal import FAILED, failures_in_a_sentence, out
from uoro.settings import Settings

DOCTOR_HELP = """Check the store and its durability, the compute backend, memory, the port and the clock.

Says what to mend, and then exits with 1. Reads the same settings as `uoro serve` and changes nothing.

Example: UORO_REDIS_URL=redis://localhost:6379/0 uoro doctor
"""


def doctor() -> None:
    """See DOCTOR_HELP."""
    with failures_in_a_sentence():
        settings = Settings.load()
        from uoro.doctor import examine  # noqa: PLC0415 - the help must not wait for the store's parts

        console, is_fit = out(), True
        for finding in examine(settings):
            is_fit = is_fit and finding.is_ok
            mark = "[green]✓[/]" if finding.is_ok else "[red]✗[/]"
            console.print(f"{mark} {finding.name:8}", end="")
            console.print(finding.detail, markup=False, soft_wrap=True)
            if finding.advice:
                console.print(f"           to mend: {finding.advice}", markup=False, soft_wrap=True)
        if not is_fit:
            raise typer.Exit(FAILED)
        console.print("ready to serve", style="green")
