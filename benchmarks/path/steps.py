"""What learning costs without any service: a run of observations, by spec."""

from __future__ import annotations

import time

from path.bulk import NUMBER, RUN
from path.report import Row, repeated
from uoro.domain import Observation
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec

ALONE: dict[str, object] = {**NUMBER, "aggregation": "none"}
CASES: dict[str, dict[str, object]] = {
    "core alone, frozen": {**ALONE, "learner": {"name": "frozen"}},
    "core alone, uoro rank 1": {**ALONE, "learner": {"name": "uoro", "rank": 1}},
    "core alone, uoro rank 8": {**ALONE, "learner": {"name": "uoro", "rank": 8}},
    "core alone, snap1": {**ALONE, "learner": {"name": "snap1"}},
    "core alone, tbptt(16)": {**ALONE, "learner": {"name": "tbptt"}},
    "default": NUMBER,
    "default, category of 64": {"fields": {"s": {"type": "category", "size": 64}}},
}


def steps(repetitions: int, num: int) -> list[Row]:
    """Microseconds per observation in runs, on one core; the yardstick is the frozen core."""
    section = f"Learning alone: one stream, one core, runs of {RUN}"
    rows: list[Row] = []
    base = 0.0
    for name, document in CASES.items():
        learner = Learner.new(StreamSpec.parse(document))
        field = "s" if "category" in name else "value"
        run = [Observation({field: str(n * 7 % 40) if field == "s" else float(n * 7 % 24)}) for n in range(RUN)]
        learner.observe_all(run)

        def once(learner: Learner = learner, run: list[Observation] = run) -> float:
            start = time.perf_counter()
            for _ in range(num // RUN):
                learner.observe_all(run)
            return (time.perf_counter() - start) / (num // RUN * RUN) * 1e6

        best, median = repeated(once, repetitions)
        base = base or median
        rows.append(Row(section, name, "µs", best, median, median / base, "core alone, frozen"))
    return rows
