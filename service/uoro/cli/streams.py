"""`uoro streams`: which streams there are and how they do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from uoro.cli.options import ApiKey, Url
from uoro.cli.terminal import MISUSED, client_of, err, fail, failures_in_a_sentence, number, out, percent, printable
from uoro_client import Client, Glance, StreamInfo
from uoro_client.wire import DEFAULT_URL

STREAMS_HELP = """List the streams: state, observations, skill, anomaly, newest value.

Skill is 1 - loss / loss of the naive forecast over the recent window; anomaly is that of the newest observation. With
--rate-over the list is read twice, so many seconds apart, and tells the observations per second in between.

Example: uoro streams --prefix plant/ --label site:north

Example: uoro streams --json | jq -r 'select(.glance.skill < 0) | .id'
"""

STATE_STYLES = {"learning": "green", "frozen": "cyan", "damaged": "red"}
ALARM = 0.99


def streams(
    prefix: Annotated[str, typer.Option("--prefix", help="What their ids start with.")] = "",
    label: Annotated[
        list[str] | None, typer.Option("--label", help="key:value; may be repeated, all given must match.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many; all if left out.")] = None,
    rate_over: Annotated[
        float | None,
        typer.Option("--rate-over", min=0.1, max=3600.0, help="Seconds over which to count observations per second."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """See STREAMS_HELP."""
    labels = _labels(label or [])
    with failures_in_a_sentence(), client_of(url, api_key) as client:
        before = None if rate_over is None else _places(client, prefix, labels, limit)
        started_s = time.monotonic()
        time.sleep(rate_over or 0.0)
        found = islice(client.streams(prefix=prefix, labels=labels, page_size=100, glance=True), limit)
        rates = _Rates(before, started_s)
        _tell_lines(found, rates) if json else _tell_table(found, rates)


class _Rates:
    """Observations per second since the first reading; of a stream that went back or is new, none."""

    def __init__(self, before: Mapping[str, int] | None, since_s: float) -> None:
        self.are_known = before is not None
        self._before = before or {}
        self._since_s = since_s

    def of(self, info: StreamInfo) -> float | None:
        """A stream's, now."""
        num = info.last_seq - self._before.get(info.id, info.last_seq + 1)
        return None if num < 0 else num / max(time.monotonic() - self._since_s, 1e-9)


def _places(client: Client, prefix: str, labels: Mapping[str, str], limit: int | None) -> dict[str, int]:
    return {info.id: info.last_seq for info in islice(client.streams(prefix=prefix, labels=labels), limit)}


def _tell_lines(found: Iterable[StreamInfo], rates: _Rates) -> None:
    for info in found:
        document = msgspec.to_builtins(info)
        if rates.are_known:
            document["observations_per_s"] = rates.of(info)
        out().print(msgspec.json.encode(document).decode(), markup=False, soft_wrap=True)


def _tell_table(found: Iterator[StreamInfo], rates: _Rates) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("stream", overflow="fold")
    table.add_column("state", no_wrap=True)
    for heading in ("observations", *(("per s",) if rates.are_known else ()), "skill", "anomaly"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("newest", overflow="fold")
    table.add_column("labels", overflow="fold")
    for info in found:
        glance = info.glance or Glance()
        table.add_row(
            Text(info.id),
            Text(info.state, STATE_STYLES.get(info.state, "")),
            f"{info.last_seq:,}",
            *((number(rates.of(info)),) if rates.are_known else ()),
            percent(glance.skill),
            Text(percent(glance.anomaly), "red" if (glance.anomaly or 0.0) >= ALARM else ""),
            Text(", ".join(f"{printable(name)} {_shown(value)}" for name, value in glance.x.items())),
            Text(" ".join(printable(f"{name}:{value}") for name, value in info.labels.items())),
        )
    if table.row_count:
        out().print(table)
    else:
        err().print("No streams.")


def _labels(given: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in given:
        key, colon, value = text.partition(":")
        if not (key and colon):
            fail(f"a label is key:value, not {text!r}.", MISUSED)
        labels[key] = value
    return labels


def _shown(value: float | str | bool | None) -> str:
    return printable(value) if isinstance(value, str) else number(value)
