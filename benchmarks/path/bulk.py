"""Many observations in a request, durable, against what the learners alone can do on the same cores."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from path.report import Row, repeated
from path.served import Served, service
from uoro.domain import Observation
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec

NUMBER: dict[str, object] = {"fields": {"value": {"type": "number"}}}
ALONE: dict[str, object] = {**NUMBER, "aggregation": "none", "learner": {"name": "uoro", "rank": 1}}
SPECS: dict[str, tuple[dict[str, object], str]] = {
    "GRU-16 alone, rank 1": ({**ALONE, "hidden_size": 16}, "60,000/s and a quarter"),
    "GRU-32 alone, rank 1": ({**ALONE, "hidden_size": 32}, "40,000/s and a quarter"),
    "default": (NUMBER, "25,000/s and a quarter"),
}
NUM_STREAMS = 256
NUM_CLIENTS = 2
RUN = 128
CORES = os.cpu_count() or 1
NDJSON = "application/x-ndjson"


def bulk(repetitions: int, num: int) -> list[Row]:
    """Observations per second by spec and way of sending."""
    rows: list[Row] = []
    with service() as served:
        for name, (spec, aim) in SPECS.items():
            section = f"In bulk, durable: {name}"
            best, limit = repeated(lambda spec=spec: learners_alone(spec, num), repetitions, is_rate=True)  # type: ignore[misc]
            rows.append(Row(section, f"learners alone on {CORES} cores, runs of {RUN}", "/s", best, limit))
            for way, send in _ways(served, spec, name.split(maxsplit=1)[0], num).items():
                send()
                best, median = repeated(send, repetitions, is_rate=True)
                told = aim if "many" in way else ""
                rows.append(Row(section, way, "/s", best, median, median / limit, "learners alone", told))
    return rows


def learners_alone(spec: dict[str, object], num: int) -> float:
    """Observations per second of learners without anything around them, a stream for each core."""
    parsed = StreamSpec.parse(spec)
    observations = [Observation({"value": value}) for value in _values(RUN)]
    learners = [Learner.new(parsed) for _ in range(CORES)]
    start = Barrier(CORES + 1)

    def go(learner: Learner) -> None:
        learner.observe_all(observations)
        start.wait()
        for _ in range(num // CORES // RUN):
            learner.observe_all(observations)

    with ThreadPoolExecutor(CORES) as pool:
        going = [pool.submit(go, learner) for learner in learners]
        start.wait()
        begun = time.perf_counter()
        for its in going:
            its.result()
        return (num // CORES // RUN) * RUN * CORES / (time.perf_counter() - begun)


def _ways(served: Served, spec: dict[str, object], name: str, num: int) -> dict[str, Callable[[], float]]:
    streams = [f"{name}-{number}" for number in range(NUM_STREAMS)]
    for stream in streams:
        served.create(stream, spec)
    values = _values(num // 4)
    one = [{"x": {"value": value}} for value in values]
    many = [{"stream": streams[place % NUM_STREAMS], **its} for place, its in enumerate(one)]
    path = f"/v1/streams/{streams[0]}/observations"
    lines = "\n".join(map(json.dumps, one)).encode()
    lines_of_many = "\n".join(map(json.dumps, many)).encode()
    array = json.dumps(one).encode()
    return {
        "an array, one stream": lambda: _sent(served, path, array, "application/json", len(one)),
        "NDJSON, one stream": lambda: _sent(served, path, lines, NDJSON, len(one)),
        f"NDJSON, many streams ({NUM_STREAMS})": lambda: _sent(
            served, "/v1/observations", lines_of_many, NDJSON, len(many)
        ),
    }


def _sent(served: Served, path: str, body: bytes, content_type: str, num: int) -> float:
    """Observations per second of clients that each send a body twice."""

    def go(_: int) -> None:
        for _ in range(2):
            served.call("POST", path, body, content_type)

    start = time.perf_counter()
    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        list(pool.map(go, range(NUM_CLIENTS)))
    return 2 * NUM_CLIENTS * num / (time.perf_counter() - start)


def _values(num: int) -> list[float]:
    chance = random.Random(0)
    return [round(chance.gauss(step % 24, 1.0), 3) for step in range(num)]
