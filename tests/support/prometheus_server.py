"""A real Prometheus with the project's configuration, at a shorter interval, that scrapes one service."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from live_service import free_port

RULES = Path(__file__).parents[2] / "clients" / "prometheus"
PATIENCE_S = 60.0

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="the program prometheus is not installed (Debian: prometheus)"
)


@dataclass
class Prometheus:
    """A running Prometheus, or another server that speaks its HTTP API."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """What the HTTP API says to a query; a query that does not parse fails."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def numbers(self, query: str) -> list[float]:
        """The samples of an instant query."""
        return [float(sample["value"][1]) for sample in self.get("query", query=query)["result"]]

    def require(self, query: str, patience_s: float = PATIENCE_S) -> list[float]:
        """The samples, once there are some and all are finite; fails if that never comes."""
        deadline = time.monotonic() + patience_s
        while True:
            numbers = self.numbers(query)
            if numbers and all(map(math.isfinite, numbers)):
                return numbers
            assert time.monotonic() < deadline, f"{query} answers {numbers or 'nothing'}"
            time.sleep(0.25)

    def alerts(self) -> dict[str, dict[str, str]]:
        """The labels of the alerts that fire, by name."""
        return {
            alert["labels"]["alertname"]: alert["labels"]
            for alert in self.get("alerts")["alerts"]
            if alert["state"] == "firing"
        }


@contextmanager
def scraping(service: str, home: Path, shortened: Callable[[str], str] = str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the service at an address.

    Args:
        service: its address.
        home: where the files of this Prometheus go.
        shortened: what to make of the text of each rule file.
    """
    configuration = yaml.safe_load((RULES / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
    (scraped,) = configuration["scrape_configs"]
    scraped["static_configs"] = [{"targets": [service.removeprefix("http://")]}]
    (home / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    for name in configuration["rule_files"]:
        (home / name).write_text(shortened((RULES / name).read_text()))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'kept'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = home / "log"
    with log.open("wb") as lines:
        program = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT)
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/-/ready", program, log)
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        program.terminate()
        try:
            program.wait(30)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def wait_until_answers(url: str, program: subprocess.Popen[bytes], log: Path, patience_s: float = PATIENCE_S) -> None:
    """Return once an address answers well; fail, with the end of the program's log, if it ends or takes too long."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        assert program.poll() is None, f"ended early:\n{log.read_text()[-3000:]}"
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"{url} did not answer:\n{log.read_text()[-3000:]}")
