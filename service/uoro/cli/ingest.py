"""`uoro ingest`: read a stream of another system and post it to a server, until it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from uoro.cli.options import ApiKey, Url
from uoro.cli.terminal import MISUSED, client_of, err, fail, failures_in_a_sentence, out
from uoro.domain import STREAM_ID
from uoro.feeds.errors import FeedEndedError, SourceAwayError
from uoro_client import ApiError, ClientError, ConnectionFailed, Patience, ReplyLost
from uoro_client.wire import DEFAULT_URL

PATIENCE = Patience(max_attempts=3, max_total_s=10.0)
PAUSE_S = 1.0
WAIT_MS = 1_000
MAX_MISFITS_TOLD = 10

INGEST_HELP = """Read a stream of another system and post it to a server, until it is stopped.

Example: uoro ingest redis redis://localhost:6379/0 plant --stream plant
"""

REDIS_HELP = """Learn a Redis Stream, each entry exactly once and in order.

The entries' fields are the observation's; the first entries say which are numbers, if the stream does not exist.
The time is the entry's id. Restart it as you like: the position is kept in that Redis, under uoro:ingest:GROUP:KEY,
and shown by XINFO GROUPS KEY. Where the server asks for keys, one with the scopes read and write.

Example: uoro ingest redis redis://localhost:6379/0 plant --stream plant

Example: uoro ingest redis rediss://user:secret@db:6379/0 orders --stream shop/orders --once
"""

ingest = typer.Typer(name="ingest", help=INGEST_HELP, no_args_is_help=True, rich_markup_mode=None)


@ingest.callback()
def _group() -> None:
    """A group of commands, even while there is one."""


@ingest.command("redis", help=REDIS_HELP)
def redis(
    redis_url: Annotated[str, typer.Argument(help="redis://, rediss:// or unix:// address of the other Redis.")],
    key: Annotated[str, typer.Argument(help="Key of the Redis Stream.")],
    stream: Annotated[str, typer.Option("--stream", help="Stream of the server that learns it.")],
    group: Annotated[str, typer.Option("--group", help="Consumer group, which names the position.")] = "uoro",
    once: Annotated[bool, typer.Option("--once", help="End when all entries that are there are learned.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See REDIS_HELP."""
    from uoro.feeds.redis_stream import RedisFeed, connect  # noqa: PLC0415 - the help must not wait for it

    if not STREAM_ID.fullmatch(stream):
        fail(f"{stream!r} is no id of a stream.", MISUSED)
    misfits = _Misfits()
    with failures_in_a_sentence(), client_of(url, api_key, PATIENCE) as client:
        try:
            source = connect(redis_url)
        except ValueError as error:
            fail(f"{error}.", MISUSED)
        feed = RedisFeed(source, client, key=key, group=group, stream=stream, on_misfit=misfits.tell)
        try:
            _go_on(lambda: feed.step(WAIT_MS), ends_when_idle=once)
        except FeedEndedError as error:
            fail(f"{error}.")
        finally:
            source.close()
            out().print(f"{feed.num_learned:,} entries learned, {feed.num_misfits:,} set aside")


def _go_on(step: Callable[[], int], *, ends_when_idle: bool) -> None:
    """Step by step, through whatever passes by itself; told once each time it begins."""
    trouble = ""
    while True:
        try:
            num = step()
        except (ClientError, SourceAwayError) as error:
            if isinstance(error, ClientError) and not _passes(error):
                raise
            if not trouble:
                trouble = str(error)
                err().print(f"waiting: {trouble}", markup=False, soft_wrap=True)
            time.sleep(PAUSE_S)
            continue
        if trouble:
            err().print("going on")
            trouble = ""
        if not num and ends_when_idle:
            return


def _passes(error: ClientError) -> bool:
    """Whether a failure is the server's of the moment."""
    is_answer = isinstance(error, ApiError) and error.code != "stream_damaged"
    return isinstance(error, ConnectionFailed | ReplyLost) or (
        is_answer and isinstance(error, ApiError) and (error.status == 429 or error.status >= 500)
    )


class _Misfits:
    """Tells the first entries that are set aside."""

    def __init__(self) -> None:
        self._num = 0

    def tell(self, entry_id: str, reason: str) -> None:
        """One more."""
        self._num += 1
        if self._num <= MAX_MISFITS_TOLD:
            err().print(f"entry {entry_id} is set aside: {reason}", markup=False, soft_wrap=True)
