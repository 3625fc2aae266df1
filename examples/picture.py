"""Draw the README's picture: a stream that is new to the service, and what it makes of it. `make pictures` runs it.

    python examples/picture.py --out docs/pictures/learning.svg

The stream is generated: half-hourly counts with a day, a week, noise and, late, a change of level. It is posted to a
service that this script starts on a temporary directory; everything drawn is from the replies.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from uoro_client import Client, ClientError, Observation, ObservationReply

DAYS, PER_DAY = 70, 48
STEP = timedelta(minutes=30)
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
CHANGE_DAY = 56
WINDOW = 2 * PER_DAY
SHOWN_DAYS = 4


def counts() -> list[tuple[datetime, float]]:
    """The stream: (time, count)."""
    chance = random.Random(1)
    rows = []
    for step in range(DAYS * PER_DAY):
        t = BEGIN + step * STEP
        day, hour = step // PER_DAY, (step % PER_DAY) / 2
        level = 900 if day < CHANGE_DAY else 1300
        shape = 1 + 0.6 * math.sin((hour - 9) / 24 * 2 * math.pi) - (0.35 if t.weekday() >= 5 else 0.0)
        rows.append((t, round(level * shape * math.exp(chance.gauss(0, 0.06)))))
    return rows


@contextmanager
def service() -> Iterator[tuple[Client, str]]:
    """A service of its own, for as long as the picture needs it: a client, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        settings = {"UORO_PORT": str(port), "UORO_DATA_DIR": directory, "UORO_LOG_LEVEL": "warning"}
        running = subprocess.Popen(
            [sys.executable, "-c", "from uoro.cli import main; main()", "serve"], env={**os.environ, **settings}
        )
        try:
            url = f"http://127.0.0.1:{port}"
            with Client(url) as client:
                _wait(client, running)
                yield client, url
        finally:
            running.terminate()
            running.wait()


def learn(client: Client, rows: list[tuple[datetime, float]]) -> list[ObservationReply]:
    """Post everything in order; every reply."""
    client.create_stream("counts", {"fields": {"value": {"type": "number"}}})
    replies: list[ObservationReply] = []
    for start in range(0, len(rows), 500):
        chunk = [Observation({"value": value}, t=t) for t, value in rows[start : start + 500]]
        replies += client.observe_many("counts", chunk, full=True).results or ()
    return replies


def draw(rows: list[tuple[datetime, float]], replies: list[ObservationReply], out: Path) -> None:
    """Above: the last days before and after the change, with the intervals. Below: loss against the naive forecast."""
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "uoro"})
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5), height_ratios=(3, 2), layout="constrained")
    first = (CHANGE_DAY - SHOWN_DAYS // 2) * PER_DAY
    shown = range(first, first + SHOWN_DAYS * PER_DAY)
    said = [replies[i].prediction.number("value") for i in shown]
    times = [rows[i][0] for i in shown]
    above.fill_between(
        times,
        [s.lower for s in said],
        [s.upper for s in said],
        color="#9ecae1",
        alpha=0.6,
        lw=0,
        label="said before: 90 %",
    )
    above.plot(times, [s.mean for s in said], color="#2171b5", lw=1.2, label="said before")
    above.plot(times, [rows[i][1] for i in shown], ".", color="#222222", ms=3, label="came")
    above.set_ylabel("count")
    above.set_title("A change of level, and what had been predicted half an hour before", loc="left")
    above.legend(frameon=False, ncols=3, loc="upper left")
    days = [(rows[i][0] - BEGIN) / timedelta(days=1) for i in range(WINDOW, len(rows))]
    for name, colour, values in (
        ("last value", "#999999", [r.baseline_loss for r in replies]),
        ("this service", "#2171b5", [r.loss for r in replies]),
    ):
        known = [value or 0.0 for value in values]
        mean = [sum(known[i - WINDOW : i]) / WINDOW for i in range(WINDOW, len(known))]
        below.plot(days, mean, color=colour, lw=1.2, label=name)
    below.set_ylim(0, 1.25 * below.get_ylim()[1])
    below.set_xlabel("days since the first observation")
    below.set_ylabel("mean absolute error")
    below.legend(frameon=False, ncols=2, loc="upper right")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None})


def _wait(client: Client, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and running.poll() is None:
        try:
            if client.ready():
                return
        except ClientError:
            pass
        time.sleep(0.1)
    raise SystemExit("the service did not start")


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/learning.svg"))
    out = parser.parse_args().out
    rows = counts()
    with service() as (client, _):
        replies = learn(client, rows)
        metrics = client.metrics("counts")
    draw(rows, replies, out)
    print(f"{len(rows)} observations; skill {metrics.skill:.3f}, coverage {metrics.coverage:.3f}; {out}")


if __name__ == "__main__":
    main()
