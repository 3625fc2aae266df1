"""Real streams with the default spec, where STREAMS_DATA_DIR holds the public ones."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

DIRECTORY = os.environ.get("STREAMS_DATA_DIR")
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "learning" / "streams.py"
Measure = Callable[..., tuple]
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DIRECTORY, reason="STREAMS_DATA_DIR does not name the public streams"),
]


@pytest.fixture(scope="module")
def run() -> Measure:
    """The benchmark's own run of one stream: rows, loss, naive, skill, coverage, …"""
    spec = importlib.util.spec_from_file_location("streams_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda stream, rows=None: module.run(stream, Path(DIRECTORY), rows, {})


def test_taxi(run: Measure) -> None:
    """A year of half hours: clearly better than the last value, and intervals that hold what they promise."""
    _, _, _, _, skill, coverage, _, _, resets = run("nab/realKnownCause__nyc_taxi", 4000)
    assert skill > 0.4
    assert 0.85 < coverage < 0.95
    assert resets == 0


@pytest.mark.parametrize("stream", ["seq2_201205101522_N", "seq5_201205101541_N", "seq7_201205111057_O"])
def test_respiration(run: Measure, stream: str) -> None:
    """Nine coordinates at once: better than the last values by more than a fifth."""
    _, _, _, _, skill, coverage, *_ = run(f"respiration/{stream}")
    assert skill > 0.2
    assert 0.85 < coverage < 0.95


@pytest.mark.parametrize("stream", ["jsb_satb_train", "nottingham_chords_a"])
def test_music(run: Measure, stream: str) -> None:
    """Symbols: clearly fewer bits than the running class frequencies."""
    _, _, loss, naive, *_ = run(f"music/{stream}", 3000)
    assert loss < 0.85 * naive
