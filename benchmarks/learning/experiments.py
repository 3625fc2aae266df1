"""Reference tasks × learners × seeds on the product's own kernel: a table, curves, and plots. Resumable.

    python benchmarks/learning/experiments.py --only quick       # minutes
    python benchmarks/learning/experiments.py                    # hours: what docs/learning.md shows
    python benchmarks/learning/experiments.py --plot docs/pictures/brackets.svg --task brackets

Results are appended to --results (JSON lines); what stands there is not run again. A learner is scored by its own
softmax;
"pair" mixes a deterministic and an unbiased core by fixed share (Herbster & Warmuth 1998).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from tasks import TASKS

from uoro.learning.block import Block, Layout
from uoro.learning.core import Core, CoreShape
from uoro.learning.kernel import core as kernel
from uoro.learning.kernel.elementary import exp
from uoro.learning.kernel.elementwise import LRU
from uoro.learning.kernel.jit import jit
from uoro.learning.spec import StreamSpec

DECAY = 0.015
SHARE = 2e-4
NUM_POINTS = 30
LN2 = math.log(2)


@dataclass(frozen=True)
class Learner:
    """One core, or two beside each other: (spec of the learner, learning rate) each."""

    cell: str
    units: int
    cores: tuple[tuple[dict[str, Any], float], ...]


PLAIN = {"name": "uoro"}
BEHIND = {"name": "uoro", "control_variate": "snap1", "weight": 0.0}
UNBIASED = {"name": "uoro", "control_variate": "snap1", "rank": 4, "weight": 1.0}
PAIR = ((BEHIND, 2e-3), (UNBIASED, 1e-3))
DEFAULT = {"name": "uoro", "control_variate": "snap1", "rank": 2, "weight": "auto"}


def one(cell: str, units: int, learner: dict[str, Any], rate: float = 1e-3) -> Learner:
    """A single core."""
    return Learner(cell, units, ((learner, rate),))


LEARNERS = {
    "default LSTM-64": one("lstm", 64, DEFAULT),
    "default LSTM-32": one("lstm", 32, DEFAULT),
    "default LSTM-16": one("lstm", 16, DEFAULT, 2e-3),
    "default RNN-24": one("rnn", 24, DEFAULT, 2e-3),
    "pair LSTM-64": Learner("lstm", 64, PAIR),
    "pair LSTM-32": Learner("lstm", 32, PAIR),
    "pair LSTM-16": Learner("lstm", 16, PAIR),
    "pair RNN-24": Learner("rnn", 24, PAIR),
    "behind one exact step LSTM-32": one("lstm", 32, BEHIND, 2e-3),
    "behind one exact step LSTM-16": one("lstm", 16, BEHIND),
    "behind one exact step RNN-24": one("rnn", 24, BEHIND),
    "UORO rank 1 LSTM-16": one("lstm", 16, {**PLAIN, "rank": 1}),
    "UORO rank 8 LSTM-16": one("lstm", 16, {**PLAIN, "rank": 8}),
    "UORO rank 16 LSTM-16": one("lstm", 16, {**PLAIN, "rank": 16}),
    "UORO rank 8 RNN-24": one("rnn", 24, {**PLAIN, "rank": 8}),
    "UORO rank 4 γ .95 GRU-64": one("gru", 64, {**PLAIN, "rank": 4, "memory_decay": 0.95}),
    "SnAp-1 LSTM-16": one("lstm", 16, {"name": "snap1"}),
    "RTRL LSTM-16": one("lstm", 16, {"name": "rtrl"}),
    "RTRL RNN-24": one("rnn", 24, {"name": "rtrl"}),
    "TBPTT(4) LSTM-64": one("lstm", 64, {"name": "tbptt", "truncation": 4}),
    "TBPTT(16) LSTM-64": one("lstm", 64, {"name": "tbptt", "truncation": 16}),
    "TBPTT(16) LSTM-16": one("lstm", 16, {"name": "tbptt", "truncation": 16}),
    "TBPTT(16) RNN-24": one("rnn", 24, {"name": "tbptt", "truncation": 16}),
    "LRU-64 exact": one("lru", 64, {"name": "rtrl"}),
    "LRU-64 exact η .003": one("lru", 64, {"name": "rtrl"}, 3e-3),
    "LRU-256 exact η .003": one("lru", 256, {"name": "rtrl"}, 3e-3),
    "frozen LRU-64": one("lru", 64, {"name": "frozen"}),
    "behind one exact step GRU-64": one("gru", 64, BEHIND),
    "frozen LSTM-16": one("lstm", 16, {"name": "frozen"}),
}
PLOTTED = (
    "default LSTM-64", "pair LSTM-64", "TBPTT(16) LSTM-64", "TBPTT(4) LSTM-64", "UORO rank 4 γ .95 GRU-64",
    "UORO rank 8 RNN-24", "UORO rank 8 LSTM-16", "RTRL LSTM-16", "default LSTM-16", "pair LSTM-32",
    "UORO rank 16 LSTM-16", "SnAp-1 LSTM-16", "TBPTT(16) LSTM-16",
)  # fmt: skip
"""Learners whose curves a picture shows, the longest run of each."""
PLANS: dict[str, list[tuple[str, int, str, int]]] = {
    "quick": [
        ("brackets", 300_000, "behind one exact step LSTM-16", 1),
        ("brackets", 300_000, "frozen LSTM-16", 1),
        ("brackets", 600_000, "pair RNN-24", 3),
        ("brackets", 600_000, "default RNN-24", 3),
        ("brackets", 600_000, "behind one exact step RNN-24", 1),
        ("brackets", 600_000, "UORO rank 8 RNN-24", 1),
        ("brackets", 600_000, "TBPTT(16) RNN-24", 1),
        ("brackets", 600_000, "RTRL RNN-24", 1),
    ],
    "elementwise": [
        ("brackets", 300_000, "LRU-64 exact", 3),
        ("brackets", 300_000, "LRU-64 exact η .003", 3),
        ("brackets", 300_000, "LRU-256 exact η .003", 1),
        ("brackets", 300_000, "frozen LRU-64", 1),
        ("brackets", 300_000, "behind one exact step LSTM-64", 1),
        ("brackets", 300_000, "behind one exact step GRU-64", 1),
        ("anbn", 300_000, "LRU-64 exact", 3),
        ("anbn", 300_000, "LRU-64 exact η .003", 3),
        ("anbn", 300_000, "LRU-256 exact η .003", 1),
        ("anbn", 300_000, "frozen LRU-64", 1),
        ("anbn", 300_000, "behind one exact step LSTM-64", 1),
        ("anbn", 300_000, "behind one exact step GRU-64", 1),
    ],
    "all": [
        ("anbn", 1_000_000, "default LSTM-64", 3),
        ("anbn", 1_000_000, "default LSTM-32", 3),
        ("brackets", 300_000, "default LSTM-64", 3),
        ("brackets", 1_000_000, "default LSTM-64", 3),
        ("anbn", 3_000_000, "UORO rank 16 LSTM-16", 3),
        ("anbn", 1_000_000, "pair LSTM-32", 3),
        ("anbn", 1_000_000, "default LSTM-16", 3),
        ("anbn", 1_000_000, "behind one exact step LSTM-32", 3),
        ("brackets", 3_000_000, "UORO rank 8 LSTM-16", 3),
        ("brackets", 3_000_000, "UORO rank 8 RNN-24", 3),
        ("brackets", 3_000_000, "UORO rank 4 γ .95 GRU-64", 1),
        ("brackets", 1_000_000, "TBPTT(4) LSTM-64", 1),
        ("brackets", 1_000_000, "TBPTT(16) LSTM-64", 1),
        ("anbn", 1_000_000, "SnAp-1 LSTM-16", 1),
        ("anbn", 1_000_000, "TBPTT(16) LSTM-16", 1),
        ("anbn", 1_000_000, "RTRL LSTM-16", 1),
        ("brackets", 1_000_000, "RTRL LSTM-16", 1),
        ("brackets", 1_000_000, "pair LSTM-64", 3),
    ],
}


@jit
def learn(f4, places, sizes, rates, seed, steps, weighing, slope, nothing, has_loss):  # noqa: ANN001, ANN201 - compiled
    """One update by whichever entry point is a core's; returns its numeric resets."""
    if sizes[kernel.CELL] == LRU:
        return kernel.learn_elementwise(f4, places, sizes, rates, seed, steps, weighing, slope, nothing, has_loss)
    if sizes[kernel.ESTIMATOR] <= kernel.FAMILY:
        return kernel.learn(f4, places, sizes, rates, seed, steps, weighing, slope, nothing, has_loss)
    return kernel.learn_exactly(f4, places, sizes, rates, steps, slope, nothing, has_loss)


