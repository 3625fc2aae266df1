"""Servers killed with SIGKILL amid appends: what was acknowledged is there, once, in order."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from redis_server import DURABLE, FORGETFUL, RedisServer
from scripted_proxy import Loss, ScriptedProxy

from uoro.errors import OutcomeUnknown, StoreUnavailable
from uoro.store.embedded import EmbeddedServer
from uoro.store.redis import RedisStore

T = TypeVar("T")
Launch = Callable[[tuple[str, ...]], RedisServer]

NUM_KILLS = 10
PATIENCE_S = 30.0


def complaints(acknowledged: list[int], found: list[int]) -> list[str]:
    """What is wrong with a log whose payloads are the numbers that a writer wrote, 0, 1, 2 …, in this order."""
    wrong = []
    if lost := sorted(set(acknowledged) - set(found)):
        wrong.append(f"acknowledged and lost: {lost[:5]}")
    if len(set(found)) < len(found):
        wrong.append("written twice")
    if found != sorted(found):
        wrong.append("out of order")
    return wrong


class Writer:
    """Appends numbers until it is told to stop, and settles every unknown outcome by fence and reading back."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.epoch = store.acquire("writer")
        self.acknowledged: list[int] = []
        self.num_unknown = 0
        self.is_stopping = False
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            number = 0
            while not self.is_stopping:
                if self._append(number):
                    self.acknowledged.append(number)
                    number += 1
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            self.failure = error

    def _append(self, number: int) -> bool:
        position = number + 1
        try:
            self.store.append(self.epoch, position, b"%d" % number)
        except OutcomeUnknown:
            self.num_unknown += 1
            self.epoch = patiently(lambda: self.store.fence(self.epoch))
            return patiently(lambda: self.store.read_record(position)) is not None
        except StoreUnavailable:
            patiently(self.store.ping)
            return False
        return True


def patiently(call: Callable[[], T]) -> T:
    """The result of a call that is repeated until the server is back."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except StoreUnavailable:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.005)


def rounds(writer: Writer, kill: Callable[[], None]) -> Iterator[int]:
    """Kills the server at random moments of the writer's work; the writer has moved on before the next."""
    chance = random.Random(7)
    for number in range(NUM_KILLS):
        before = len(writer.acknowledged)
        give_up = time.monotonic() + PATIENCE_S
        while len(writer.acknowledged) < before + chance.randrange(1, 40) and writer.failure is None:
            assert time.monotonic() < give_up
            time.sleep(0.001)
        time.sleep(chance.random() * 0.005)
        kill()
        yield number


def judge(writer: Writer, store: RedisStore) -> list[str]:
    writer.is_stopping = True
    writer.thread.join()
    if writer.failure is not None:
        raise writer.failure
    # The last kill may meet a writer that has just stopped: then nobody has waited for the server yet.
    records = patiently(lambda: list(store.read_log(1)))
    assert [record.position for record in records] == list(range(1, len(records) + 1))
    return complaints(writer.acknowledged, [int(record.payload) for record in records])


def test_redis_killed_again_and_again(launch: Launch) -> None:
    """Ten kills of a durable redis-server: nothing acknowledged is lost, nothing is there twice."""
    server = launch(DURABLE)
    store = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
    writer = Writer(store)
    writer.thread.start()
    for _ in rounds(writer, server.kill):
        server.start()
    assert judge(writer, store) == []
    store.close()


def test_embedded_killed_again_and_again(tmp_path: Path) -> None:
    """Ten kills of the embedded server, which its service starts again: the same."""
    server = EmbeddedServer(tmp_path)
    server.start()
    store = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
    writer = Writer(store)
    writer.thread.start()

    def kill() -> None:
        while (pid := server.pid) is None:
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)

    try:
        for _ in rounds(writer, kill):
            pass
        assert judge(writer, store) == []
    finally:
        store.close()
        server.stop()


def test_the_judge_finds_what_a_forgetful_server_lost(launch: Launch) -> None:
    """Control: acknowledged by a server without a log on disk, and gone after a kill."""
    server = launch(FORGETFUL)
    store = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
    epoch = store.acquire("a")
    for number in range(3):
        store.append(epoch, number + 1, b"%d" % number)
    server.kill()
    server.start()
    found = [int(record.payload) for record in store.read_log(1)]
    assert complaints([0, 1, 2], found) == ["acknowledged and lost: [0, 1, 2]"]
    store.close()


@pytest.mark.parametrize(
    ("loss", "num_retries", "complaint"),
    [
        (Loss.REPLY, 1, ["written twice"]),
        (Loss.REQUEST, 0, ["acknowledged and lost: [1]"]),
    ],
)
def test_the_judge_finds_a_log_without_positions(
    launch: Launch, tmp_path: Path, loss: Loss, num_retries: int, complaint: list[str]
) -> None:
    """Control: automatic ids write twice under retries, and lose a record whose error is shrugged off."""
    server = launch(DURABLE)
    proxy = ScriptedProxy(server.socket, tmp_path / "proxy.sock", b"XADD")
    naive = Redis.from_url(proxy.url, protocol=2, retry=Retry(NoBackoff(), num_retries))
    proxy.script += [None, loss, None]
    for number in range(3):
        with suppress(RedisConnectionError):
            naive.xadd("log", {"number": number})
    found = [int(fields[b"number"]) for _, fields in naive.xrange("log")]
    assert complaints([0, 1, 2], found) == complaint
    naive.close()
    proxy.close()


def test_the_judge_finds_disorder() -> None:
    """Control: numbers out of order are told; a record that was never acknowledged may be there."""
    assert complaints([0, 1], [1, 0]) == ["out of order"]
    assert complaints([0, 1], [0, 1, 2]) == []
