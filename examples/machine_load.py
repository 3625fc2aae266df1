"""Watch the service learn the load of this machine, live. Ctrl-C ends it.

    python examples/machine_load.py --seconds 60 --rate 5

If no service answers at --url, one is started for the time of the demo, with its data under ./data (or where
UORO_DATA_DIR says), so that the next demo goes on learning where this one ended.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from uoro_client import Client, ClientError, ConnectionFailed, NumberForecast, ObservationReply

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
METRICS_EVERY_S = 1.0
UNITS = {"cpu_percent": "%", "memory_percent": "%", "network_bytes_per_s": "B/s", "disk_bytes_per_s": "B/s"}


class Machine:
    """The load since the last look, in rates per second."""

    def __init__(self) -> None:
        psutil.cpu_percent()
        self._looked_s = time.monotonic()
        self._network, self._disk = self._counters()

    def look(self) -> dict[str, float | None]:
        """The load as an observation; what this machine does not count is missing."""
        now_s = time.monotonic()
        network, disk = self._counters()
        elapsed_s = max(now_s - self._looked_s, 1e-3)
        x = {
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": psutil.virtual_memory().percent,
            "network_bytes_per_s": _rate(self._network, network, elapsed_s),
            "disk_bytes_per_s": _rate(self._disk, disk, elapsed_s),
        }
        self._looked_s, self._network, self._disk = now_s, network, disk
        return x

    def _counters(self) -> tuple[int | None, int | None]:
        network, disk = psutil.net_io_counters(), psutil.disk_io_counters()
        return (
            network.bytes_sent + network.bytes_recv if network else None,
            disk.read_bytes + disk.write_bytes if disk else None,
        )


def _rate(before: int | None, after: int | None, elapsed_s: float) -> float | None:
    return None if before is None or after is None else max(0, after - before) / elapsed_s


@dataclass
class Track:
    """One field so far: its values, and the errors of the forecast and of the naive one."""

    value: float | None = None
    said: NumberForecast | None = None
    coming: NumberForecast | None = None
    error: float = 0.0
    naive_error: float = 0.0
    num_judged: int = 0
    num_inside: int = 0

    def see(self, value: float | None, said: NumberForecast | None, coming: NumberForecast | None) -> None:
        """Judge what had been said by the value that came."""
        self.said, self.coming = said, coming
        if value is not None and said is not None and self.value is not None:
            self.error += abs(said.mean - value)
            self.naive_error += abs(self.value - value)
            self.num_judged += 1
            self.num_inside += said.lower <= value <= said.upper
        if value is not None:
            self.value = value

    @property
    def skill(self) -> float | None:
        """1 - error / naive error; None while the naive forecast is never wrong."""
        return 1 - self.error / self.naive_error if self.naive_error else None


@dataclass
class Show:
    """What is on the screen."""

    tracks: dict[str, Track] = field(default_factory=lambda: {name: Track() for name in UNITS})
    reply: ObservationReply | None = None
    line: str = "the first prediction comes with the second observation"
    num_seen: int = 0

    def see(self, x: dict[str, float | None], reply: ObservationReply) -> None:
        """Take in one observation and what it led to."""
        self.reply = reply
        self.num_seen += 1
        for name, track in self.tracks.items():
            said, coming = (p.get(name) if p is not None else None for p in (reply.prediction, reply.next))
            track.see(
                x[name],
                said if isinstance(said, NumberForecast) else None,
                coming if isinstance(coming, NumberForecast) else None,
            )

    def render(self) -> Group:
        """The table and the line below it."""
        title = "The load of this machine, predicted before it is seen"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("field", no_wrap=True)
        for heading in ("now", "expected within", "", "next", "inside", "skill"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, track in self.tracks.items():
            unit = UNITS[name]
            said, value = track.said, track.value
            is_inside = said is not None and value is not None and said.lower <= value <= said.upper
            table.add_row(
                name.partition("_")[0],
                _shown(value, unit),
                "–" if said is None else _interval(said, unit),
                "" if said is None else ("[green]✓[/]" if is_inside else "[yellow]✗[/]"),
                "–" if track.coming is None else _shown(track.coming.mean, unit),
                f"{100 * track.num_inside / track.num_judged:.0f} %" if track.num_judged else "–",
                "–" if track.skill is None else f"{100 * track.skill:+.0f} %",
            )
        return Group(table, Text(self.line), self._surprise(), Text(""))

    def _surprise(self) -> Text:
        anomaly = self.reply.anomaly if self.reply is not None else None
        if anomaly is None:
            return Text("")
        length = round(20 * anomaly)
        colour = "red" if anomaly > 0.99 else "yellow" if anomaly > 0.9 else "green"
        bar = Text("surprise ")
        bar.append("█" * length, colour).append("░" * (20 - length), "dim").append(f" {anomaly:.2f}")
        return bar


def _scale(value: float, unit: str) -> tuple[float, str]:
    """The power of a thousand that shows a value best, and its unit."""
    scale, prefix = 1.0, ""
    if unit != "%":
        for prefix_, scale_ in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
            if abs(value) >= scale_:
                scale, prefix = scale_, prefix_
    return scale, f"{prefix}{unit}"


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    scale, scaled_unit = _scale(value, unit)
    return f"{value / scale:.1f} {scaled_unit}"


def _interval(said: NumberForecast, unit: str) -> str:
    scale, scaled_unit = _scale(max(abs(said.lower), abs(said.upper)), unit)
    return f"{said.lower / scale:.1f} … {said.upper / scale:.1f} {scaled_unit}"


@contextmanager
def service(url: str, console: Console) -> Iterator[None]:
    """A service at the address: the one that is there, or one started for the time of the demo."""
    with Client(url) as client:
        if _is_there(client):
            yield
            return
        console.print(f"no service answers at {url}; starting one")
        parts = urlsplit(url)
        settings = {
            "UORO_HOST": parts.hostname or "127.0.0.1",
            "UORO_PORT": str(parts.port or 8000),
            "UORO_AUTO_CREATE": "true",
        }
        command = [str(Path(sys.executable).with_name("uoro")), "serve"]
        # In a session of its own, so that ctrl-C ends the demo first and the service in good order after it.
        server = subprocess.Popen(
            command, env={"UORO_LOG_LEVEL": "warning"} | os.environ | settings, start_new_session=True
        )
        try:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while not _is_ready(client):
                if server.poll() is not None:
                    sys.exit(f"the service did not start; it ended with {server.returncode}")
                if time.monotonic() > deadline_s:
                    sys.exit(f"the service was not ready within {START_TIMEOUT_S:.0f} s")
                time.sleep(0.2)
            yield
        finally:
            server.terminate()
            try:
                server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _is_there(client: Client) -> bool:
    try:
        client.ready()
    except ConnectionFailed:
        return False
    return True


def _is_ready(client: Client) -> bool:
    try:
        return client.ready().is_ready
    except ClientError:
        return False


def watch(client: Client, stream: str, seconds: float | None, rate: float, console: Console) -> Show:
    """Observe the machine until the time is over or ctrl-C comes."""
    show, machine, writer = Show(), Machine(), client.writer()
    started_s = due_s = time.monotonic()
    metrics_s = started_s
    try:
        with Live(show.render(), console=console, refresh_per_second=max(4.0, rate)) as live:
            while seconds is None or time.monotonic() - started_s < seconds:
                due_s = max(due_s + 1 / rate, time.monotonic())
                time.sleep(max(0.0, due_s - time.monotonic()))
                x = machine.look()
                show.see(x, writer.observe(stream, x, t=time.time()))
                if time.monotonic() - metrics_s >= METRICS_EVERY_S:
                    metrics_s = time.monotonic()
                    show.line = summary(client, stream)
                live.update(show.render())
    except KeyboardInterrupt:
        pass
    return show


def summary(client: Client, stream: str) -> str:
    """How well it goes, in one line."""
    metrics = client.metrics(stream)
    if metrics.loss is None or metrics.baseline_loss is None or metrics.skill is None:
        return f"{metrics.observations:,} observations"
    covered = "" if metrics.coverage is None else f" · {100 * metrics.coverage:.0f} % inside the 90 % interval"
    return (
        f"{metrics.observations:,} observations · recent loss {metrics.loss:.3g}, naive {metrics.baseline_loss:.3g}"
        f" · skill {100 * metrics.skill:+.1f} %{covered}"
    )


def verdict(client: Client, stream: str) -> str:
    """What became of it, honestly."""
    metrics = client.metrics(stream)
    skill = metrics.total_skill
    if skill is None:
        return f"{stream}: {metrics.observations:,} observations, too few to judge. Let it watch a little longer."
    told = f"{stream}: over {metrics.observations:,} observations the loss is {100 * abs(skill):.1f} %"
    if skill > 0:
        return f"{told} below that of saying “the same as now”."
    return f"{told} above that of saying “the same as now”: not better yet. It goes on learning from where it is."


def main() -> None:
    """Parse the options and run the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=None, help="how long to watch; until ctrl-C if left out")
    parser.add_argument("--rate", type=float, default=5.0, help="observations per second (default 5)")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the service")
    parser.add_argument("--stream", default="machine", help="id of the stream")
    options = parser.parse_args()
    if options.rate <= 0:
        parser.error("--rate must be above 0")
    console = Console(highlight=False)
    try:
        with service(options.url, console), Client(options.url) as client:
            show = watch(client, options.stream, options.seconds, options.rate, console)
            console.print(verdict(client, options.stream) if show.num_seen else "Nothing was observed.")
    except ClientError as error:
        sys.exit(f"{error}.")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
