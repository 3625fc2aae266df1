"""One table of what the service costs: `make bench`. Each ratio is of figures measured in the same run.

    python benchmarks/run.py --markdown docs/benchmarks.md --json benchmarks.json
    python benchmarks/run.py --quick --only cost bulk

The service runs as its users run it, in a process of its own with its embedded, flushing log; its clients run here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from path.bulk import bulk
from path.overload import overload
from path.report import Row, as_json, machine, markdown
from path.residency import residency
from path.scale import flatness, streams
from path.singles import cost, latency
from path.steps import steps


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: to see that it runs")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 100, 10_000], help="numbers of streams")
    parser.add_argument("--flat", type=int, default=1_000_000, help="observations of one stream")
    parser.add_argument(
        "--only", nargs="+", metavar="PART", help="steps, cost, latency, bulk, overload, streams, residency, flatness"
    )
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--json", type=Path, help="write the rows here")
    chosen = parser.parse_args()
    part = 0.1 if chosen.quick else 1.0
    repetitions = 2 if chosen.quick else chosen.repetitions
    parts: dict[str, Callable[[], list[Row]]] = {
        "steps": lambda: steps(repetitions, int(10_000 * part)),
        "cost": lambda: cost(repetitions, int(8_000 * part)),
        "latency": lambda: latency(20 * part),
        "bulk": lambda: bulk(repetitions, int(80_000 * part)),
        "overload": lambda: overload(20 * part),
        "streams": lambda: streams([max(1, int(count * part)) for count in chosen.streams], int(100_000 * part)),
        "residency": lambda: residency(int(100_000 * part), int(20_000 * part), 20),
        "flatness": lambda: flatness(int(chosen.flat * part)),
    }
    told = machine()
    command = "make bench" + (" (in part)" if chosen.only or chosen.quick else "")
    rows: list[Row] = []
    for name, measure in parts.items():
        if chosen.only is None or name in chosen.only:
            print(f"measuring: {name}", flush=True)
            rows += measure()
    page = markdown(rows, told, command)
    print(page)
    if chosen.markdown:
        chosen.markdown.write_text(page)
    if chosen.json:
        chosen.json.write_text(as_json(rows, told, command))


if __name__ == "__main__":
    main()
