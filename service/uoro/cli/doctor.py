"""`uoro doctor`: is this machine fit to serve, and what to mend if not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from uoro.cli.terminal import FAILED, failures_in_a_sentence, out
from uoro.settings import Settings

if TYPE_CHECKING:
    from uoro.doctor import Finding

DOCTOR_HELP = """Check the store, its durability and user, the compute backend, memory, the port, keys and the clock.

Says what to mend, and then exits with 1. Reads the same settings as `uoro serve` and changes nothing.

--acl prints the command that makes a user of Redis who may do what the service needs and nothing else: with the name
and the hash of the password in UORO_REDIS_URL, or a placeholder for it. --library prints the functions that Redis is
given at the start, for an administrator who loads them for a user who may not.

Example: UORO_REDIS_URL=redis://localhost:6379/0 uoro doctor

Example: UORO_REDIS_URL=redis://uoro:secret@localhost:6379/0 uoro doctor --acl | redis-cli

Example: uoro doctor --library | redis-cli -x FUNCTION LOAD REPLACE
"""


def doctor(
    acl: Annotated[bool, typer.Option("--acl", help="print the ACL SETUSER line for UORO_REDIS_URL")] = False,
    library: Annotated[bool, typer.Option("--library", help="print the function library")] = False,
) -> None:
    """See DOCTOR_HELP."""
    with failures_in_a_sentence():
        settings = Settings.load()
        import uoro.doctor as checks  # noqa: PLC0415 - the help must not wait for the store's parts

        if acl:
            print(checks.acl_line(settings))
        elif library:
            sys.stdout.write(checks.library().decode())
        else:
            _examine(checks.examine(settings))


def _examine(findings: Iterator[Finding]) -> None:
    """Show each finding. Raises Exit if there is something to mend."""
    console, is_fit = out(), True
    for finding in findings:
        is_fit = is_fit and finding.is_ok
        mark = "[green]✓[/]" if finding.is_ok else "[red]✗[/]"
        console.print(f"{mark} {finding.name:8}", end="")
        console.print(finding.detail, markup=False, soft_wrap=True)
        if finding.advice:
            console.print(f"           to mend: {finding.advice}", markup=False, soft_wrap=True)
    if not is_fit:
        raise typer.Exit(FAILED)
    console.print("ready to serve", style="green")
