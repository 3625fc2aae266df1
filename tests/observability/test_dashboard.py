"""Every query of the dashboard and of the alerts, asked of a real Prometheus that scrapes the live service.

A misspelt metric is not an error to Prometheus but an empty answer, so every answer must have samples, all finite.
"""

import json
import math
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from live_service import READY_TIMEOUT_S, LiveService
from prometheus_server import PATIENCE_S, Prometheus, needs_prometheus, scraping

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "clients" / "grafana"
PROMETHEUS = ROOT / "clients" / "prometheus"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "uoro.json").read_text())
AHEAD = json.loads((GRAFANA / "dashboards" / "forecasts.json").read_text())
RULES = {
    name: [rule for group in yaml.safe_load((PROMETHEUS / name).read_text())["groups"] for rule in group["rules"]]
    for name in ("alerts.yml", "recording.yml")
}
ALERTS = {rule["alert"]: rule["expr"] for rule in RULES["alerts.yml"]}
RECORDED = [rule["record"] for rule in RULES["recording.yml"]]
TARGETS = {
    f"{dashboard['uid']} {panel['id']} {panel['title']} {target['refId']}": target
    for dashboard in (DASHBOARD, AHEAD)
    for panel in dashboard["panels"]
    for target in panel.get("targets", ())
}
QUERIES = {name: its["expr"] for name, its in TARGETS.items() if its["datasource"]["uid"] == "${datasource}"}
FORECASTS = {name: its["expr"] for name, its in TARGETS.items() if its["datasource"]["uid"] == "${forecasts}"}
STREAM = "plant-1/pump:a"
CHOSEN = {"$__rate_interval": "30s", "$stream": STREAM, "$field": "flow"}


def chosen(query: str) -> str:
    """The query as Grafana would send it."""
    for variable, value in CHOSEN.items():
        query = query.replace(variable, value)
    assert "$" not in query, f"nothing is chosen for a variable in {query}"
    return query


def post_until(done: threading.Event, url: str) -> None:
    """A pump with two numbers and a category, a few observations a request; now and then one is refused."""
    path = f"{url}/v1/streams/{STREAM.replace('/', '%2F')}/observations"
    step = 0
    with httpx.Client(timeout=READY_TIMEOUT_S) as client:
        while not done.wait(0.05):
            bodies = [
                {
                    "x": {"flow": 5 + math.sin((step + n) / 7), "load": float(n % 3), "kind": "ab"[n % 2]},
                    "t": time.time() + n / 100,
                }
                for n in range(5)
            ]
            step += len(bodies)
            client.post(path, json=bodies).raise_for_status()
            client.get(f"{url}/v1/streams")
            client.post(path, json={"x": {"flow": "no number"}})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running service that is being posted to."""
    live = LiveService(tmp_path_factory.mktemp("service"), {"SNAPSHOT_INTERVAL_S": "0.5"})
    done = threading.Event()
    poster = threading.Thread(target=post_until, args=(done, live.url))
    try:
        live.start()
        poster.start()
        yield live.url
        done.set()
        poster.join()
        live.stop()
    finally:
        done.set()
        live.end()


@pytest.fixture(scope="module")
def prometheus(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the service."""
    with scraping(service, tmp_path_factory.mktemp("prometheus")) as server:
        yield server


def selectors(expression: str) -> set[str]:
    """The series that an alert is made of, whatever it asks of their past."""
    found = re.findall(r"(?:\w+:)?(?:uoro_|process_|up\b)[\w:]*(?:\{[^}]*\})?", expression)
    assert found, f"{expression} has no series"
    return set(found)


@needs_prometheus
@pytest.mark.parametrize("panel", QUERIES)
def test_every_panel_has_numbers(prometheus: Prometheus, panel: str) -> None:
    """Each query of the dashboard has a non-empty, finite answer."""
    prometheus.require(chosen(QUERIES[panel]))


def test_every_query_goes_to_one_of_the_two_sources() -> None:
    """Forecasts are asked of the service, all else of Prometheus, and of each there is something."""
    assert set(QUERIES) | set(FORECASTS) == set(TARGETS)
    assert all("forecast" in query for query in FORECASTS.values())
    assert not any("forecast" in query for query in QUERIES.values())
    assert len(FORECASTS) == 3


@pytest.mark.parametrize("panel", FORECASTS)
def test_every_forecast_has_future_numbers(service: str, panel: str) -> None:
    """Each query that is asked of the service has one series of finite numbers, at moments that are still to come."""
    asked = Prometheus(service)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        now = time.time()
        span = {"start": str(now), "end": str(now + 2), "step": "0.25"}
        found = asked.get("query_range", query=chosen(FORECASTS[panel]), **span)["result"]
        if found or time.monotonic() > deadline:
            break
        time.sleep(0.25)
    (series,) = found
    assert (series["metric"]["stream"], series["metric"]["field"]) == (STREAM, CHOSEN["$field"])
    assert all(math.isfinite(float(value)) for _, value in series["values"])
    assert series["values"][-1][0] > time.time()


def test_a_misspelt_forecast_is_empty(service: str) -> None:
    """So the check above can fail."""
    asked = Prometheus(service)
    span = {"start": str(time.time()), "end": str(time.time() + 2), "step": "0.25"}
    wrong = chosen(next(iter(FORECASTS.values()))).replace("forecast", "forecasts")
    assert asked.get("query_range", query=wrong, **span)["result"] == []


