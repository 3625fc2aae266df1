"""Whichever command to Redis fails, and however, nothing is lost and nothing applied twice.

Here a stride of them; `make campaign` makes every one fail in every way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from one_fault import run
from redis_server import REDIS_PROGRAM, WHY_NOT, RedisServer
from scripted_proxy import Loss

from uoro.store.embedded import EmbeddedServer
from uoro.store.redis import RedisStore

NUM_HERE = 4


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What an engine logs about failing commands is of no interest."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=["embedded", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A server of the test's own, of each kind."""
    server: EmbeddedServer | RedisServer
    if request.param == "embedded":
        server = EmbeddedServer(tmp_path)
    elif REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    else:
        server = RedisServer(REDIS_PROGRAM, tmp_path)
    server.start()
    yield server.url
    server.stop()


def sweep(url: str, directory: Path, step: int) -> tuple[int, list[str]]:
    """Every `step`-th command in turn, each way of failing beginning at another one: how many lives, what was wrong."""
    num_commands, wrong = run(url, directory, None, None)
    assert wrong == [], "without a fault"
    assert run(url, directory, None, None)[0] == num_commands, "two lives without a fault differ"
    num_lives, told = 0, []
    for place, loss in enumerate(Loss):
        for nth in range(1 + place % step, num_commands + 1, step):
            _, wrong = run(url, directory, nth, loss)
            told += [f"{loss.name} at command {nth} of {num_commands}: {line}" for line in wrong]
            num_lives += 1
    print(f"{num_commands} commands, {num_lives} lives, wrong: {told or 'nothing'}")
    return num_lives, told


def test_a_stride_of_commands_fails(url: str, tmp_path: Path) -> None:
    """A few of the commands, in each of the ways."""
    num_commands, _ = run(url, tmp_path, None, None)
    num_lives, wrong = sweep(url, tmp_path, num_commands // NUM_HERE)
    assert num_lives >= NUM_HERE * len(Loss)
    assert wrong == []


def test_an_append_that_is_sent_again_is_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Control: a store that shrugs off a lost reply and writes at the next position ends in another state."""
    if REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    server = RedisServer(REDIS_PROGRAM, tmp_path)
    server.start()
    append, num_appends = RedisStore.append, 0

    def twice(self: RedisStore, epoch: int, position: int, payload: bytes) -> None:
        nonlocal num_appends
        num_appends += 1
        append(self, epoch, self.bounds().next, payload)
        if num_appends == 4:
            append(self, epoch, self.bounds().next, payload)

    monkeypatch.setattr(RedisStore, "append", twice)
    try:
        assert any("recovered" in line for line in run(server.url, tmp_path, None, None)[1])
    finally:
        server.stop()


@pytest.mark.campaign
def test_campaign_every_command_fails(url: str, tmp_path: Path) -> None:
    """Every command of the scenario in every way."""
    start = time.monotonic()
    num_lives, wrong = sweep(url, tmp_path, 1)
    print(f"{num_lives} lives in {time.monotonic() - start:.0f} s")
    assert wrong == []
