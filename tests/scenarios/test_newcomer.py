"""The way of a newcomer: a fresh clone, `make run`, a first prediction, the console, the dashboards; each step timed.

It installs everything anew, so it takes minutes and a network: `make newcomer`, not `make test`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from live_service import free_port
from prometheus_server import Prometheus, needs_prometheus, scraping, wait_until_answers

ROOT = Path(__file__).parents[2]
PATIENCE_S = 1500.0
STREAM = "taxi"

pytestmark = [pytest.mark.campaign, needs_prometheus]


class Diary:
    """How long each step took."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def wrote(self, step: str) -> None:
        """The step is done: say how long it took."""
        now = time.monotonic()
        print(f"{now - self._since:8.1f} s  {step}", flush=True)
        self._since = now


@contextmanager
def running(clone: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`make run` in a clone, with nothing of this project's environment."""
    hidden = {"PYTHONPATH", "VIRTUAL_ENV", "STREAMS_DATA_DIR"}
    environment = {
        name: value for name, value in os.environ.items() if name not in hidden and not name.startswith("UORO_")
    }
    environment["PATH"] = os.defpath
    environment["UORO_PORT"] = str(port)
    with (clone / "log").open("wb") as log:
        program = subprocess.Popen(
            ["make", "run"], cwd=clone, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield program
        finally:
            os.killpg(program.pid, signal.SIGTERM)
            program.wait(60)


def dashboard_queries() -> list[tuple[str, str]]:
    """Data source and query of each panel that is about a stream's values and what is expected of it."""
    shown = json.loads((ROOT / "clients/grafana/dashboards/forecasts.json").read_text())
    return [
        (target["datasource"]["uid"], target["expr"].replace("$stream", STREAM).replace("$field", "value"))
        for panel in shown["panels"]
        for target in panel.get("targets", ())
    ]


def test_from_a_clone_to_the_dashboards(tmp_path: Path) -> None:
    """Every step works as the README says, and none asks for more than Python, make and curl."""
    diary = Diary()
    clone, port = tmp_path / "clone", free_port()
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), clone], check=True)
    diary.wrote("a fresh clone")
    with running(clone, port) as program:
        url = f"http://127.0.0.1:{port}"
        wait_until_answers(f"{url}/livez", program, clone / "log", PATIENCE_S)
        diary.wrote("make run: installed, alive")
        wait_until_answers(f"{url}/readyz", program, clone / "log", PATIENCE_S)
        diary.wrote("ready")
        for place in range(5):
            body = {"x": {"value": 10.0 + place}, "t": time.time() - 10 * (5 - place)}
            reply = httpx.post(f"{url}/v1/streams/{STREAM}/observations", json=body, timeout=PATIENCE_S).json()
        assert reply["next"]["value"]["lower"] <= reply["next"]["value"]["upper"]
        diary.wrote("a first prediction")
        page = httpx.get(url)
        assert (page.status_code, "<script" in page.text) == (200, True)
        diary.wrote("the console's page")
        with scraping(url, tmp_path) as prometheus:
            for source, query in dashboard_queries():
                asked = Prometheus(url) if source == "${forecasts}" else prometheus
                asked.require(query)
        diary.wrote("the dashboards' queries")
