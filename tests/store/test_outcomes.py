"""What a failed command proves: lost requests and replies, late ones, refusals, and a server that comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from live_service import free_port
from redis_server import DURABLE, FORGETFUL, RedisServer
from scripted_proxy import Loss, ScriptedProxy
from store_ground import RedisGround

from uoro.errors import CorruptRecord, InvalidSettings, OutcomeUnknown, StaleEpoch, StoreUnavailable
from uoro.store.grants import GRANTED, LOADING
from uoro.store.memory import Fault, MemoryShelf, MemoryStore
from uoro.store.protocol import LogRecord, Snapshot
from uoro.store.redis import RedisStore


@pytest.fixture
def server(launch: Callable[[tuple[str, ...]], RedisServer]) -> RedisServer:
    """A redis-server of the test's own, whose settings it may spoil."""
    return launch(DURABLE)


def behind_proxy(ground: RedisGround, directory: Path, word: bytes) -> tuple[RedisStore, ScriptedProxy]:
    """A store on the ground's shard whose requests with `word` can be lost."""
    proxy = ScriptedProxy(Path(ground.url.removeprefix("unix://")), directory / "proxy.sock", word)
    return RedisStore(proxy.url, ground.shard, timeout_s=10, lease_ttl_s=60), proxy


def certain_refusal(error: pytest.ExceptionInfo[StoreUnavailable]) -> bool:
    """Whether the error says that nothing was written."""
    return not isinstance(error.value, OutcomeUnknown)


# Promise 3: lost requests and replies


@pytest.mark.parametrize("loss", Loss)
def test_a_lost_append_is_unknown_and_never_repeated(remote_ground: RedisGround, tmp_path: Path, loss: Loss) -> None:
    """A lost reply leaves the record once, a lost request leaves none; reading back tells which it was."""
    store, proxy = behind_proxy(remote_ground, tmp_path, b"uoro_2_append")
    try:
        epoch = store.acquire("a")
        store.append(epoch, 1, b"first")
        proxy.script.append(loss)
        with pytest.raises(OutcomeUnknown):
            store.append(epoch, 2, b"second")
        assert not proxy.script
        landed = loss is Loss.REPLY
        assert store.read_record(2) == (LogRecord(2, epoch, b"second") if landed else None)
        assert store.bounds().next == 2 + landed
        store.append(epoch, 2 + landed, b"third")
        payloads = [record.payload for record in store.read_log(1)]
        assert payloads == [b"first", *([b"second"] if landed else []), b"third"]
    finally:
        store.close()
        proxy.close()


def test_a_late_append_after_a_fence_is_refused(remote_ground: RedisGround, tmp_path: Path) -> None:
    """An append that arrives after the fence leaves nothing; without a fence it would have landed."""
    store, proxy = behind_proxy(remote_ground, tmp_path, b"uoro_2_append")
    try:
        epoch = store.acquire("a")
        proxy.script += [Loss.REQUEST, Loss.REQUEST]
        with pytest.raises(OutcomeUnknown):
            store.append(epoch, 1, b"late, not fenced")
        proxy.deliver_late()
        assert store.read_record(1) is not None
        with pytest.raises(OutcomeUnknown):
            store.append(epoch, 2, b"late, fenced")
        fenced = store.fence(epoch)
        assert store.read_record(2) is None
        assert b"STALE" in proxy.deliver_late()[0]
        assert store.read_record(2) is None
        store.append(fenced, 2, b"second")
        assert [record.payload for record in store.read_log(1)] == [b"late, not fenced", b"second"]
    finally:
        store.close()
        proxy.close()


