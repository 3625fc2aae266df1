"""Writers against the live service: restarted in the middle, flooded, rationed. Nothing is lost, nothing doubled.

The judge is the learner itself: a stream's future depends on its own past alone, so a stream that was fed through
faults must end in the same bits as one that was fed in one go.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from key_ground import KeyFile
from live_service import LiveService

from uoro_client import Client, Observation, Patience, __version__

SPEC = {"fields": {"v": {"type": "number"}}, "hidden_size": 2, "season": "none"}
ROWS = [{"v": math.sin(n / 9) + n % 3} for n in range(6_000)]
LASTING = Patience(max_attempts=1_000, max_total_s=240.0, max_pause_s=1.0)


class Counting(httpx.BaseTransport):
    """Counts the statuses of replies, and what did not end in one."""

    def __init__(self) -> None:
        self.seen: Counter[object] = Counter()
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._inner.handle_request(request)
        except httpx.TransportError as error:
            self.seen[type(error).__name__] += 1
            raise
        self.seen[response.status_code] += 1
        return response

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    service = LiveService(tmp_path, {"SNAPSHOT_INTERVAL_S": "0.5", "MAX_QUEUE_OBSERVATIONS": "1000"})
    service.start()
    yield service
    service.end()


def bits(client: Client, stream: str) -> tuple[object, ...]:
    """What a stream's state shows of itself, to the last bit."""
    return client.stream(stream).last_seq, client.predict(stream, 20), client.metrics(stream).total_loss


def test_a_restart_in_the_middle(service: LiveService) -> None:
    """Killed twice and stopped once while rows are posted: the stream ends as if nothing had been."""
    counting = Counting()
    with Client(service.url, api_key="", patience=LASTING, transport=counting) as client:
        for name in ("calm", "killed"):
            client.create_stream(name, SPEC)
        client.writer().observe_many("calm", ROWS)
        writing = threading.Thread(target=client.writer().observe_many, args=("killed", pacing(ROWS)))
        writing.start()
        for end in (service.kill, service.stop, service.kill):
            time.sleep(0.7)
            assert writing.is_alive()
            end()
            service.start()
        writing.join()
        assert bits(client, "killed") == bits(client, "calm")
        assert client.stream("killed").last_seq == len(ROWS)
    assert any(isinstance(seen, str) or seen == 503 for seen in counting.seen)


def pacing(rows: list[dict[str, float]]) -> Iterator[dict[str, float]]:
    """The rows over a few seconds, so that there is a middle."""
    for n, row in enumerate(rows):
        if n % 100 == 0:
            time.sleep(0.1)
        yield row


def test_a_flooded_service(service: LiveService) -> None:
    """Eight writers against a queue of one request: all are told to come back, and all are learned once."""
    counting = Counting()
    with Client(service.url, api_key="", patience=LASTING, transport=counting) as client:
        names = [f"flood/{n}" for n in range(8)]
        for name in [*names, "calm"]:
            client.create_stream(name, SPEC)
        client.writer().observe_many("calm", ROWS)
        writing = [threading.Thread(target=client.writer().observe_many, args=(name, ROWS)) for name in names]
        for thread in writing:
            thread.start()
        for thread in writing:
            thread.join()
        assert [bits(client, name) for name in names] == [bits(client, "calm")] * 8
    assert counting.seen[429] > 0


def test_a_rationed_key(tmp_path: Path) -> None:
    """Beyond its rate a key is told when to come back; a writer does, and never sooner."""
    keys = KeyFile(tmp_path / "keys.json")
    service = LiveService(tmp_path, {"API_KEYS_FILE": str(keys.path)})
    rationed = keys.make("read", "write", max_observations_per_s=1_000)
    service.start()
    try:
        counting = Counting()
        with Client(service.url, api_key=rationed, patience=LASTING, transport=counting) as client:
            started_s = time.monotonic()
            reply = client.writer().observe_many("rationed", ROWS[:3_000])
            assert (reply.accepted, reply.duplicates) == (3_000, 0)
            assert time.monotonic() - started_s >= 1.0  # a bucket of a second's worth, and two seconds of debt
            assert counting.seen[429] > 0
    finally:
        service.end()


def test_many_streams_through_a_kill(service: LiveService) -> None:
    """Rows of several streams in one request: each stream ends as if nothing had been."""
    names = ["a", "b", "c"]
    rows = [Observation(row, stream=names[n % 3]) for n, row in enumerate(ROWS)]
    with Client(service.url, api_key="", patience=LASTING) as client:
        for name in [*names, *(f"calm-{name}" for name in names)]:
            client.create_stream(name, SPEC)
        for n, name in enumerate(names):
            client.writer().observe_many(f"calm-{name}", ROWS[n::3])
        writing = threading.Thread(target=client.writer().observe_streams, args=(pacing(rows),))  # type: ignore[arg-type]
        writing.start()
        time.sleep(1.0)
        service.kill()
        service.start()
        writing.join()
        assert [bits(client, name) for name in names] == [bits(client, f"calm-{name}") for name in names]


def test_the_client_says_its_version() -> None:
    """Every request names the client and its version, which is its own."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["user-agent"])
        return httpx.Response(200)

    Client(transport=httpx.MockTransport(answer)).ready()
    assert seen == [f"uoro-client/{__version__}"]
