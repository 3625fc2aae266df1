"""One table of what the service costs: `make bench`. Each figure stands beside a yardstick measured in the same run.

    python benchmarks/run.py --repetitions 5 --json results.json

Part one steps learners in this process. Part two starts the service on a temporary directory, with its embedded,
flushing log, and sends it observations over HTTP from one client; the yardstick is the learner's own speed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from uoro.domain import Observation
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec

NUMBER = {"fields": {"value": {"type": "number"}}}
SPECS: dict[str, dict[str, object]] = {
    "default": NUMBER,
    "core alone, uoro rank 1": {**NUMBER, "aggregation": "none", "learner": {"name": "uoro", "rank": 1}},
    "core alone, uoro rank 8": {**NUMBER, "aggregation": "none", "learner": {"name": "uoro", "rank": 8}},
    "core alone, snap1": {**NUMBER, "aggregation": "none", "learner": {"name": "snap1"}},
    "core alone, tbptt(16)": {**NUMBER, "aggregation": "none", "learner": {"name": "tbptt"}},
    "core alone, frozen": {**NUMBER, "aggregation": "none", "learner": {"name": "frozen"}},
    "default, category of 64": {"fields": {"s": {"type": "category", "size": 64}}},
}
YARDSTICK = "core alone, frozen"


@dataclass(frozen=True)
class Row:
    """One measured line; `ratio` is of medians, to the yardstick named in `against`."""

    name: str
    unit: str
    best: float
    median: float
    ratio: float
    against: str


def observations(spec: dict[str, object], num: int) -> list[Observation]:
    """A stream that fits a spec's only field."""
    chance = random.Random(0)
    (name,) = spec["fields"]  # type: ignore[misc]
    if name == "s":
        return [Observation({"s": str(chance.randrange(40))}) for _ in range(num)]
    return [Observation({"value": chance.gauss(step % 24, 1.0)}) for step in range(num)]


def measure(once: Callable[[], float], repetitions: int) -> tuple[float, float]:
    """Least and median of repeated measurements."""
    values = [once() for _ in range(repetitions)]
    return min(values), statistics.median(values)


def steps(repetitions: int, num: int) -> list[Row]:
    """Microseconds per observation of `Learner.observe`, by spec."""
    found: dict[str, tuple[float, float]] = {}
    for name, document in SPECS.items():
        spec, stream = StreamSpec.parse(document), observations(document, num)
        learner = Learner.new(spec)
        for observation in stream:
            learner.observe(observation)

        def once(learner: Learner = learner, stream: list[Observation] = stream) -> float:
            start = time.perf_counter()
            for observation in stream:
                learner.observe(observation)
            return (time.perf_counter() - start) / len(stream) * 1e6

        found[name] = measure(once, repetitions)
    base = found[YARDSTICK][1]
    return [Row(name, "µs", best, median, median / base, YARDSTICK) for name, (best, median) in found.items()]


@contextmanager
def service() -> Iterator[httpx.Client]:
    """A service of its own."""
    with tempfile.TemporaryDirectory() as directory:
        port = random.Random().randrange(20_000, 30_000)
        settings = {"UORO_PORT": str(port), "UORO_DATA_DIR": directory, "UORO_LOG_LEVEL": "warning"}
        command = [sys.executable, "-c", "from uoro.cli import main; main()", "serve"]
        running = subprocess.Popen(command, env={**os.environ, **settings, "UORO_AUTO_CREATE": "true"})
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as http:
                for _ in range(600):
                    try:
                        if http.get("/readyz").status_code == 200:
                            break
                    except httpx.HTTPError:
                        pass
                    time.sleep(0.1)
                yield http
        finally:
            running.terminate()
            running.wait()


def requests(repetitions: int, num: int, learner_us: float) -> list[Row]:
    """Microseconds per observation over HTTP, durable, by way of sending; default spec."""
    stream = [{"x": o.x} for o in observations(NUMBER, num)]
    one_stream = "\n".join(json.dumps(o) for o in stream)
    many_streams = "\n".join(json.dumps({"stream": f"m{place % 64}", **o}) for place, o in enumerate(stream))
    ndjson = {"content-type": "application/x-ndjson"}

    def singly(http: httpx.Client) -> None:
        for o in stream[: num // 10]:
            http.post("/v1/streams/single/observations", json=o).raise_for_status()

    ways: dict[str, tuple[int, Callable[[httpx.Client], object]]] = {
        "HTTP, one by one": (num // 10, singly),
        "HTTP, an array": (num, lambda http: http.post("/v1/streams/array/observations", json=stream)),
        "HTTP, NDJSON": (
            num,
            lambda http: http.post("/v1/streams/nd/observations", content=one_stream, headers=ndjson),
        ),
        "HTTP, NDJSON of 64 streams": (
            num,
            lambda http: http.post("/v1/observations", content=many_streams, headers=ndjson),
        ),
    }
    rows = []
    with service() as http:
        for name, (count, send) in ways.items():
            send(http)

            def once(count: int = count, send: Callable[[httpx.Client], object] = send) -> float:
                start = time.perf_counter()
                send(http)
                return (time.perf_counter() - start) / count * 1e6

            best, median = measure(once, repetitions)
            rows.append(Row(name, "µs", best, median, median / learner_us, "default"))
    return rows


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--observations", type=int, default=2000, help="per repetition")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    chosen = parser.parse_args()
    rows = steps(chosen.repetitions, chosen.observations)
    learner_us = next(row.median for row in rows if row.name == "default")
    rows += requests(chosen.repetitions, chosen.observations, learner_us)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    table = Table("what", "least", "median", "times", "the median of", title=f"Cost per observation; {machine}")
    for row in rows:
        table.add_row(
            row.name, f"{row.best:.0f} {row.unit}", f"{row.median:.0f} {row.unit}", f"{row.ratio:.2f}", row.against
        )
    Console().print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