def test_a_late_take_or_fence_deposes_nobody(remote_ground: RedisGround, tmp_path: Path) -> None:
    """A take and a fence that were repeated because they seemed lost arrive after all, and change nothing."""
    store, proxy = behind_proxy(remote_ground, tmp_path, b"uoro_2_take")
    try:
        proxy.script.append(Loss.REQUEST)
        with pytest.raises(OutcomeUnknown):
            store.acquire("a")
        epoch = store.acquire("a")
        assert b"MOVED" in proxy.deliver_late()[0]
        store.append(epoch, 1, b"still the owner")
    finally:
        store.close()
        proxy.close()
    (tmp_path / "proxy.sock").unlink()
    store, proxy = behind_proxy(remote_ground, tmp_path, b"uoro_2_fence")
    try:
        proxy.script += [Loss.REQUEST, Loss.REPLY]
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                store.fence(epoch)
        fenced = store.fence(epoch)
        proxy.deliver_late()
        store.append(fenced, 2, b"still the owner")
        assert fenced == epoch + 1
    finally:
        store.close()
        proxy.close()


def test_a_frozen_server_times_out_as_unknown(server: RedisServer) -> None:
    """A server that takes a command and does not answer in time leaves its outcome unknown; a read does not."""
    store = RedisStore(server.url, "0", timeout_s=0.2, lease_ttl_s=5)
    epoch = store.acquire("a")
    with server.client() as client:
        client.execute_command("CLIENT", "PAUSE", "1000", "ALL")
    with pytest.raises(OutcomeUnknown):
        store.append(epoch, 1, b"")
    with pytest.raises(StoreUnavailable) as refusal:
        store.bounds()
    assert certain_refusal(refusal)
    store.close()


def test_memory_loses_what_it_is_told_to() -> None:
    """The memory store's scripted faults are refusals, lost requests and lost replies like the real ones."""
    shelf = MemoryShelf()
    store = MemoryStore(shelf)
    epoch = store.acquire("a")
    shelf.faults += [None, Fault.REPLY_LOST, Fault.REQUEST_LOST, Fault.UNAVAILABLE]
    store.append(epoch, 1, b"")
    with pytest.raises(OutcomeUnknown):
        store.append(epoch, 2, b"")
    with pytest.raises(OutcomeUnknown):
        store.append(epoch, 3, b"")
    with pytest.raises(StoreUnavailable) as refusal:
        store.append(epoch, 3, b"")
    assert certain_refusal(refusal)
    assert store.bounds().next == 3
    shelf.is_away = True
    with pytest.raises(StoreUnavailable):
        store.ping()


# Refusals that prove that nothing was written


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"maxmemory": "1"}, "maxmemory"),
        ({"min-replicas-to-write": "1"}, "replicas"),
        ({"replicaof": None}, "replica"),
    ],
)
def test_a_refusing_server_is_unavailable(server: RedisServer, settings: dict[str, str | None], word: str) -> None:
    """Out of memory, too few replicas, read-only: refused before anything ran, and taken when it is over."""
    store = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
    epoch = store.acquire("a")
    with server.client() as client:
        for name, value in settings.items():
            if value is None:
                client.execute_command("REPLICAOF", "127.0.0.1", "1")
            else:
                client.config_set(name, value)
        with pytest.raises(StoreUnavailable, match=word) as refusal:
            store.append(epoch, 1, b"refused")
        assert certain_refusal(refusal)
        assert store.read_record(1) is None
        for name, value in settings.items():
            if value is None:
                client.execute_command("REPLICAOF", "NO", "ONE")
            else:
                client.config_set(name, "0")
    store.append(epoch, 1, b"taken")
    store.close()


def test_a_full_server_can_be_relieved(server: RedisServer) -> None:
    """Trimming, deleting, fencing and renewing work on a server that is out of memory."""
    store = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
    epoch = store.acquire("a")
    store.append(epoch, 1, b"old")
    store.put_snapshot(epoch, Snapshot("s", 1, b""))
    with server.client() as client:
        client.config_set("maxmemory", "1")
        epoch = store.fence(epoch)
        store.renew(epoch)
        store.trim(epoch, 2)
        store.delete_snapshots(epoch, "s")
    assert store.bounds().size_bytes == 0
    assert list(store.headings()) == []
    store.close()


