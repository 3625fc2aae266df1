"""How well and how fast streams are learned with the default spec: one row per stream.

    python benchmarks/learning/streams.py [STREAM ...] [--rows N] [--learner NAME] [--aggregation NAME]

A STREAM is a name below STREAMS_DATA_DIR ("nab/realKnownCause__nyc_taxi"), a gzip NDJSON file of
{"t": ISO time or number, "x": {field: value}} there. Without names a default set of all kinds is run.
Losses and skill are prequential (predict, then learn) over all rows; categories in bits per symbol.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from uoro.domain import Observation
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec

DEFAULT_STREAMS = (
    "nab/realKnownCause__nyc_taxi",
    "nab/realKnownCause__ambient_temperature_system_failure",
    "nab/realAWSCloudwatch__ec2_cpu_utilization_24ae8d",
    "nab/realAWSCloudwatch__elb_request_count_8c0756",
    "respiration/seq1_201205101519_T",
    "respiration/seq2_201205101522_N",
    "respiration/seq7_201205111057_O",
    "counts/water_flow",
    "machine/kafka0_gc",
    "logs/kafka0_events",
    "music/jsb_satb_train",
    "music/nottingham_chords_a",
    "music/nottingham_abc_a",
)


def observations(stream: str, directory: Path) -> Iterator[Observation]:
    """The rows of a stream; a timestamp without a zone counts as UTC."""
    with gzip.open(directory / f"{stream}.ndjson.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            t, is_calendar = row["t"], isinstance(row["t"], str)
            if is_calendar:
                moment = datetime.fromisoformat(t)
                t = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            values = {name: v if isinstance(v, str) else float(v) for name, v in row["x"].items()}
            yield Observation(values, t=float(t), is_calendar=is_calendar)


def run(stream: str, directory: Path, num_rows: int | None, options: dict[str, object]) -> tuple[object, ...]:
    """The table's row of one stream."""
    learner: Learner | None = None
    covered = intervals = 0
    start = time.perf_counter()
    for i, observation in enumerate(observations(stream, directory)):
        if i == num_rows:
            break
        if learner is None:
            document = StreamSpec.infer(observation).document()
            learner = Learner.new(StreamSpec.parse(document | options))
        learner.observe(observation)
    seconds = time.perf_counter() - start
    assert learner is not None
    metrics = learner.metrics()
    covered, intervals = learner.evaluation.covered[1]
    loss, baseline = metrics.total_loss or 0.0, metrics.total_baseline_loss or 0.0
    if all(field.type == "category" for field in learner.spec.fields.values() if field.role == "target"):
        loss, baseline = loss / math.log(2), baseline / math.log(2)
    return (
        stream, metrics.observations, loss, baseline, metrics.total_skill,
        covered / intervals if intervals else None, seconds / metrics.observations * 1e6,
        learner.nbytes / 1e3, metrics.numeric_resets,
    )  # fmt: skip


def main() -> None:
    """Run the streams and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", nargs="*", default=DEFAULT_STREAMS)
    parser.add_argument("--rows", type=int, default=None, help="first rows only")
    parser.add_argument("--learner", default=None, help="uoro, snap1, rtrl, tbptt or frozen; else the default recipe")
    parser.add_argument("--aggregation", default="boa", help="boa, or none: the recurrent model alone")
    arguments = parser.parse_args()
    directory = os.environ.get("STREAMS_DATA_DIR")
    if not directory:
        parser.error("STREAMS_DATA_DIR must name the directory of the public streams")
    print(
        f"{'stream':<58}{'rows':>7}{'loss':>11}{'naive':>11}{'skill':>8}"
        f"{'coverage':>9}{'µs/obs':>8}{'kB':>7}{'resets':>7}"
    )
    options: dict[str, object] = {"aggregation": arguments.aggregation}
    if arguments.learner is not None:
        # A learner that is named replaces the default recipe, whatever its name.
        options["learner"] = {"name": arguments.learner}
    for stream in arguments.streams:
        name, rows, loss, baseline, skill, coverage, micros, kilobytes, resets = run(
            stream, Path(directory), arguments.rows, options
        )
        share = f"{coverage:>9.3f}" if coverage is not None else f"{'-':>9}"
        gain = f"{skill:>8.3f}" if skill is not None else f"{'-':>8}"
        print(
            f"{name:<58}{rows:>7}{loss:>11.4g}{baseline:>11.4g}{gain}{share}{micros:>8.0f}{kilobytes:>7.0f}{resets:>7}",
            flush=True,
        )


if __name__ == "__main__":
    main()
