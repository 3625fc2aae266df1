"""`uoro snapshots`: named versions of a stream's model, and the way back to them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from uoro.cli.acts import tell_where
from uoro.cli.options import ApiKey, StreamId, Url
from uoro.cli.terminal import client_of, err, failures_in_a_sentence, out
from uoro_client.wire import DEFAULT_URL

SNAPSHOTS_HELP = """Keep named versions of a stream's model, list them, and go back to one.

Example: uoro snapshots create taxi before-holidays
"""

LIST_HELP = """List a stream's snapshots: name, place in the stream, when it was taken.

Example: uoro snapshots list taxi
"""

CREATE_HELP = """Keep the model as it is now under a name, in place of one that has it. A key needs the scope write.

Example: uoro snapshots create taxi before-holidays
"""

RESTORE_HELP = """Go back to a snapshot, its place in the stream included. A key needs the scope admin.

What was learned since is forgotten, unless it is kept first: uoro snapshots create taxi now

Example: uoro snapshots restore taxi before-holidays
"""

Name = Annotated[str, typer.Argument(help="Name of the snapshot.")]

snapshots = typer.Typer(name="snapshots", help=SNAPSHOTS_HELP, no_args_is_help=True, rich_markup_mode=None)


@snapshots.command("list", help=LIST_HELP)
def list_snapshots(
    stream: StreamId,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See LIST_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        found = client.snapshots(stream)
    if json:
        for snapshot in found:
            out().print(msgspec.json.encode(snapshot).decode(), markup=False, soft_wrap=True)
        return
    if not found:
        err().print(f"{stream} has no snapshots.", markup=False, soft_wrap=True)
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("seq", justify="right", no_wrap=True)
    table.add_column("taken", no_wrap=True)
    for snapshot in found:
        table.add_row(snapshot.name, f"{snapshot.seq:,}", _moment(snapshot.created_at))
    out().print(table)


@snapshots.command("create", help=CREATE_HELP)
def create(stream: StreamId, name: Name, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """See CREATE_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        kept = client.snapshot(stream, name)
    out().print(f"{stream}: {kept.name} is kept, at seq {kept.seq:,}", markup=False, soft_wrap=True)


@snapshots.command("restore", help=RESTORE_HELP)
def restore(stream: StreamId, name: Name, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """See RESTORE_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        tell_where(client.restore(stream, name))


def _moment(epoch_s: float | str | None) -> str:
    if not isinstance(epoch_s, int | float):
        return epoch_s or "–"
    return f"{datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%d %H:%M:%S}Z"