def test_an_error_amid_a_function_is_unknown(server: RedisServer) -> None:
    """A user who may call the function but not one of its later commands leaves its outcome unknown."""
    owner = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
    epoch = owner.acquire("a")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "half", "on", ">pw", "~*", "+@all", "-hset")
    half = RedisStore(f"unix://half:pw@{server.socket}", "0", timeout_s=5, lease_ttl_s=5)
    with pytest.raises(OutcomeUnknown):
        half.append(epoch, 1, b"half")
    half.close()
    owner.close()


def test_a_user_of_few_commands_suffices(server: RedisServer) -> None:
    """FCALL, the functions' own commands and the reading ones are enough, once the library is there; its settings
    the server then keeps to itself.
    """
    owner = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=0.2)
    owner.acquire("a")
    allowed = [f"+{command}" for command in GRANTED if command != LOADING]
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~{uoro:0}:*", *allowed)
    few = RedisStore(f"unix://few:pw@{server.socket}", "0", timeout_s=5, lease_ttl_s=5)
    epoch = few.acquire("a")
    few.append(epoch, 1, b"x")
    few.put_snapshot(epoch, Snapshot("s", 1, b""))
    assert [stored.stream for stored in few.headings()] == ["s"]
    assert few.durability() == {
        "appendonly": "unknown",
        "appendfsync": "unknown",
        "maxmemory-policy": "unknown",
        "version": "unknown",
        "role": "unknown",
    }
    few.close()
    owner.close()


def test_a_wrong_password_is_unavailable(server: RedisServer) -> None:
    """A server that does not let us in was not written to."""
    with server.client() as client:
        client.config_set("requirepass", "secret")
    store = RedisStore(f"unix://:wrong@{server.socket}", "0", timeout_s=5, lease_ttl_s=5)
    with pytest.raises(StoreUnavailable) as refusal:
        store.append(1, 1, b"")
    assert certain_refusal(refusal)
    assert "secret" not in str(refusal.value)
    store.close()


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://h:port"])
def test_an_address_that_cannot_be_understood_is_an_invalid_setting(url: str) -> None:
    """It stops the start in one sentence."""
    with pytest.raises(InvalidSettings):
        RedisStore(url, "0", timeout_s=5, lease_ttl_s=5)


@pytest.mark.parametrize("options", ["", "?protocol=3"])
def test_a_server_over_tcp(launch: Callable[[tuple[str, ...]], RedisServer], options: str) -> None:
    """The usual address, `redis://host:port/database`, in the clear."""
    port = free_port()
    launch((*DURABLE, "--port", str(port), "--bind", "127.0.0.1"))
    store = RedisStore(f"redis://127.0.0.1:{port}/1{options}", "0", timeout_s=5, lease_ttl_s=5)
    epoch = store.acquire("a")
    store.append(epoch, 1, b"over TCP")
    assert [record.payload for record in store.read_log(1)] == [b"over TCP"]
    store.close()


def test_options_in_the_address_do_not_bring_retries_back(server: RedisServer, tmp_path: Path) -> None:
    """An address that asks for retries and decoded replies still appends once and reads bytes."""
    proxy = ScriptedProxy(server.socket, tmp_path / "proxy.sock", b"uoro_2_append")
    url = f"{proxy.url}?retry_on_timeout=yes&decode_responses=True&health_check_interval=1&protocol=3"
    store = RedisStore(url, "0", timeout_s=5, lease_ttl_s=5)
    try:
        epoch = store.acquire("a")
        proxy.script.append(Loss.REPLY)
        with pytest.raises(OutcomeUnknown):
            store.append(epoch, 1, b"once")
        assert [record.payload for record in store.read_log(1)] == [b"once"]
    finally:
        store.close()
        proxy.close()


# Coming back


