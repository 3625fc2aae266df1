"""The user that `uoro doctor --acl` makes: the service works whole with it, and a leaked connection can do little."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from forked_service import ForkedService
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError
from redis_server import DURABLE, RedisServer
from typer.testing import CliRunner

from uoro.cli.application import application
from uoro.doctor import check_user, judge_rights
from uoro.errors import StoreUnavailable
from uoro.settings import Settings
from uoro.store.grants import GRANTED, HARMFUL, LOADING, Rights
from uoro.store.protocol import Snapshot
from uoro.store.redis import RedisStore

PASSWORD = "toy pass/word"
UNASKED = {"auth", "hello", "quit", "reset"}
"""What every connection may do, since it is how one becomes a user, or leaves."""


@dataclass
class Door:
    """A server whose only users are an administrator and the one that the doctor's line makes."""

    server: RedisServer
    admin: Redis

    @property
    def url(self) -> str:
        return f"unix://uoro:{PASSWORD.replace(' ', '%20').replace('/', '%2F')}@{self.server.socket}"

    def line(self, **environment: str) -> list[str]:
        """What `uoro doctor --acl` prints."""
        env = {"UORO_REDIS_URL": self.url, "UORO_HOST": "127.0.0.1", **environment}
        shown = CliRunner().invoke(application, ["doctor", "--acl"], env=env)
        assert shown.exit_code == 0, shown.output
        assert PASSWORD not in shown.output
        return shlex.split(shown.stdout)

    def let_in(self, *, without: str = "") -> None:
        """Make the user, one command less; the log of refusals is empty."""
        self.admin.execute_command(*[word for word in self.line() if word != f"+{without}"])
        self.admin.acl_log_reset()

    def refused(self) -> set[str]:
        """What the user was refused; the client library's wish to be known by name does not count."""
        return {entry["object"] for entry in self.admin.acl_log()} - {"client|setinfo"}

    def store(self) -> RedisStore:
        return RedisStore(self.url, "0", timeout_s=5, lease_ttl_s=0.2)


@pytest.fixture
def door(launch: Callable[[tuple[str, ...]], RedisServer]) -> Iterator[Door]:
    """See Door."""
    server = launch(DURABLE)
    with server.client() as first:
        first.execute_command("ACL", "SETUSER", "admin", "on", ">admin", "~*", "&*", "+@all")
        first.execute_command("ACL", "SETUSER", "default", "off")
    with Redis(unix_socket_path=str(server.socket), username="admin", password="admin") as admin:
        yield Door(server, admin)


def tour(store: RedisStore) -> None:
    """Every call of a store, by two owners."""
    epoch = store.acquire("first")
    store.ping()
    for position in (1, 2, 3):
        store.append(epoch, position, b"payload")
    store.renew(epoch)
    epoch = store.fence(epoch)
    for position in (1, 2):
        store.put_snapshot(epoch, Snapshot("s", position, b"state"))
    store._write("drop_generation", (store._keys.generations("s"),), epoch, "a")  # the way of a damaged one
    store.put_named(epoch, "s", "kept", b"named")
    assert store.read_named("s", "kept") == b"named"
    assert store.names("s") == ["kept"]
    assert [stored.stream for stored in store.snapshots()] == ["s"]
    assert store.read_record(3) is not None
    store.trim(epoch, 2)
    assert [record.position for record in store.read_log(store.bounds().first)] == [2, 3]
    # Another owner waits for a lease that the server's clock, set back, has made longer; the last one gives it up.
    epoch = store.acquire("second")
    store.delete_snapshots(epoch, "s")
    store.release(epoch)


def lengthened(store: RedisStore, door: Door) -> RedisStore:
    """The store, each of whose renewals is followed by a clock that is set back."""
    renew = store.renew

    def renewed(epoch: int) -> None:
        renew(epoch)
        door.admin.pexpire(store._keys.lease, 86_400_000)

    store.renew = renewed  # type: ignore[method-assign]
    return store


