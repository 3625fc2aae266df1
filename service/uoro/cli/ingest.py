"""`uoro ingest`: read a stream of another system and post it to a server, until it is stopped."""

from __future__ import annotations

import os
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

MQTT_HELP = """Learn the messages of an MQTT 5 broker, each at least once and in order.

A payload is a number or text (the field is then called value), an object of fields, or an observation
{"x": {...}, "t": ..., "seq": ...}. Messages that carry a seq are learned exactly once; without one, a message may be
learned twice if this command is killed. The session's name lets the broker keep what comes meanwhile.
A password comes from the environment: UORO_MQTT_PASSWORD.

Example: uoro ingest mqtt localhost 'plant/+/flow'

Example: uoro ingest mqtt broker.example --port 8883 --tls --user sensors 'plant/#' --stream 'site-1/{topic}'
"""

ingest = typer.Typer(name="ingest", help=INGEST_HELP, no_args_is_help=True, rich_markup_mode=None)


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
    misfits = _Misfits("entry")
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


@ingest.command("mqtt", help=MQTT_HELP)
def mqtt(
    host: Annotated[str, typer.Argument(help="Host of the broker.")],
    topic: Annotated[str, typer.Argument(help="Filter of the topics, such as plant/+/flow or plant/#.")],
    stream: Annotated[
        str, typer.Option("--stream", help="Stream that learns; {topic} stands for the topic.")
    ] = "{topic}",
    session: Annotated[str, typer.Option("--session", help="Name of the session that the broker keeps.")] = "uoro",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the broker.")] = 1883,
    user: Annotated[str | None, typer.Option("--user", help="User at the broker.")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS with the broker.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See MQTT_HELP."""
    from uoro.feeds.mqtt import MqttFeed  # noqa: PLC0415 - the help must not wait for it

    misfits = _Misfits("message of")
    with failures_in_a_sentence(), client_of(url, api_key, PATIENCE) as client:
        feed = MqttFeed(client, topic=topic, stream=stream, session=session, on_misfit=misfits.tell)
        password = os.environ.get("UORO_MQTT_PASSWORD")
        try:
            feed.start(host, port, user=user, password=password, tls=tls)
            _go_on(lambda: feed.step(WAIT_MS / 1000), ends_when_idle=False)
        except (FeedEndedError, SourceAwayError) as error:
            fail(f"{error}.")
        finally:
            feed.stop()
            out().print(f"{feed.num_learned:,} messages learned, {feed.num_misfits:,} set aside")


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
    """Tells the first parts that are set aside."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._num = 0

    def tell(self, name: str, reason: str) -> None:
        """One more."""
        self._num += 1
        if self._num <= MAX_MISFITS_TOLD:
            err().print(f"{self._part} {name} is set aside: {reason}", markup=False, soft_wrap=True)
