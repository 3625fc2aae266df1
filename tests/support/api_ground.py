"""The API in front of a real engine on a memory shelf, with its threads running, called through a test client."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.exceptions import StarletteDeprecationWarning

from uoro.api.app import create_app
from uoro.domain import Metrics
from uoro.engine.engine import Engine
from uoro.engine.meter import SilentMeter
from uoro.limits import Limits
from uoro.store.memory import MemoryShelf, MemoryStore

with warnings.catch_warnings():
    # The test client prefers a newer httpx than the one that our own client uses.
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

SMALL: dict[str, Any] = {
    "fields": {"v": {"type": "number"}, "k": {"type": "category", "size": 4}},
    "hidden_size": 2,
    "learner": {"name": "uoro", "rank": 1},
    "season": "none",
}
"""A spec whose learner is quick, with a number and a category."""


class CountingMeter:
    """Remembers what requests and refusals it was told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self.refusals: Counter[str] = Counter()
        self.ingested_samples: Counter[str] = Counter()
        self.refused_at_door: Counter[str] = Counter()

    def scrape(self) -> bytes:
        return b"uoro_streams 1\n"

    def request(self, route: str, method: str, status: int, duration_s: float) -> None:
        assert duration_s >= 0
        self.requests.append((route, method, status))

    def stale(self) -> list[str]:
        return []

    def measured(self, stream: str, metrics: Metrics) -> None:
        pass

    def ingested(self, outcome: str, num: int) -> None:
        self.ingested_samples[outcome] += num

    def rejected(self, code: str, num: int) -> None:
        self.refusals[code] += num

    def refused(self, code: str) -> None:
        self.refused_at_door[code] += 1


class Server:
    """One engine and the client that talks to it."""

    def __init__(self, engine: Engine, client: TestClient, meter: CountingMeter, shelf: MemoryShelf) -> None:
        self.engine = engine
        self.client = client
        self.meter = meter
        self.shelf = shelf
        self._num_streams = 0

    def create(self, prefix: str = "s", **changes: object) -> str:
        """A new stream of the small spec; returns its id."""
        self._num_streams += 1
        return self.create_as(f"{prefix}{self._num_streams}", **changes)

    def create_as(self, stream: str, **changes: object) -> str:
        """A new stream of the small spec under this id."""
        assert self.client.put(f"/v1/streams/{quote(stream)}", json={"spec": {**SMALL, **changes}}).status_code == 201
        return stream

    def post(self, stream: str, content: bytes, **options: Any) -> Any:
        """Observations of a stream, as bytes."""
        headers = {"content-type": options.pop("content_type", "application/json")}
        return self.client.post(
            f"/v1/streams/{quote(stream)}/observations", content=content, headers=headers, **options
        )

    def observe(self, stream: str, *values: float) -> Any:
        """Observations of the field v in one array."""
        return self.client.post(f"/v1/streams/{quote(stream)}/observations", json=[{"x": {"v": v}} for v in values])

    def last_seq(self, stream: str) -> int:
        """Where a stream is."""
        return int(self.client.get(f"/v1/streams/{quote(stream)}").json()["last_seq"])


def quote(stream: str) -> str:
    """A stream id within a path."""
    return stream.replace("/", "%2F")


@contextmanager
def serving(
    *, auto_create: bool = False, limits: Limits | None = None, has_shortcut: bool = True, **access: Any
) -> Iterator[Server]:
    """A server for a test or a few; `limits` apply to its engine and its API, `access` is who may call."""
    limits = limits or Limits(drain_timeout_s=1.0)
    meter, shelf = CountingMeter(), MemoryShelf()
    engine = Engine(MemoryStore(shelf), "me", limits, SilentMeter(), auto_create=auto_create)
    engine.start()
    app = create_app(engine, limits, meter, has_shortcut=has_shortcut, **access)
    with TestClient(app, follow_redirects=False) as client:
        while not engine.is_ready:
            time.sleep(0.001)
        yield Server(engine, client, meter, shelf)
    engine.stop()
