"""A real Prometheus scrapes itself and the service, and writes everything into the live service."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from live_service import LiveService, free_port
from scrape import samples

PROMETHEUS = shutil.which("prometheus")
PAGE = Path(__file__).parents[2] / "docs" / "ways-in.md"
PATIENCE_S = 240.0
"""A service that is ready may compile for another while."""
NUM_SCRAPES = 3
# The service's own measures of requests and streams grow with what is written: taking them would never come to rest.
SETTINGS = {"STREAM_METRICS_MAX": "0", "MEMORY_BUDGET_BYTES": str(8 * 2**30)}

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus on this machine (Debian: prometheus)")


def documented_block() -> dict[str, Any]:
    """The block of prometheus.yml in docs/ways-in.md."""
    block = re.search(r"```yaml\n(# prometheus.yml\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    return dict(yaml.safe_load(block[1]))


@contextmanager
def prometheus(directory: Path, service: LiveService) -> Iterator[str]:
    """A Prometheus with the documented block, its address changed to the live service's; yields its own address."""
    port = free_port()
    block = documented_block()
    (target,) = block["remote_write"]
    target["url"] = target["url"].replace("localhost:8000", f"127.0.0.1:{service.port}")
    target.pop("authorization", None)
    assert str(service.port) in target["url"]
    jobs = {"prometheus": port, "uoro": service.port}
    config = block | {
        "global": {"scrape_interval": "2s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{at}"]}]} for job, at in jobs.items()
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    assert PROMETHEUS is not None
    with (directory / "prometheus.log").open("ab") as log:
        program = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        program.terminate()
        try:
            program.wait(60)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def told(url: str) -> dict[str, list[dict[str, Any]]]:
    """All samples that Prometheus has, by metric name."""
    answer = httpx.get(f"{url}/api/v1/query", params={"query": '{__name__=~".+"}[1h]'}, timeout=60).json()
    found: dict[str, list[dict[str, Any]]] = {}
    for series in answer["data"]["result"]:
        found.setdefault(series["metric"]["__name__"], []).append(series)
    return found


def streams(service: LiveService) -> dict[str, dict[str, Any]]:
    """All streams of the service by the labels of their series."""
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        params = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
        page = httpx.get(f"{service.url}/v1/streams", params=params, timeout=60).json()
        for stream in page["streams"]:
            labels = {name: value for name, value in stream["labels"].items() if name != "__series__"}
            found[key_of(labels)] = stream
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def results_of(service: LiveService, stream: str) -> dict[int, float | None]:
    """What a stream learned, by time in milliseconds; None where a value was missing."""
    path = f"{service.url}/v1/streams/{stream.replace('/', '%2F')}/results"
    results = httpx.get(path, params={"limit": "64"}, timeout=60).json()["results"]
    return {
        round(1000 * datetime.fromisoformat(its["t"]).timestamp()): its["x"].get("value", its["x"].get("rate"))
        for its in results
    }


def has_all(service: LiveService, expected: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether each series has as many observations as Prometheus had samples, or more."""
    found = {key: stream["last_seq"] for key, stream in streams(service).items()}
    return all(
        found.get(key_of(series["metric"]), 0) >= len(series["values"])
        for series_of_name in expected.values()
        for series in series_of_name
    )


def key_of(labels: dict[str, str]) -> str:
    return repr(sorted(labels.items()))


def outcomes(service: LiveService) -> dict[str, float]:
    """What became of the samples that were written, and of the observations."""
    scraped = samples(httpx.get(f"{service.url}/metrics", timeout=60).content)
    found = {
        dict(labels)["outcome"]: value for (name, labels), value in scraped.items() if name.startswith("uoro_remote")
    }
    return found | {"observations": scraped["uoro_observations_total", ()]}


def wait_until(is_so: Callable[[], bool], what: str, directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"{what}:\n{(directory / 'prometheus.log').read_text()[-3000:]}"
        time.sleep(0.5)


def num_up(service: LiveService) -> int:
    """How far the stream of Prometheus' own `up` is."""
    return min(
        (its["last_seq"] for its in streams(service).values() if its["labels"].get("__name__") == "up"), default=0
    )


def test_every_series_of_a_real_prometheus_is_learned_once(tmp_path: Path) -> None:
    """Across a kill of the service, each series has as many observations as Prometheus has samples, at its times."""
    service = LiveService(tmp_path, SETTINGS)
    try:
        service.start()
        with prometheus(tmp_path, service) as url:
            wait_until(lambda: num_up(service) >= NUM_SCRAPES, "nothing was written", tmp_path)
            service.kill()
            time.sleep(5.0)  # scrapes of Prometheus itself go on, and wait to be sent
            service.start()
            before = num_up(service)
            wait_until(lambda: num_up(service) >= before + NUM_SCRAPES, "nothing was written any more", tmp_path)
            expected = told(url)
            wait_until(lambda: has_all(service, expected), "not all was written", tmp_path)
        found = streams(service)
        num_judged = num_values = 0
        for series_of_name in expected.values():
            for series in series_of_name:
                stream = found[key_of(series["metric"])]
                learned = results_of(service, stream["id"])
                assert len(learned) == stream["last_seq"], "a time was learned twice"
                # Prometheus went on after it was asked, so there may be more.
                samples_of_series = {round(1000 * t): float(value) for t, value in series["values"]}
                assert samples_of_series.keys() <= learned.keys(), (series["metric"], stream)
                num_judged += 1
                if "value" in stream["spec"]["fields"]:
                    known = {ms: value for ms, value in samples_of_series.items() if math.isfinite(value)}
                    assert {ms: learned[ms] for ms in known} == known
                    num_values += len(known)
        assert num_judged > 300
        assert num_values > 300
        last = outcomes(service)
        assert last["refused"] == 0
        assert last["observations"] == last["learned"] + last["missing"]
    finally:
        service.end()
