"""The walkthrough runs from its first cell to its last against a live service, and says what it should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
from live_service import LiveService

WALKTHROUGH = Path(__file__).parents[2] / "examples" / "walkthrough.py"


def test_the_walkthrough_runs(tmp_path: Path) -> None:
    """Machine load with an interval, a feed better than its frequencies, a surprise, the way back; nothing is left."""
    live = LiveService(tmp_path)
    try:
        live.start()
        ran = subprocess.run(
            [sys.executable, "-W", "error", WALKTHROUGH],
            env={**os.environ, "UORO_URL": live.url, "WALKTHROUGH_ROUNDS": "8"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        left = httpx.get(f"{live.url}/v1/streams").json()["streams"]
        live.stop()
    finally:
        live.end()
    print(ran.stdout)
    assert re.search(r"cpu: [\d.]+ % now, [\d.]+ % next, 90 % within -?[\d.]+ … -?[\d.]+", ran.stdout)
    assert len(re.findall(r"^  in [\d.]+ s:", ran.stdout, re.MULTILINE)) == 8
    told = re.search(r"4000 events; ([\d.]+) nats an event, ([\d.]+) by their frequencies", ran.stdout)
    assert told
    assert float(told[1]) < float(told[2])
    surprise = re.search(r"anomaly of the first: ([\d.]+); of the last: ([\d.]+)", ran.stdout)
    assert surprise
    assert float(surprise[1]) > 0.99
    assert float(surprise[2]) < float(surprise[1])
    assert "back at event 4000" in ran.stdout
    assert "500 events of 5 sites" in ran.stdout
    assert left == []


def test_it_is_made_of_cells() -> None:
    """Cells of code and of text take turns, so that an editor shows it as a notebook."""
    marks = re.findall(r"^# %%(.*)$", WALKTHROUGH.read_text(), re.MULTILINE)
    assert set(marks) == {"", " [markdown]"}
    assert len(marks) > 10