@needs_prometheus
@pytest.mark.parametrize("name", ["stream", "field"])
def test_every_variable_has_choices(prometheus: Prometheus, name: str) -> None:
    """The queries that fill the dashboard's menus offer the stream that is posted to, and its field."""
    (variable,) = (variable for variable in DASHBOARD["templating"]["list"] if variable["name"] == name)
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert match
    selector = chosen(match[1])
    prometheus.require(selector)
    offered = prometheus.get(f"label/{match[2]}/values", **{"match[]": selector})
    assert CHOSEN[f"${name}"] in offered


@needs_prometheus
@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_sees_what_it_watches(prometheus: Prometheus, alert: str) -> None:
    """The series of each alert have finite numbers, and the whole expression parses."""
    for selector in selectors(ALERTS[alert]):
        prometheus.require(selector)
    prometheus.numbers(ALERTS[alert])


@needs_prometheus
@pytest.mark.parametrize("recorded", RECORDED)
def test_every_recorded_series_has_numbers(prometheus: Prometheus, recorded: str) -> None:
    """What the recording rules write is there and finite."""
    prometheus.require(recorded)


@needs_prometheus
def test_the_alerts_are_loaded_and_evaluated(prometheus: Prometheus) -> None:
    """Prometheus itself reports each rule of the file as healthy."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        groups = prometheus.get("rules")["groups"]
        health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        if health == dict.fromkeys({*ALERTS, *RECORDED}, "ok"):
            return
        assert time.monotonic() < deadline, health
        time.sleep(0.25)


@needs_prometheus
@pytest.mark.parametrize(
    "query", ["rate(uoro_observation_total[30s])", "uoro_queue_length / 0 - uoro_queue_length / 0"]
)
def test_a_wrong_query_is_caught(prometheus: Prometheus, query: str) -> None:
    """A misspelt metric and one that is no number fail the check that every panel passes."""
    prometheus.require("uoro_observations_total")
    with pytest.raises(AssertionError, match="answers"):
        prometheus.require(query, patience_s=0)


@needs_prometheus
def test_a_broken_query_is_caught(prometheus: Prometheus) -> None:
    """A query that does not parse fails at once."""
    with pytest.raises(AssertionError, match="parse error"):
        prometheus.require("sum(uoro_streams", patience_s=0)


@pytest.mark.parametrize("name", ["uoro.json", "forecasts.json"])
def test_the_dashboard_is_the_generated_one(name: str, tmp_path: Path) -> None:
    """The committed file is what build.py writes."""
    subprocess.run([sys.executable, GRAFANA / "build.py", tmp_path], check=True)
    assert (tmp_path / name).read_text() == (GRAFANA / "dashboards" / name).read_text()


@pytest.mark.parametrize("dashboard", [DASHBOARD, AHEAD], ids=lambda dashboard: dashboard["uid"])
def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    """No two panels share a cell of the grid, none leaves it, and ids and queries' letters are unique."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
        letters = [target["refId"] for target in panel.get("targets", ())]
        assert len(letters) == len(set(letters))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("dashboard", "series"), [(DASHBOARD, "uoro_stream_prediction"), (AHEAD, "uoro_stream_forecast")]
)
def test_the_band_is_between_lines_that_exist(dashboard: dict[str, Any], series: str) -> None:
    """The panel of values and what was said of them fills from its upper to its lower line."""
    (panel,) = (panel for panel in dashboard["panels"] if panel.get("fieldConfig", {}).get("overrides"))
    legends = {target["legendFormat"]: target["expr"] for target in panel["targets"]}
    filled = {
        override["matcher"]["options"]: change["value"]
        for override in panel["fieldConfig"]["overrides"]
        for change in override["properties"]
        if change["id"] == "custom.fillBelowTo"
    }
    assert filled == {"upper": "lower"}
    assert legends["upper"].startswith(f"{series}_upper{{")
    assert legends["lower"].startswith(f"{series}_lower{{")


def test_the_forecasts_reach_into_the_future() -> None:
    """Their dashboard ends after now, and takes them from the data source that is provisioned for them."""
    assert AHEAD["time"]["to"].startswith("now+")
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    chosen_by = {variable["name"]: variable.get("regex", "") for variable in AHEAD["templating"]["list"]}
    for variable, name in (("datasource", "Prometheus"), ("forecasts", "UORO forecasts")):
        found = [source for source in sources if re.match(chosen_by[variable].strip("/"), source["name"])]
        assert [source["name"] for source in found] == [name]
        assert all(source["type"] == "prometheus" for source in found)
    assert found[0]["jsonData"]["httpMethod"] == "GET"  # the service answers no other


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="the program promtool is not installed (Debian: prometheus)"
)
@pytest.mark.parametrize(
    "arguments", [("config", "prometheus.yml"), ("rules", "alerts.yml"), ("rules", "recording.yml")]
)
def test_promtool_accepts(arguments: tuple[str, str]) -> None:
    """Prometheus' own checker finds nothing to say against the configuration and the rules."""
    kind, name = arguments
    checked = subprocess.run(
        ["promtool", "check", kind, PROMETHEUS / name], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