def test_a_stopped_server_is_unavailable_and_heals(server: RedisServer) -> None:
    """Without a server nothing is sent; the same store goes on when it is back, functions and all."""
    store = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
    epoch = store.acquire("a")
    server.stop()
    for call in (store.ping, lambda: store.append(epoch, 1, b""), lambda: store.renew(epoch)):
        with pytest.raises(StoreUnavailable) as refusal:
            call()
        assert certain_refusal(refusal)
    server.start()
    store.append(epoch, 1, b"back")
    store.close()


def test_a_lost_function_library_is_loaded_again(remote_ground: RedisGround) -> None:
    """A server that lost the library gets it in the middle of a write, which happens once."""
    store = remote_ground.open()
    epoch = store.acquire("a")
    remote_ground.client.execute_command("FUNCTION", "FLUSH")
    store.append(epoch, 1, b"once")
    assert store.bounds().next == 2


def test_an_emptied_server_knows_no_epoch(launch: Callable[[tuple[str, ...]], RedisServer]) -> None:
    """A server that forgets everything at a restart does not take an old owner's writes."""
    server = launch(FORGETFUL)
    store = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
    epoch = store.acquire("a")
    store.append(epoch, 1, b"")
    assert store.durability()["appendonly"] == "no"
    server.kill()
    server.start()
    with pytest.raises(StaleEpoch):
        store.append(epoch, 2, b"")
    store.close()


def test_durability_is_told(remote_ground: RedisGround) -> None:
    """Both durable servers are found durable."""
    found = remote_ground.open().durability()
    assert found["appendonly"] == "yes"
    assert found["appendfsync"] == "always"
    assert found["maxmemory-policy"] == "noeviction"
    assert found["role"] == "master"
    assert int(found["version"].split(".")[0]) >= 7


# A generation that is not read back intact


def test_a_generation_that_is_not_read_back_is_dropped(remote_ground: RedisGround) -> None:
    """The put raises, the intact generation stays, and the next put does not replace it."""
    store = remote_ground.open()
    epoch = store.acquire("a")
    for position in (1, 2):
        store.put_snapshot(epoch, Snapshot("s", position, b"good"))
    read = store._link.read

    def damaging_read(*command: str | bytes | int) -> object:
        if command[0] == "HGET" and len(command[2]) == 1:
            remote_ground.damage_generation("s", 0)
        return read(*command)

    store._link.read = damaging_read
    with pytest.raises(CorruptRecord):
        store.put_snapshot(epoch, Snapshot("s", 3, b"spoilt"))
    store._link.read = read
    stored = store.snapshots_of("s")
    assert [generation.position for generation in stored.generations] == [2]
    assert stored.num_damaged == 0
    store.put_snapshot(epoch, Snapshot("s", 4, b"good"))
    assert [generation.position for generation in store.snapshots_of("s").generations] == [4, 2]


def test_a_deposed_owner_drops_nothing(remote_ground: RedisGround) -> None:
    """An owner that is succeeded between its put and its reading back leaves the slot to the successor."""
    store = remote_ground.open()
    epoch = store.acquire("a")
    read = store._link.read

    def damaging_read(*command: str | bytes | int) -> object:
        remote_ground.damage_generation("s", 0)
        remote_ground.open().acquire("a")
        return read(*command)

    store._link.read = damaging_read
    with pytest.raises(StaleEpoch):
        store.put_snapshot(epoch, Snapshot("s", 1, b"spoilt"))
    store._link.read = read
    assert store.snapshots_of("s").num_damaged == 1


def test_many_threads_never_see_each_others_replies(remote_ground: RedisGround) -> None:
    """Eight readers on one store find each its own."""
    store = remote_ground.open()
    epoch = store.acquire("a")
    for number in range(8):
        store.put_named(epoch, "s", str(number), b"%d" % number)
    wrong: list[object] = []

    def read_own(number: int) -> None:
        for _ in range(50):
            found = store.read_named("s", str(number))
            if found != b"%d" % number:
                wrong.append(found)

    threads = [threading.Thread(target=read_own, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
