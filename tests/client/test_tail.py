"""Tails against the live service: killed and started again, stopped, without the stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from live_service import LiveService

from uoro_client import AsyncClient, Client, ConnectionFailed, NotFound, Patience

SPEC = {"fields": {"v": {"type": "number"}}, "hidden_size": 2, "season": "none"}
LASTING = Patience(max_attempts=1_000, max_total_s=240.0)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """One service for this file; its tests kill it."""
    service = LiveService(tmp_path_factory.mktemp("tail"))
    service.start()
    yield service
    service.end()


@pytest.fixture
def client(service: LiveService) -> Iterator[Client]:
    with Client(service.url, api_key="", patience=LASTING) as client:
        yield client


def test_a_tail_goes_through_kills(service: LiveService, client: Client) -> None:
    """A writer and a tail outlast two kills: every result is told once, in order, with nothing missed."""
    client.create_stream("killed", SPEC)
    writer = client.writer()
    told: list[int] = []
    with client.tail("killed") as tail:
        for start in (1, 21, 41):
            for n in range(start, start + 20):
                writer.observe("killed", {"v": float(n % 5)})
                if n == start + 9:
                    service.kill()
                    service.start(wait=False)
            told += [next(tail).seq for _ in range(20)]
            assert tail.outage is None
        assert tail.num_missed == 0
    assert told == list(range(1, 61))
    assert client.stream("killed").last_seq == 60


def test_recent_results_come_first(client: Client) -> None:
    """After a place, what is kept comes first; what is not is counted; values are told."""
    client.create_stream("recent", SPEC)
    client.observe_many("recent", [{"v": float(n)} for n in range(100)])
    with client.tail("recent", after=10) as tail:
        told = [next(tail) for _ in range(64)]
        assert [result.seq for result in told] == list(range(37, 101))
        assert tail.num_missed == 26
        assert told[-1].x == {"v": 99.0}
        client.observe("recent", {"v": 7.0})
        assert next(tail).x == {"v": 7.0}


def test_a_restored_stream_is_followed(client: Client) -> None:
    """After a restore the tail tells the new results under the old numbers."""
    client.create_stream("restored", SPEC)
    client.observe_many("restored", [{"v": 1.0}] * 5)
    client.snapshot("restored", "five")
    with client.tail("restored") as tail:
        client.observe("restored", {"v": 2.0})
        client.restore("restored", "five")
        client.observe("restored", {"v": 3.0})
        assert [(next(tail).x, tail.num_missed) for _ in range(2)] == [({"v": 2.0}, 0), ({"v": 3.0}, 0)]


def test_a_tail_of_nothing(client: Client) -> None:
    """A stream that is not there is an error, not an endless wait."""
    with pytest.raises(NotFound):
        next(client.tail("nothing"))


def test_closing_from_another_thread_ends_it(client: Client) -> None:
    """Whoever waits for a result gets the end."""
    client.create_stream("closed", SPEC)
    tail = client.tail("closed")
    with tail:
        closing = threading.Timer(0.2, tail.close)
        closing.start()
        assert list(tail) == []
        closing.join()


def test_nobody_there() -> None:
    """Patience that is used up raises what the last attempt failed with."""
    brief = Patience(max_attempts=2, first_pause_s=0.0)
    with Client("http://127.0.0.1:9", api_key="", patience=brief) as client, pytest.raises(ConnectionFailed):
        next(client.tail("any"))


def test_the_async_twin(service: LiveService) -> None:
    """The asynchronous tail goes through a kill as well."""

    async def story() -> list[int]:
        async with AsyncClient(service.url, api_key="", patience=LASTING) as client:
            await client.create_stream("async", SPEC)
            writer = client.writer()
            async with client.tail("async") as tail:
                for _ in range(5):
                    await writer.observe("async", {"v": 1.0})
                service.kill()
                service.start(wait=False)
                for _ in range(5):
                    await writer.observe("async", {"v": 2.0})
                return [(await anext(tail)).seq for _ in range(10)]

    assert asyncio.run(story()) == list(range(1, 11))