def test_the_user_may_do_all_that_the_store_does(door: Door) -> None:
    """Every call of the store, and not one refusal in the server's own log of them."""
    door.let_in()
    store = lengthened(door.store(), door)
    tour(store)
    assert store.rights() == Rights(missing=(), harmful=())
    store.close()
    assert door.refused() == set()


@pytest.mark.parametrize("command", GRANTED)
def test_no_command_of_the_user_is_too_many(door: Door, command: str) -> None:
    """Without any one of them some call of the store is refused, and the doctor names it and the line."""
    door.let_in(without=command)
    store = lengthened(door.store(), door)
    with pytest.raises(StoreUnavailable):
        tour(store)
    store.close()
    assert command in door.refused()
    finding = check_user(Settings.load(redis_url=door.url))
    assert not finding.is_ok
    advice = "FUNCTION LOAD" if command == LOADING else "ACL SETUSER uoro"
    assert advice in finding.advice


def test_a_user_without_the_right_to_load_uses_what_an_administrator_loaded(door: Door) -> None:
    """The printed library, loaded by hand, is enough; the doctor is content with it."""
    door.let_in(without=LOADING)
    library = CliRunner().invoke(application, ["doctor", "--library"]).stdout
    door.admin.function_load(library, replace=True)
    store = lengthened(door.store(), door)
    tour(store)
    store.close()
    assert door.refused() == {LOADING}
    assert check_user(Settings.load(redis_url=door.url)).is_ok


def test_the_whole_service_with_this_user(door: Door, tmp_path: Path) -> None:
    """Streams from creation to deletion, a crash and a start; not one refusal."""
    door.let_in()
    (tmp_path / "service").mkdir()
    service = ForkedService(
        tmp_path / "service", {"REDIS_URL": door.url, "SNAPSHOT_INTERVAL_S": "0.2", "LEASE_TTL_S": "0.5"}
    )
    try:
        service.start()
        with httpx.Client(base_url=f"{service.url}/v1/streams", timeout=30) as http:
            rows = [{"x": {"v": float(step)}} for step in range(20)]
            assert http.put("/a", json={"spec": {"fields": {"v": {"type": "number"}}}}).status_code == 201
            assert http.post("/a/observations", json=rows).json()["accepted"] == 20
            assert http.post("/a/snapshots", json={"name": "n"}).status_code == 201
            assert [kept["name"] for kept in http.get("/a/snapshots").json()["snapshots"]] == ["n"]
            assert http.post("/a/snapshots/n/restore").status_code == 200
            assert http.post("/a/clone", json={"to": "b"}).status_code == 201
            assert http.put("/c/import", content=http.get("/a/export").content).status_code == 201
            assert http.post("/c/freeze").status_code == 200
            service.kill()
            service.start()
            assert http.get("/c").json()["state"] == "frozen"
            assert http.get("/a/prediction", params={"horizon": 3}).status_code == 200
            for stream in "abc":
                assert http.delete(f"/{stream}").status_code == 204
        assert service.stop() == 0
    finally:
        service.end()
    assert door.refused() == set()
    assert PASSWORD not in service.log.read_text()


def test_a_leaked_connection_can_do_nothing_else(door: Door) -> None:
    """Of all commands that the server has, subcommands included, the user may use those of the line and no other;
    and those on no key of another shard or program.
    """
    door.let_in()
    allowed = set()
    for command in commands(door.admin):
        if may(door.admin, command, "{uoro:0}:x"):
            allowed.add(command)
        assert command in UNASKED | {"ping", LOADING} or not may(door.admin, command, "other"), command
    assert allowed - UNASKED == set(GRANTED)


def commands(admin: Redis) -> set[str]:
    """Every command of the server; of those that have subcommands these, behind a bar."""
    found = {str(command) for category in admin.acl_cat() for command in admin.acl_cat(category)}
    assert {"get", "config|set"} <= found
    return found - {command.partition("|")[0] for command in found if "|" in command}


