"""All numeric streams against the last value and the peers of `baselines.json`, by its protocol, on the default spec.

    STREAMS_DATA_DIR=… python benchmarks/learning/ratios.py [--rows 12000] [--fields target|all] [--learner frozen]
        [--cell lru] [--aggregation none] [--spec JSON] [--only-baselines]

Prequential, one step ahead; the first 100 rows are unscored, but for the column `first`, rows 2 to 200. `mae` is the
ratio
to the last value's mean absolute error over the first 2,000 rows and over all rows taken; `is` the ratio of the
interval
score (90 %) to that of the last value with a Gaussian interval from exponentially weighted squared errors.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from streams import observations

from uoro.domain import NumberPrediction, Observation
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec

UNSCORED = 100
NORMAL_90 = 1.6448536269514722
TAIL = 0.05
SQUARE_RATE = 0.02


def numeric_streams(directory: Path) -> list[tuple[str, str]]:
    """(stream, its target) of every stream whose target is a number."""
    manifest = json.loads((directory / "manifest.json").read_text())
    found = []
    for entry in manifest:
        first = next(observations(entry["id"], directory))
        target = entry["target"]
        if not isinstance(first.x.get(target, 0.0), str):
            found.append((entry["id"], target))
    return found


def forecasts(
    stream: str, target: str, directory: Path, rows: int, fields: str, options: dict[str, Any]
) -> tuple[np.ndarray, float, dict[str, float]]:
    """(N, 5): value, mean, lower, upper, last value; NaN where there was none; µs a row; weights of the experts."""
    learner: Learner | None = None
    last, found, spent = math.nan, [], 0.0
    for place, observation in enumerate(observations(stream, directory)):
        if place == rows:
            break
        if fields == "target":
            kept = {name: value for name, value in observation.x.items() if name == target}
            observation = Observation(kept, t=observation.t, is_calendar=observation.is_calendar)  # noqa: PLW2901
        if learner is None:
            if not observation.x:
                continue
            document = StreamSpec.infer(observation).document()
            learner = Learner.new(StreamSpec.parse({"fields": document["fields"], **options}))
        known = {name: value for name, value in observation.x.items() if name in learner.spec.fields}
        observation = Observation(known, t=observation.t, is_calendar=observation.is_calendar)  # noqa: PLW2901
        start = time.thread_time()
        result = learner.observe(observation)
        spent += time.thread_time() - start
        value = observation.x.get(target)
        said = result.prediction.get(target) if result.prediction else None
        if isinstance(value, float) and isinstance(said, NumberPrediction):
            found.append((value, said.mean, said.lower, said.upper, last))
        else:
            found.append((math.nan,) * 5)
        last = value if isinstance(value, float) else last
    assert learner is not None
    weights = learner.metrics().expert_weights.get(target, {})
    return np.array(found), spent / len(found) * 1e6, weights


def interval_score(value: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Width and what missing it costs (Gneiting & Raftery 2007, eq. 43)."""
    return (upper - lower) + (np.maximum(lower - value, 0) + np.maximum(value - upper, 0)) / TAIL


def judge(rows: np.ndarray) -> dict[str, float]:
    """Ratios and coverage of one stream."""
    value, mean, lower, upper, last = rows.T
    naive = np.abs(value - last)
    sigma = np.full(len(rows), np.nan)
    square = math.nan
    for i, error in enumerate(value - last):
        sigma[i] = math.sqrt(square) if square > 0 else math.nan
        if not math.isnan(error):
            square = error**2 if math.isnan(square) else square + SQUARE_RATE * (error**2 - square)
    naive_score = interval_score(value, last - NORMAL_90 * sigma, last + NORMAL_90 * sigma)
    score = interval_score(value, lower, upper)
    is_scored = ~np.isnan(mean) & ~np.isnan(last) & (np.arange(len(rows)) >= UNSCORED)

    def ratio(ours: np.ndarray, theirs: np.ndarray, where: np.ndarray) -> float:
        below = float(np.nansum(theirs[where]))
        return float(np.nansum(ours[where])) / below if below > 0 else 1.0

    early = is_scored & (np.arange(len(rows)) < 2000)
    first = ~np.isnan(mean) & ~np.isnan(last) & (np.arange(len(rows)) < 200)
    scored = is_scored & ~np.isnan(sigma)
    return {
        "mae2k": ratio(np.abs(value - mean), naive, early),
        "mae": ratio(np.abs(value - mean), naive, is_scored),
        "first": ratio(np.abs(value - mean), naive, first),
        "is": ratio(score, naive_score, scored),
        "coverage": float(((value >= lower) & (value <= upper))[is_scored].mean()),
    }