@jit
def run(f4, places, sizes, rates, steps, weighing, resets, seed, symbols, first, omega, bits):  # noqa: ANN001, ANN201 - compiled
    """Predict each symbol, then learn from it; cores side by side in the rows of f4. Returns the weight of the last
    one.
    """
    num_cores, num_symbols = f4.shape[0], sizes[0, kernel.NUM_OUTPUTS]
    p = np.empty((num_cores, num_symbols), np.float32)
    nothing = np.zeros(sizes[0, kernel.NUM_UNITS], np.float32)
    total = 0.0
    for t in range(symbols.size):
        y = symbols[t]
        said = 0.0
        for i in range(num_cores):
            output = kernel.part(f4[i], places[i], kernel.OUTPUT)
            largest = output.max()
            mass = np.float32(0.0)
            for k in range(num_symbols):
                p[i, k] = exp(output[k] - largest)
                mass += p[i, k]
            for k in range(num_symbols):
                p[i, k] /= mass
            said += (omega if i == num_cores - 1 else 1.0 - omega) * float(p[i, y])
        total -= math.log(max(said, 1e-12))
        if num_cores > 1:
            omega = SHARE / 2 + (1.0 - SHARE) * omega * float(p[num_cores - 1, y]) / max(said, 1e-12)
        for i in range(num_cores):
            p[i, y] -= np.float32(1.0)
            if first + t > 0:
                resets[i] += learn(
                    f4[i], places[i], sizes[i], rates[i], seed, steps[i], weighing[i], p[i], nothing, True
                )
            x = kernel.part(f4[i], places[i], kernel.X)
            x[:] = np.float32(0.0)
            x[y] = np.float32(1.0)
            steps[i, 0] += 1
            if sizes[i, kernel.CELL] == LRU:
                kernel.advance_elementwise(f4[i], places[i], sizes[i])
            else:
                kernel.advance(f4[i], places[i], sizes[i])
    bits[0] = total / symbols.size / LN2
    return omega


