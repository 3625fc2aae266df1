"""The service, and a bare ASGI application under the same web server, as processes to be measured."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

SERVE = [sys.executable, "-c", "from uoro.cli import main; main()", "serve"]
ECHO = [sys.executable, str(Path(__file__).with_name("echo.py"))]
READY_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Served:
    """A server that listens."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """Seconds of processor that it has used, without its Redis."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        """Of memory."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def store_bytes(self) -> int:
        """Resident memory of its embedded Redis."""
        return sum(int(child.memory_info().rss) for child in psutil.Process(self.pid).children(recursive=True))

    def call(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
        """The body of a reply that is no refusal."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=900)
        try:
            connection.request(method, path, body, {"content-type": content_type})
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {content[:300]!r}")
        return content

    def create(self, stream: str, spec: dict[str, object]) -> None:
        """A stream."""
        self.call("PUT", f"/v1/streams/{stream}", json.dumps({"spec": spec}).encode())

    def mean_s(self, metric: str, since: tuple[float, float] = (0.0, 0.0)) -> tuple[float, tuple[float, float]]:
        """Mean of a histogram of durations since an earlier call, and what the next call needs."""
        found = {"sum": 0.0, "count": 0.0}
        for line in self.call("GET", "/metrics").decode().splitlines():
            for part in found:
                if line.startswith(f"{metric}_{part} "):
                    found[part] = float(line.split()[1])
        total, count = found["sum"] - since[0], found["count"] - since[1]
        return (total / count if count else 0.0), (found["sum"], found["count"])


@contextmanager
def service(directory: str | None = None, **settings: str) -> Iterator[Served]:
    """The service, ready; on a directory of its own unless one is given."""
    with tempfile.TemporaryDirectory() as own:
        port = random.Random().randrange(20_000, 30_000)
        given = {"PORT": str(port), "DATA_DIR": directory or own, "LOG_LEVEL": "warning", "AUTO_CREATE": "true"}
        environment = {f"UORO_{name}": value for name, value in (given | settings).items()}
        with _running(SERVE, environment) as pid:
            served = Served(pid, port)
            _await(served, "/readyz")
            yield served


@contextmanager
def echo() -> Iterator[Served]:
    """A bare application that answers what the service would, without having done anything for it."""
    port = random.Random().randrange(20_000, 30_000)
    with _running([*ECHO, str(port)], {}) as pid:
        served = Served(pid, port)
        _await(served, "/")
        yield served


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[int]:
    with tempfile.TemporaryFile() as log:  # its audit lines would drown the table
        running = subprocess.Popen(command, env={**os.environ, **environment}, stderr=log)
        try:
            yield running.pid
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-4000:].decode(errors="replace"))
            raise
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
            running.wait()


def _await(served: Served, path: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(OSError, HTTPException, RuntimeError):
            served.call("GET", path)
            return
        time.sleep(0.05)
    raise TimeoutError("the server is not ready")
