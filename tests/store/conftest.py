"""The stores that the battery runs over: memory, the embedded server, and a real redis-server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer
from store_ground import MemoryGround, RedisGround

from uoro.store.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A durable redis-server for all tests of this directory."""
    if REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    server = RedisServer(REDIS_PROGRAM, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """An embedded server for all tests of this directory."""
    server = EmbeddedServer(tmp_path_factory.mktemp("embedded"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[[tuple[str, ...]], RedisServer]]:
    """Starts a redis-server of the test's own, with options; it is stopped at the end if it still lives."""
    if REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    servers: list[RedisServer] = []

    def start(options: tuple[str, ...]) -> RedisServer:
        server = RedisServer(REDIS_PROGRAM, tmp_path, options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(params=["embedded", "redis"])
def remote_ground(request: pytest.FixtureRequest) -> Iterator[RedisGround]:
    """A fresh shard on each kind of server."""
    server: EmbeddedServer | RedisServer = request.getfixturevalue(f"{request.param}_server")

    def restart() -> None:
        server.stop()
        server.start()

    ground = RedisGround(server.url, restart)
    yield ground
    ground.close()


@pytest.fixture(params=["memory", "embedded", "redis"])
def ground(request: pytest.FixtureRequest) -> Iterator[MemoryGround | RedisGround]:
    """A fresh shard on each kind of store."""
    if request.param == "memory":
        yield MemoryGround()
        return
    server: EmbeddedServer | RedisServer = request.getfixturevalue(f"{request.param}_server")

    def restart() -> None:
        server.stop()
        server.start()

    ground = RedisGround(server.url, restart)
    yield ground
    ground.close()
