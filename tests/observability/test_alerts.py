"""Faults injected into the live service, and the shipped alerts as a real Prometheus raises them.

A stall takes a quarter of an hour to be one and a day to be told from a stream that is always slow. Here each span and
each waiting time of the rules is replaced by seconds; nothing else of them is. An anomaly needs no span: its rule is as
it is shipped.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import yaml
from live_service import READY_TIMEOUT_S, LiveService
from prometheus_server import PATIENCE_S, RULES, Prometheus, needs_prometheus, scraping

SPANS = {"5m": "3s", "10m": "3s", "15m": "5s", "30m": "5s", "1h": "30s", "1d": "30s"}
QUIET, STOPS, GOES_ON = "vibration", "pump", "fan"

pytestmark = needs_prometheus


def in_seconds(rules: str) -> str:
    """Rules with spans of seconds in place of minutes and days."""
    return re.sub(r"(?<=\[)\w+(?=\])|(?<=offset )\w+|(?<= for: )\w+", lambda span: SPANS.get(span[0], "1s"), rules)


def post(url: str, stream: str, values: list[float]) -> list[dict[str, float]]:
    """Observe values; the results."""
    path = f"{url}/v1/streams/{stream}/observations?results=full"
    reply = httpx.post(path, json=[{"x": {"value": value}} for value in values], timeout=READY_TIMEOUT_S)
    results: list[dict[str, float]] = reply.raise_for_status().json()["results"]
    return results


def post_until(done: threading.Event, url: str, stream: str) -> None:
    step = 0
    while not done.wait(0.1):
        post(url, stream, [math.sin((step + n) / 9) for n in range(5)])
        step += 5


def await_alert(prometheus: Prometheus, alert: str) -> dict[str, str]:
    """The labels of an alert once it fires."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        firing = prometheus.alerts()
        if alert in firing:
            return firing[alert]
        time.sleep(0.25)
    pytest.fail(f"{alert} does not fire; what does: {prometheus.alerts()}")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A running service."""
    live = LiveService(tmp_path_factory.mktemp("service"))
    try:
        live.start()
        yield live
        live.stop()
    finally:
        live.end()


@pytest.fixture(scope="module")
def prometheus(service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes it, with spans of seconds."""
    with scraping(service.url, tmp_path_factory.mktemp("prometheus"), in_seconds) as server:
        yield server


def test_only_spans_and_waits_are_replaced() -> None:
    """The rule of a single anomaly is the shipped one; of the stall's, the numbers of observations are."""
    shipped, shortened = (
        {rule["alert"]: rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]}
        for text in ((RULES / "alerts.yml").read_text(), in_seconds((RULES / "alerts.yml").read_text()))
    )
    assert shortened["UoroAnomaly"] == shipped["UoroAnomaly"]
    assert shortened["UoroStreamStalled"]["for"] == "3s"
    assert shortened["UoroStreamStalled"]["expr"] == (
        "increase(uoro_stream_observations_total[5s]) == 0 "
        "and increase(uoro_stream_observations_total[30s] offset 5s) > 96"
    )


def test_a_value_like_no_other_raises_its_alert(service: LiveService, prometheus: Prometheus) -> None:
    """A thousand values of a wave raise nothing; one far outside raises UoroAnomaly for its stream."""
    post(service.url, QUIET, [math.sin(n / 9) for n in range(1000)])
    prometheus.require(f'uoro_stream_anomaly_ratio{{stream="{QUIET}"}}')
    time.sleep(2.5)  # two evaluations
    assert "UoroAnomaly" not in prometheus.alerts()
    (result,) = post(service.url, QUIET, [40.0])
    assert result["anomaly"] > 0.999
    labels = await_alert(prometheus, "UoroAnomaly")
    assert (labels["stream"], labels["severity"]) == (QUIET, "warning")


def test_a_stream_that_stops_raises_its_alert_and_one_that_goes_on_does_not(
    service: LiveService, prometheus: Prometheus
) -> None:
    """Two streams are observed; the source of one ends, and UoroStreamStalled names that one alone."""
    stopped, ended = threading.Event(), threading.Event()
    posters = [
        threading.Thread(target=post_until, args=(stopped, service.url, STOPS)),
        threading.Thread(target=post_until, args=(ended, service.url, GOES_ON)),
    ]
    for poster in posters:
        poster.start()
    try:
        for stream in (STOPS, GOES_ON):
            prometheus.require(f'increase(uoro_stream_observations_total{{stream="{stream}"}}[30s] offset 5s) > 96')
        assert "UoroStreamStalled" not in prometheus.alerts()
        stopped.set()
        assert await_alert(prometheus, "UoroStreamStalled")["stream"] == STOPS
        stalled = prometheus.get("query", query='ALERTS{alertname="UoroStreamStalled"}')["result"]
        assert {alert["metric"]["stream"] for alert in stalled} == {STOPS}
    finally:
        stopped.set()
        ended.set()
        for poster in posters:
            poster.join()
