"""`uoro freeze`, `unfreeze`, `clone` and `delete`: what is done to a stream as a whole."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from uoro.cli.options import ApiKey, StreamId, Url
from uoro.cli.terminal import MISUSED, client_of, fail, failures_in_a_sentence, out
from uoro_client import StreamInfo
from uoro_client.wire import DEFAULT_URL

FREEZE_HELP = """Predict from now on, but do not learn; the state still advances. A key needs the scope write.

Example: uoro freeze taxi
"""

UNFREEZE_HELP = """Learn again. A key needs the scope write.

Example: uoro unfreeze taxi
"""

CLONE_HELP = """Make a second stream that starts from this one's model. A key needs the scope write.

Example: uoro clone taxi taxi-trial
"""

DELETE_HELP = """Forget a stream, its log and its snapshots, for good. A key needs the scope admin.

Asks first; --yes does not, and is needed where nobody can be asked.

Example: uoro delete taxi-trial --yes
"""


def freeze(stream: StreamId, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """See FREEZE_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        tell_where(client.freeze(stream))


def unfreeze(stream: StreamId, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """See UNFREEZE_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        tell_where(client.unfreeze(stream))


def clone(
    stream: StreamId,
    to: Annotated[str, typer.Argument(help="Id of the second stream.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See CLONE_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        tell_where(client.clone(stream, to))


def delete(
    stream: StreamId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See DELETE_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        info = client.stream(stream)
        if not yes:
            if not sys.stdin.isatty():
                fail(f"{info.id} would be forgotten for good; --yes says that this is meant.", MISUSED)
            typer.confirm(f"Forget {info.id} and its {info.last_seq:,} observations for good?", abort=True)
        client.delete_stream(stream)
    out().print(f"{info.id}: forgotten", markup=False, soft_wrap=True)


def tell_where(info: StreamInfo) -> None:
    """A stream's state and place in one line."""
    out().print(f"{info.id}: {info.state}, at seq {info.last_seq:,}", markup=False, soft_wrap=True)
