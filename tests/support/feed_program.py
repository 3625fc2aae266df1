"""`uoro ingest` as its users run it, in a process of its own; and the judge of what it fed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from live_service import LiveService
from safetensors.numpy import load

PATIENCE_S = 240.0


class FeedProgram:
    """One feed; `arguments` come behind `uoro ingest`."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._command = [sys.executable, "-c", "from uoro.cli import main; main()", "ingest", *arguments]
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        with self._log.open("ab") as log:
            self._running = subprocess.Popen([*self._command, *options], stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill -9."""
        assert self._running is not None
        self._running.kill()
        self._running.wait()

    def wait(self) -> int:
        """The exit code."""
        assert self._running is not None
        return self._running.wait(PATIENCE_S)


def last_seq(service: LiveService, stream: str) -> int:
    """Where a stream is; 0 before it exists."""
    response = httpx.get(f"{service.url}/v1/streams/{stream}", timeout=10)
    return int(response.json()["last_seq"]) if response.is_success else 0


def wait_beyond(service: LiveService, stream: str, seq: int) -> None:
    """Until a stream is beyond a place."""
    deadline = time.monotonic() + PATIENCE_S
    while last_seq(service, stream) <= seq:
        assert time.monotonic() < deadline, "nothing is learned any more"
        time.sleep(0.05)


def assert_learned_once(service: LiveService, stream: str, observations: list[dict[str, Any]]) -> None:
    """A stream's model is, bit for bit, that of one that was given these observations in order by one request."""
    assert last_seq(service, stream) == len(observations)
    spec = httpx.get(f"{service.url}/v1/streams/{stream}").json()["spec"]
    oracle = f"{service.url}/v1/streams/oracle"
    assert httpx.put(oracle, json={"spec": spec}).status_code == 201
    assert httpx.post(f"{oracle}/observations", json=observations, timeout=60).json()["accepted"] == len(observations)
    fed, judge = (load(httpx.get(f"{service.url}/v1/streams/{its}/export").content) for its in (stream, "oracle"))
    assert fed.keys() == judge.keys()
    assert [name for name in fed if fed[name].tobytes() != judge[name].tobytes()] == []