def measure(task: str, num: int, learner: Learner, seed: int, progress: Progress) -> dict[str, Any]:
    """One learner on one stream: bits per symbol by stretch."""
    stream = TASKS[task](num, 100 + seed)
    cores, layouts = [], []
    for spec, rate in learner.cores:
        document = {
            "fields": {"s": {"type": "category"}},
            "cell": learner.cell,
            "hidden_size": learner.units,
            "learner": spec,
            "optimizer": {"learning_rate": rate, "decay": DECAY},
            "aggregation": "none",
            "seed": seed,
        }
        shape = CoreShape(StreamSpec.parse(document), stream.num_symbols, stream.num_symbols)
        layout = Layout(shape.parts())
        core = Core(shape, Block(layout), shape.places(layout))
        core.init()
        cores.append(core)
        layouts.append(layout)
    width = max(layout.nbytes for layout in layouts) // 4
    f4 = np.zeros((len(cores), width), np.float32)
    for row, core, layout in zip(f4, cores, layouts, strict=True):
        row[: layout.nbytes // 4] = core._f4  # noqa: SLF001 - the driver is the core's owner here
    places = np.stack([core.shape.places(layout) for core, layout in zip(cores, layouts, strict=True)])
    sizes, rates = np.stack([c.shape.sizes for c in cores]), np.stack([c.shape.rates for c in cores])
    steps, weighing = np.zeros((len(cores), 3), np.int64), np.zeros((len(cores), len(cores[0].weighing)))
    resets, bits, curve, omega = np.zeros(len(cores), np.int64), np.zeros(1), [], 0.5 if len(cores) > 1 else 1.0
    name = progress.add_task(f"{task} {learner.cell}-{learner.units} seed {seed}", total=NUM_POINTS)
    began = time.thread_time()
    for point in range(NUM_POINTS):
        start, stop = point * num // NUM_POINTS, (point + 1) * num // NUM_POINTS
        omega = run(
            f4, places, sizes, rates, steps, weighing, resets, seed, stream.symbols[start:stop], start, omega, bits
        )
        curve.append(float(bits[0]))
        progress.advance(name)
    progress.remove_task(name)
    micros = (time.thread_time() - began) / num * 1e6
    return {"curve": curve, "resets": resets.tolist(), "us": round(micros, 2), "omega": float(omega)}


def known(results: Path) -> list[dict[str, Any]]:
    """What was measured before."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def show(rows: list[dict[str, Any]]) -> None:
    """A table: the last tenth of each run."""
    table = Table("task", "steps", "learner", "bits per symbol, by seed", "µs a step", "resets")
    keys = sorted({(row["task"], row["steps"], row["learner"]) for row in rows})
    for key in keys:
        mine = sorted((r for r in rows if (r["task"], r["steps"], r["learner"]) == key), key=lambda r: r["seed"])
        bits = " ".join(f"{np.mean(row['curve'][-3:]):.4f}" for row in mine)
        table.add_row(key[0], f"{key[1]:,}", key[2], bits, f"{mine[0]['us']}", str(sum(sum(r["resets"]) for r in mine)))
    Console(width=120).print(table)


def plot(rows: list[dict[str, Any]], task: str, out: Path) -> None:
    """Learning curves of one task, with its floor."""
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "uoro"})
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    stream = TASKS[task](100, 0)
    longest = {}
    for row in rows:
        if row["task"] == task and row["seed"] == 0 and row["learner"] in PLOTTED:
            best = longest.setdefault(row["learner"], row)
            longest[row["learner"]] = max(best, row, key=lambda its: its["steps"])
    for name in (name for name in PLOTTED if name in longest):
        steps = (np.arange(NUM_POINTS) + 1) * longest[name]["steps"] / NUM_POINTS
        axes.plot(steps, longest[name]["curve"], label=name, lw=1.2)
    axes.axhline(stream.floor, color="#222222", lw=0.8, ls="--", label="floor")
    if not math.isnan(stream.without_memory):
        axes.axhline(stream.without_memory, color="#999999", lw=0.8, ls=":", label="without memory")
    axes.set(xscale="log", xlabel="symbols", ylabel="bits per symbol", title=f"{task}, learned online")
    axes.set_ylim(stream.floor - 0.02, stream.floor * 1.3 if task == "brackets" else 0.4)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    """Run what is missing, then show everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*PLANS, "none"], help="run this part; without it all parts")
    parser.add_argument("--results", type=Path, default=Path("docs/results/experiments.jsonl"))
    parser.add_argument("--task", choices=TASKS, default="brackets")
    parser.add_argument("--plot", type=Path, help="draw the curves of --task here")
    chosen = parser.parse_args()
    rows = known(chosen.results)
    done = {(row["task"], row["steps"], row["learner"], row["seed"]) for row in rows}
    plans = (
        [] if chosen.only == "none" else PLANS[chosen.only] if chosen.only else [p for ps in PLANS.values() for p in ps]
    )
    with Progress() as progress:
        for task, steps, name, num_seeds in plans:
            for seed in range(num_seeds):
                if (task, steps, name, seed) in done:
                    continue
                found = measure(task, steps, LEARNERS[name], seed, progress)
                row = {"task": task, "steps": steps, "learner": name, "seed": seed, **found}
                rows.append(row)
                chosen.results.parent.mkdir(parents=True, exist_ok=True)
                with chosen.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    show(rows)
    if chosen.plot:
        plot(rows, chosen.task, chosen.plot)


if __name__ == "__main__":
    main()