def summary(found: dict[str, dict[str, float]], baselines: list[str]) -> dict[str, str]:
    """The figures that are claimed."""
    geo = lambda rows, key: math.exp(np.mean([math.log(row[key]) for row in rows]))  # noqa: E731
    judged = [found[name] for name in baselines if name in found]
    nab = [row for name, row in found.items() if name.startswith("nab/real")]
    all_rows = list(found.values())
    coverage = [row["coverage"] for row in judged]
    median = {key: np.median([row[key] for row in judged]) for key in ("mae2k", "mae", "is", "coverage")}
    worst = max(max(row["mae"], row["mae2k"]) for row in judged)
    return {
        f"the {len(judged)} series of baselines.json": (
            f"median MAE ratio {median['mae2k']:.3f} over 2,000 rows, {median['mae']:.3f} over all taken; "
            f"interval score {median['is']:.3f}; coverage {median['coverage']:.3f}, "
            f"{min(coverage):.3f} … {max(coverage):.3f}; better on {sum(r['mae'] < 1 for r in judged)}, "
            f"worst {worst:.3f}"
        ),
        f"the {len(nab)} real series of NAB": (
            f"geometric mean {geo(nab, 'mae'):.4f}, worst {max(r['mae'] for r in nab):.3f}"
        ),
        f"all {len(all_rows)}": (
            f"geometric mean {geo(all_rows, 'mae'):.4f}, worst {max(r['mae'] for r in all_rows):.3f}; "
            f"first 200 rows {geo(all_rows, 'first'):.3f}; "
            f"{np.median([r['us'] for r in all_rows]):.0f} µs a row (median)"
        ),
    }


def main() -> None:
    """Run, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--fields", choices=["target", "all"], default="target")
    parser.add_argument("--learner", help="in place of the default: frozen, snap1, rtrl, …")
    parser.add_argument("--cell", help="in place of the default: lru, lstm, rnn, linear")
    parser.add_argument("--aggregation", help="none: the recurrent model alone")
    parser.add_argument("--spec", type=json.loads, default={}, help='more of a spec as JSON: {"hidden_size": 16}')
    parser.add_argument("--only-baselines", action="store_true", help="the series of baselines.json only")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    directory = Path(os.environ["STREAMS_DATA_DIR"])
    options: dict[str, Any] = {"learner": {"name": chosen.learner}} if chosen.learner else {}
    options |= {name: getattr(chosen, name) for name in ("cell", "aggregation") if getattr(chosen, name)}
    options |= chosen.spec
    baselines = list(json.loads((directory / "baselines.json").read_text())["numeric"])
    streams = numeric_streams(directory)
    if chosen.only_baselines:
        streams = [(stream, target) for stream, target in streams if stream in baselines]
    found: dict[str, dict[str, float]] = {}
    for stream, target in track(streams, "streams"):
        rows, micros, _ = forecasts(stream, target, directory, chosen.rows, chosen.fields, options)
        found[stream] = {**judge(rows), "us": micros}
    console = Console(width=130)
    table = Table("stream", "mae 2k", "mae", "first", "is", "coverage", "µs")
    for name, row in found.items():
        table.add_row(
            name, *(f"{row[key]:.3f}" for key in ("mae2k", "mae", "first", "is", "coverage")), f"{row['us']:.0f}"
        )
    console.print(table)
    for name, line in summary(found, baselines).items():
        console.print(f"{name}: {line}")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
