"""A few observations of the usual models: the kernel is compiled by them, or found in its cache."""

from __future__ import annotations

from uoro.domain import Observation
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec

FIELDS = {"number": {"type": "number"}, "category": {"type": "category", "size": 16}}
STREAMS = (("number", "boa"), ("category", "boa"), ("number", "none"))
NUM_OBSERVATIONS = 4


def try_out() -> None:
    """Observe, predict ahead and measure, with a stream of each type of field and one that the core forecasts alone."""
    values: dict[str, list[float | str | None]] = {
        "number": [float(step) for step in range(NUM_OBSERVATIONS)],
        "category": ["a", "b"] * (NUM_OBSERVATIONS // 2),
    }
    for name, aggregation in STREAMS:
        learner = Learner.new(StreamSpec.parse({"fields": {name: FIELDS[name]}, "aggregation": aggregation}))
        for value in values[name]:
            learner.observe(Observation({name: value}))
        learner.predict(2)
        learner.metrics()
