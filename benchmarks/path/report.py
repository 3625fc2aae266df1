"""Rows of figures, the machine they were measured on, and both as Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Row:
    """One measured line.

    Attributes:
        best: the least of the repetitions, the most where more is better. median: of the repetitions.
        ratio: of the median to the yardstick named in `against`; None where there is none.
        aim: what the ratio or the figure should be; "" where nothing was promised.
    """

    section: str
    name: str
    unit: str
    best: float
    median: float
    ratio: float | None = None
    against: str = ""
    aim: str = ""


def repeated(once: Callable[[], float], repetitions: int, *, is_rate: bool = False) -> tuple[float, float]:
    """Best and median of repeated measurements."""
    values = [once() for _ in range(repetitions)]
    return (max if is_rate else min)(values), statistics.median(values)


def machine() -> str:
    """What it was measured on, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load average at the start {load:.1f}"
    )


def markdown(rows: list[Row], told: str, command: str) -> str:
    """The page."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{command}`; do not edit. Service, client and Redis shared the machine: {told}.",
        "",
        "Every ratio compares figures of the same run. *Best* is of all repetitions, *ratio* of medians. Durable means",
        "that the log is flushed to disk (`appendfsync always`) before anything is answered.",
    ]
    for section in dict.fromkeys(row.section for row in rows):
        lines += ["", f"## {section}", "", "| what | best | median | ratio | to | aim |", "|---|--:|--:|--:|---|---|"]
        for row in rows:
            if row.section == section:
                ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
                lines.append(
                    f"| {row.name} | {_figure(row.best)} {row.unit} | {_figure(row.median)} {row.unit} "
                    f"| {ratio} | {row.against} | {row.aim} |"
                )
    return "\n".join(lines) + "\n"


def as_json(rows: list[Row], told: str, command: str) -> str:
    """The same for programs."""
    return json.dumps({"machine": told, "command": command, "rows": [asdict(row) for row in rows]}, indent=1)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