def may(admin: Redis, command: str, key: str) -> bool:
    """Whether the user may use a command with a key as every argument, as the server says without doing it."""
    if command == "fcall":
        return admin.execute_command("ACL", "DRYRUN", "uoro", "fcall", "name", "1", key) == b"OK"
    for num in range(12):
        with suppress(ResponseError):  # too few arguments, or too many
            return admin.execute_command("ACL", "DRYRUN", "uoro", *command.split("|"), *num * [key]) == b"OK"
    raise AssertionError(f"no number of arguments suits {command}")


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET appendonly no", "KEYS *", "ACL LIST", "EVAL 'return 1' 0",
     "SHUTDOWN NOSAVE", "OBJECT ENCODING x", "CLIENT LIST", "MONITOR", "REPLICAOF NO ONE", "SAVE", "SCAN 0",
     "FUNCTION FLUSH", "FUNCTION LIST", "RANDOMKEY", "SWAPDB 0 1", "SET other 1", "DEL other", "PUBLISH x y", "INFO"],
)  # fmt: skip
def test_harm_is_refused_in_earnest(door: Door, command: str) -> None:
    """The commands themselves, sent by the user: each is refused, and the shard is as it was."""
    door.let_in()
    store = door.store()
    epoch = store.acquire("a")
    store.append(epoch, 1, b"kept")
    leaked = Redis.from_url(door.url)
    with pytest.raises(NoPermissionError):
        leaked.execute_command(*shlex.split(command))
    leaked.close()
    assert [record.payload for record in store.read_log(1)] == [b"kept"]
    store.close()


def test_the_doctor_on_users(door: Door) -> None:
    """All rights are told as such; other keys, or no right to call functions, lead to the line."""
    settings = Settings.load(redis_url=f"unix://admin:admin@{door.server.socket}")
    before = door.admin.execute_command("FUNCTION", "LIST")
    assert "the first start" in check_user(settings).detail
    assert door.admin.execute_command("FUNCTION", "LIST") == before == []
    door.admin.function_load(CliRunner().invoke(application, ["doctor", "--library"]).stdout)
    finding = check_user(settings)
    assert finding.is_ok
    assert all(command in finding.detail for command in HARMFUL)
    door.let_in()
    assert check_user(Settings.load(redis_url=door.url)).is_ok
    assert "ACL SETUSER uoro" in check_user(Settings.load(redis_url=door.url, shard="other")).advice


def test_the_line_without_a_user_in_the_address_and_with_another_database() -> None:
    """A placeholder where no password is known; SELECT where a database is named."""
    env = {"UORO_REDIS_URL": "redis://localhost:6379/3", "UORO_HOST": "127.0.0.1", "UORO_SHARD": "east"}
    line = CliRunner().invoke(application, ["doctor", "--acl"], env=env).stdout.split()
    assert line[:7] == ["ACL", "SETUSER", "uoro", "reset", "on", ">PASSWORD", "~{uoro:east}:*"]
    assert line[7:] == [f"+{command}" for command in (*GRANTED, "select")]


def test_the_embedded_server_has_no_line(tmp_path: Path) -> None:
    """One sentence and exit code 2."""
    result = CliRunner().invoke(application, ["doctor", "--acl"], env={"UORO_DATA_DIR": str(tmp_path)})
    assert result.exit_code == 2
    assert "UORO_REDIS_URL" in result.stderr


def test_rights_are_judged() -> None:
    """What is missing is an advice, but not the right to load what is loaded; what is harmful is only told."""
    assert judge_rights(Rights((), ()), "the line").advice == ""
    assert judge_rights(Rights((LOADING,), ()), "the line").advice == ""
    assert judge_rights(Rights(("xadd",), ()), "the line").advice == "the line"
    assert "flushall" in judge_rights(Rights((), ("flushall",)), "the line").detail
    assert judge_rights(Rights((), (), has_library=False), "the line").advice == ""
    assert "FUNCTION LOAD" in judge_rights(Rights((LOADING,), (), has_library=False), "the line").advice
