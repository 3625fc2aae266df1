"""What a scrape shows of single streams is what the engine knows at that moment."""

from __future__ import annotations

import time

from api_ground import SMALL, TestClient
from scrape import of_streams

from uoro.api.app import create_app
from uoro.engine.engine import Engine
from uoro.limits import Limits
from uoro.observability.metrics import PrometheusMeter
from uoro.store.memory import MemoryShelf, MemoryStore


def test_a_stream_s_metrics_are_computed_when_they_are_scraped() -> None:
    """After more observations the next scrape says what the metrics call says; only what changed is asked for."""
    limits, meter = Limits(drain_timeout_s=1.0), PrometheusMeter("0", "numba", 1)
    engine = Engine(MemoryStore(MemoryShelf()), "me", limits, meter, auto_create=False, num_runners=2)
    engine.start()
    with TestClient(create_app(engine, limits, meter)) as client:
        while not engine.is_ready:
            time.sleep(0.001)
        for stream in ("shown", "left"):
            client.put(f"/v1/streams/{stream}", json={"spec": SMALL})
            client.post(f"/v1/streams/{stream}/observations", json={"x": {"v": 1.0}})
        for num in (3, 5):
            client.post("/v1/streams/shown/observations", json=[{"x": {"v": float(n)}} for n in range(num)])
            found = of_streams(client.get("/metrics").content)
            said = client.get("/v1/streams/shown/metrics").json()
            assert {dict(labels)["stream"] for _, labels in found} == {"shown"}
            assert found["uoro_stream_loss", (("stream", "shown"),)] == said["loss"]
            assert found["uoro_stream_observations_total", (("stream", "shown"),)] == said["observations"]
            assert meter.stale() == []
        client.delete("/v1/streams/shown")
        assert client.get("/metrics").status_code == 200
    engine.stop()
