"""The service's anomaly scores of the NAB files, in the CSV format of NAB's own scorer.

    STREAMS_DATA_DIR=… python benchmarks/learning/nab.py OUT

Rows go to OUT/uoro/<family>/uoro_<file>.csv as timestamp, value, anomaly_score, label, which numenta/NAB's
`run.py --optimize --score --normalize` reads. The labels are written for the scorer only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import track
from streams import observations

from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec


def scores(stream: str, directory: Path) -> list[tuple[str, float, float]]:
    """(timestamp as the scorer writes it, value, anomaly) of every row of a stream, default spec."""
    learner: Learner | None = None
    found = []
    for observation in observations(stream, directory):
        learner = learner or Learner.new(StreamSpec.infer(observation))
        result = learner.observe(observation)
        moment = datetime.fromtimestamp(observation.t or 0.0, UTC)
        value = observation.x.get("value")
        found.append((moment.strftime("%Y-%m-%d %H:%M:%S"), float(value or 0.0), result.anomaly or 0.0))
    return found


def main() -> None:
    """Write one file for each NAB stream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    directory = Path(os.environ["STREAMS_DATA_DIR"])
    windows = json.loads((directory / "nab_windows.json").read_text())
    for name in track(sorted(windows), "NAB files"):
        family, file = name.split("/")
        stream = f"nab/{family}__{file.removesuffix('.csv')}"
        target = out / "uoro" / family / f"uoro_{file}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(["timestamp", "value", "anomaly_score", "label"])
            for stamp, value, anomaly in scores(stream, directory):
                is_labelled = any(begin[:19] <= stamp <= end[:19] for begin, end in windows[name])
                writer.writerow([stamp, value, anomaly, int(is_labelled)])


if __name__ == "__main__":
    main()
