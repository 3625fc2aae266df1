"""What a watcher has seen of one stream, and how it is told: as lines, or as one picture. Pure but for its memory."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from uoro.cli.plot import Band, Line, plot
from uoro.cli.terminal import number, percent, printable
from uoro_client import NumberForecast, ObservationReply, Prediction
from uoro_client.observations import Timestamp, Value
from uoro_client.replies import Forecast

MAX_SEEN = 2_000
SKILL_WINDOW = 64
RATE_WINDOW_S = 10.0
ALARM = 0.99
TABLE_ROWS = 8
MIN_PLOT_ROWS = 4
FRAME_ROWS = 6
"""Of the picture that are neither plot nor rows of the table."""


class Sighting:
    """The latest results of one stream.

    Args:
        field: the target to show; None shows the first.
        live_after: the place after which results are new, and count for the rate.
    """

    def __init__(self, stream: str, field: str | None = None, live_after: int = 0) -> None:
        self.stream = stream
        self.results: deque[ObservationReply] = deque(maxlen=MAX_SEEN)
        self._field = field
        self._live_after = live_after
        self._arrivals: deque[float] = deque(maxlen=MAX_SEEN)

    def add(self, result: ObservationReply, now_s: float) -> None:
        """Take in a result; after a restore it replaces what had come after its place."""
        while self.results and self.results[-1].seq >= result.seq:
            self.results.pop()
        self.results.append(result)
        if result.seq > self._live_after:
            self._arrivals.append(now_s)

    @property
    def field(self) -> str | None:
        """The target that is shown; None before one is known."""
        return self._field or next((field for result in reversed(self.results) for field in result.next or {}), None)

    def skill(self) -> float | None:
        """1 - loss / loss of the naive forecast, over the latest results that have both."""
        pairs = [(r.loss, r.baseline_loss) for r in self.results if r.loss is not None and r.baseline_loss is not None]
        loss, baseline = (sum(column) for column in zip(*pairs[-SKILL_WINDOW:], strict=True)) if pairs else (0.0, 0.0)
        return 1 - loss / baseline if baseline > 0 else None

    def rate(self, now_s: float) -> float:
        """Results per second of late."""
        return sum(now_s - arrival <= RATE_WINDOW_S for arrival in self._arrivals) / RATE_WINDOW_S

    def line(self) -> str:
        """The newest result in one line."""
        result = self.results[-1]
        parts = [f"seq {result.seq}"]
        if result.t is not None:
            parts.append(moment(result.t))
        x, prediction = result.x or {}, result.prediction or Prediction()
        for field in [self._field] if self._field else list(dict.fromkeys([*prediction, *x])):
            said = prediction.get(field)
            parts.append(f"{printable(field)} {value(x.get(field))}" + (f" said {forecast(said)}" if said else ""))
        parts += [f"loss {number(result.loss)}", f"skill {percent(self.skill())}", f"anomaly {percent(result.anomaly)}"]
        return "  ".join(parts)

    def picture(self, width: int, height: int, outage: Exception | None, num_missed: int, now_s: float) -> Group:
        """The whole screen: how it stands, the plot, the latest results."""
        rows = min(TABLE_ROWS, max(0, height - FRAME_ROWS - MIN_PLOT_ROWS))
        parts: list[RenderableType] = [self._standing(outage, num_missed, now_s)]
        if not self.results:
            return Group(*parts, Text("nothing yet", "dim"))
        plot_rows = height - rows - FRAME_ROWS
        if plot_rows >= MIN_PLOT_ROWS:
            parts.append(self._plot(width, plot_rows))
        return Group(*parts, self._table(rows))

    def _standing(self, outage: Exception | None, num_missed: int, now_s: float) -> Text:
        text = Text(f"{self.stream}  ", "bold", no_wrap=True, overflow="ellipsis")
        text.append("● live" if outage is None else f"○ reconnecting: {outage}", "green" if outage is None else "red")
        if num_missed:
            text.append(f"  {num_missed:,} missed", "red")
        if self.results:
            newest = self.results[-1]
            text.append(
                f"  seq {newest.seq:,}  {number(self.rate(now_s))}/s  loss {number(newest.loss)}"
                f"  naive {number(newest.baseline_loss)}  skill {percent(self.skill())}",
                "not bold",
            )
            text.append(
                f"  anomaly {percent(newest.anomaly)}", "red" if (newest.anomaly or 0.0) >= ALARM else "not bold"
            )
        return text

    def _plot(self, width: int, height: int) -> Text:
        """Numbers against what was said of them; of categories, the probability given to what came."""
        shown = list(self.results)[-2 * width :]
        said = [(result.prediction or Prediction()).get(self.field or "") for result in shown]
        came = [(result.x or {}).get(self.field or "") for result in shown]
        if any(isinstance(one, NumberForecast) for one in said) or all(one is None for one in said):
            numbers = [one if isinstance(one, NumberForecast) else None for one in said]
            return plot(
                [
                    Band([None if one is None else (one.lower, one.upper) for one in numbers], "blue"),
                    Line([None if one is None else one.mean for one in numbers], "yellow"),
                    Line([float(one) if isinstance(one, float | int) else None for one in came], "green"),
                ],
                width,
                height,
            )
        return plot([Line([_chance(one, x) for one, x in zip(said, came, strict=True)], "green")], width, height)

    def _table(self, rows: int) -> Table:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        name = printable(self.field or "value")
        for heading, style in (("seq", ""), ("time", "")):
            table.add_column(heading, style=style, no_wrap=True)
        table.add_column(Text(name), justify="right", style="green", no_wrap=True)
        table.add_column("said", justify="right", style="yellow", no_wrap=True)
        for heading in ("loss", "naive loss", "anomaly"):
            table.add_column(heading, justify="right", no_wrap=True)
        upcoming = (self.results[-1].next or Prediction()).get(self.field or "")
        table.add_row(f"{self.results[-1].seq + 1:,}", "next", "", Text(forecast(upcoming)), "", "", "")
        for result in list(reversed(self.results))[: max(0, rows - 1)]:
            table.add_row(
                f"{result.seq:,}",
                Text("" if result.t is None else moment(result.t)),
                Text(value((result.x or {}).get(self.field or ""))),
                Text(forecast((result.prediction or Prediction()).get(self.field or ""))),
                number(result.loss),
                number(result.baseline_loss),
                percent(result.anomaly),
            )
        return table


def moment(t: Timestamp) -> str:
    """A time as ISO 8601 writes it, to the second; as it was given where it is none."""
    if isinstance(t, str):
        return printable(t)
    try:
        date = t if isinstance(t, datetime) else datetime.fromtimestamp(t, UTC)
    except (OverflowError, ValueError, OSError):
        return str(t)
    return f"{date:%Y-%m-%dT%H:%M:%SZ}"


def value(x: Value) -> str:
    """A value that came; a dash where it is missing or not kept."""
    if isinstance(x, bool):
        return str(x).lower()
    return printable(x) if isinstance(x, str) else number(x)


def forecast(said: Forecast | None) -> str:
    """A forecast: the mean and its interval, or the likeliest category."""
    if said is None:
        return "–"
    if isinstance(said, NumberForecast):
        return f"{number(said.mean)} [{number(said.lower)}, {number(said.upper)}]"
    likeliest = said.likeliest
    return f"{printable(likeliest)} {percent(said.probabilities.get(likeliest))}" if likeliest else "–"


def _chance(said: Forecast | None, came: Value) -> float | None:
    if said is None or isinstance(said, NumberForecast) or came is None:
        return None
    return said.probabilities.get(value(came), said.other)
