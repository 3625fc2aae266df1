"""`uoro replay`: stream a file into a server, and tell how well it was predicted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from uoro.cli.feed import Feed, NotTheSameFileError
from uoro.cli.fields import stream_of
from uoro.cli.options import ApiKey, Url
from uoro.cli.rows import FIRST_ROWS, RowFile, UnreadableRowError
from uoro.cli.terminal import (
    FAILED,
    INTERRUPTED,
    MISUSED,
    client_of,
    err,
    fail,
    failures_in_a_sentence,
    number,
    out,
    percent,
)
from uoro_client import Client, ClientError, Metrics, Observation, Patience
from uoro_client.wire import DEFAULT_URL

PATIENCE = Patience(max_attempts=100, max_total_s=120.0)
MAX_BATCH = 1_000
MAX_STREAMS_SHOWN = 25
POSTS_PER_SECOND = 10

REPLAY_HELP = """Stream a CSV, NDJSON or NDJSON.gz file into a server; end with how well it was predicted.

NDJSON lines are {"t": ..., "x": {...}} or flat objects; with a "stream" member they may belong to many streams.
A CSV has a header; an empty cell is a missing value. A member or column called t, time, timestamp, date or
datetime is the time of the observation. Where the server asks for keys, one with the scopes read and write.

Example: uoro replay taxi.csv --target value

Example: uoro replay events.ndjson.gz --stream shop --rate 50 --resume
"""


def replay(
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or NDJSON.gz file.")],
    url: Url = DEFAULT_URL,
    stream: Annotated[
        str | None,
        typer.Option("--stream", help="Stream of every row; if left out, what rows name, or the file's name."),
    ] = None,
    fields: Annotated[
        str | None, typer.Option("--fields", help="Fields to keep, separated by commas; all if left out.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", help="Fields to predict, separated by commas; the others are only listened to. All if left out."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Read at most so many rows.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=MAX_BATCH, help="Rows per request.")] = 500,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Observations per second; as fast as it goes if left out.")
    ] = None,
    time_field: Annotated[
        str | None, typer.Option("--time-field", help="Member or column with the time; recognised if left out.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Pass over the rows that the server has already.")] = False,
    api_key: ApiKey = None,
) -> None:
    """See REPLAY_HELP."""
    kept, targets = _names(fields), _names(target)
    if kept is not None and targets is not None:
        kept |= targets
    with (
        failures_in_a_sentence(),
        client_of(url, api_key, PATIENCE) as client,
        RowFile(file, fields=kept, time_field=time_field) as rows,
    ):
        _wait_for(client)
        feed = Feed(client, stream=stream, default_stream=stream_of(file), targets=targets, is_resuming=resume)
        started_s = time.monotonic()
        failure, code = _stream(feed, rows, limit, batch_size, rate)
        _tell(client, feed, time.monotonic() - started_s)
    if failure:
        fail(failure, code)


def _wait_for(client: Client) -> None:
    """Let a server that is still recovering become ready. Raises ConnectionFailed."""
    deadline_s = time.monotonic() + PATIENCE.max_total_s
    while not (readiness := client.ready()).is_ready:
        if time.monotonic() > deadline_s:
            fail(f"The server is not ready: {readiness.reason}.")
        time.sleep(0.2)


def _stream(feed: Feed, rows: RowFile, limit: int | None, batch_size: int, rate: float | None) -> tuple[str, int]:
    """Post all rows; returns why it ended before their end, or "", and the exit code."""
    size = batch_size if rate is None else min(batch_size, max(1, round(rate / POSTS_PER_SECOND)))
    try:
        with _progress() as progress:
            bar = progress.add_task("", total=rows.num_bytes)
            pace = _Pace(rate)
            for batch in _batches(islice(rows, limit), size):
                pace.wait_for(len(batch))
                feed.post(batch)
                _advance(progress, bar, feed, rows)
            progress.update(bar, completed=rows.num_bytes)
    except KeyboardInterrupt:
        return "interrupted; --resume goes on from here.", INTERRUPTED
    except (ValueError, NotTheSameFileError) as error:
        return f"{error}.", MISUSED
    except (ClientError, UnreadableRowError) as error:
        return f"{error}.", FAILED
    return "", 0


def _batches(rows: Iterable[Observation], size: int) -> Iterator[list[Observation]]:
    """Rows in batches; the first one shows enough of them to judge the fields by, whatever the size."""
    remaining = iter(rows)
    first = list(islice(remaining, max(size, FIRST_ROWS)))
    if first:
        yield first
    while batch := list(islice(remaining, size)):
        yield batch


class _Pace:
    """Keeps posts to a rate by waiting before each."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._due_s = time.monotonic()

    def wait_for(self, num_observations: int) -> None:
        """Wait until so many more may be posted."""
        if self._rate is not None:
            time.sleep(max(0.0, self._due_s - time.monotonic()))
            self._due_s = max(self._due_s, time.monotonic()) + num_observations / self._rate


def _progress() -> Progress:
    return Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.description}"),
        TimeRemainingColumn(),
        console=err(),
    )


def _advance(progress: Progress, bar: TaskID, feed: Feed, rows: RowFile) -> None:
    loss = "" if feed.loss is None else f"  loss {feed.loss:.4g}"
    progress.update(bar, completed=rows.num_bytes_read, description=f"{feed.num_learned:,} observations{loss}")


def _tell(client: Client, feed: Feed, elapsed_s: float) -> None:
    """The table of what was learned so far."""
    if not feed.tallies:
        out().print("No rows.")
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("stream", overflow="fold")
    for heading in ("observations", "loss", "naive loss", "skill", "coverage", "observations/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stream, tally in list(feed.tallies.items())[:MAX_STREAMS_SHOWN]:
        try:
            metrics = client.metrics(stream)
        except ClientError:
            metrics = Metrics()
        table.add_row(
            stream,
            f"{tally.num_learned:,}",
            number(metrics.total_loss),
            number(metrics.total_baseline_loss),
            percent(metrics.total_skill),
            percent(metrics.coverage),
            f"{tally.num_learned / max(elapsed_s, 1e-9):,.0f}",
        )
    out().print(table)
    _tell_more(feed)


def _tell_more(feed: Feed) -> None:
    tallies = feed.tallies.values()
    notes = err()
    if len(feed.tallies) > MAX_STREAMS_SHOWN:
        notes.print(
            f"and {len(feed.tallies) - MAX_STREAMS_SHOWN:,} more streams; {feed.num_learned:,} observations in all"
        )
    if skipped := sum(tally.num_skipped for tally in tallies):
        notes.print(f"{skipped:,} rows were there already")
    elif before := sum(tally.before for tally in tallies):
        notes.print(
            f"the losses include {before:,} observations from before; --resume would have passed over as many rows"
        )
    if refused := sum(tally.num_refused for tally in tallies):
        notes.print(f"{refused:,} rows were refused; --resume cannot pass over them. The first reasons:")
        for reason in feed.refusals:
            notes.print(f"  {reason}", markup=False)


def _names(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(name.strip() for name in text.split(",") if name.strip())
