"""`uoro watch`: one stream live, in the terminal."""

from __future__ import annotations

import math
import threading
import time
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live

from uoro.cli.options import ApiKey, StreamId, Url
from uoro.cli.sighting import Sighting
from uoro.cli.terminal import MISUSED, client_of, err, fail, failures_in_a_sentence, out
from uoro.limits import MAX_RECENT_RESULTS
from uoro_client import ClientError, Patience, StreamInfo, Tail
from uoro_client.observations import encode
from uoro_client.wire import DEFAULT_URL

FOREVER = Patience(max_attempts=2**62, max_total_s=math.inf)
DRAWINGS_PER_SECOND = 8
LOOK_EVERY_S = 0.5

WATCH_HELP = """Watch a stream live: what came against what had been said, with the 90 % interval; loss, skill, anomaly.

Begins with the recent results, goes on until ctrl-C, and connects again when the server was away. Skill is over the
latest 64 results. Without a terminal, or with --lines, one line a result. A key needs the scope read.

Example: uoro watch taxi

Example: uoro watch taxi --last 0 --json | jq 'select(.anomaly > 0.99)'
"""


def watch(
    stream: StreamId,
    field: Annotated[str | None, typer.Option("--field", help="Target to show; the first one if left out.")] = None,
    last: Annotated[
        int, typer.Option("--last", min=0, max=MAX_RECENT_RESULTS, help="Recent results to begin with.")
    ] = MAX_RECENT_RESULTS,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many results.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="One line a result, even in a terminal.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See WATCH_HELP."""
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        info = client.stream(stream)
        _check(info, field)
        with client.tail(stream, after=max(0, info.last_seq - last), patience=FOREVER) as tail:
            sighting = Sighting(stream, field, live_after=info.last_seq)
            if json or lines or not out().is_terminal:
                _tell_lines(tail, sighting, count, is_json=json)
            else:
                _show(tail, sighting, count)


def _check(info: StreamInfo, field: str | None) -> None:
    """End if the field is no target of the stream."""
    targets = [name for name, spec in info.spec.get("fields", {}).items() if spec.get("role", "target") == "target"]
    if field is not None and field not in targets:
        fail(f"{info.id} predicts no field {field!r}; there are {', '.join(targets)}.", MISUSED)


def _tell_lines(tail: Tail, sighting: Sighting, count: int | None, *, is_json: bool) -> None:
    ended = threading.Event()
    looking = threading.Thread(target=_tell_outages, args=(tail, ended), daemon=True)
    looking.start()
    try:
        for num, result in enumerate(tail, 1):
            sighting.add(result, time.monotonic())
            line = encode(result).decode() if is_json else sighting.line()
            out().print(line, markup=False, soft_wrap=True)
            if num == count:
                return
    finally:
        ended.set()
        looking.join()


def _tell_outages(tail: Tail, ended: threading.Event) -> None:
    """Say on stderr when the connection goes and comes, and what could not be told."""
    before: ClientError | None = None
    num_missed = 0
    while not ended.wait(LOOK_EVERY_S):
        if (tail.outage is None) != (before is None):
            before = tail.outage
            err().print(
                "connected again" if before is None else f"{before}; trying again", markup=False, soft_wrap=True
            )
        if tail.num_missed > num_missed:
            num_missed = tail.num_missed
            err().print(f"{num_missed:,} results were missed: the server no longer kept them")


def _show(tail: Tail, sighting: Sighting, count: int | None) -> None:
    lock = threading.Lock()

    def picture() -> Group:
        with lock:
            return sighting.picture(*out().size, tail.outage, tail.num_missed, time.monotonic())

    with Live(get_renderable=picture, console=out(), screen=True, refresh_per_second=DRAWINGS_PER_SECOND) as live:
        for num, result in enumerate(tail, 1):
            with lock:
                sighting.add(result, time.monotonic())
            if num == count:
                live.refresh()
                return
