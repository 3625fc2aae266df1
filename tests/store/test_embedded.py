"""The embedded server: adoption of orphans, one service per directory, supervision, an orderly end."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from uoro.errors import InvalidSettings, StoreUnavailable
from uoro.store.directory import MAX_LOG_BYTES, MAX_SOCKET_PATH_BYTES, ServerDirectory
from uoro.store.embedded import EmbeddedServer
from uoro.store.protocol import LogBounds
from uoro.store.redis import RedisStore

PATIENCE_S = 30.0

SERVICE = """
import sys, time
from pathlib import Path
from uoro.store.embedded import EmbeddedServer
from uoro.store.redis import RedisStore

server = EmbeddedServer(Path(sys.argv[1]))
server.start()
store = RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)
epoch = store.acquire("service")
store.append(epoch, store.bounds().next, b"from an earlier service")
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server under the test's directory; the test starts it."""
    server = EmbeddedServer(tmp_path / "data")
    yield server
    server.stop()


def killed_service(data_dir: Path) -> psutil.Process:
    """The server of a service that was killed and left it behind."""
    with subprocess.Popen([sys.executable, "-c", SERVICE, str(data_dir)], stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        server = psutil.Process(int(service.stdout.readline()))
        service.kill()
    assert server.is_running()
    return server


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, and fail if it never is."""
    give_up = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def answers(server: EmbeddedServer) -> bool:
    store = opened(server)
    try:
        store.ping()
    except StoreUnavailable:
        return False
    finally:
        store.close()
    return True


def opened(server: EmbeddedServer) -> RedisStore:
    return RedisStore(server.url, "0", timeout_s=5, lease_ttl_s=5)


def bounds(server: EmbeddedServer) -> LogBounds:
    store = opened(server)
    try:
        return store.bounds()
    finally:
        store.close()


def test_it_is_private_and_flushes(server: EmbeddedServer, tmp_path: Path) -> None:
    """No TCP port, a directory and a socket for the owner alone, append-only with a flush for every write."""
    server.start()
    assert server.pid is not None
    child = psutil.Process(server.pid)
    assert child.net_connections(kind="inet") == []
    for path in (tmp_path / "data" / "store", tmp_path / "data" / "store" / "server.sock"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    store = opened(server)
    assert store.durability()["appendfsync"] == "always"
    store.close()
    assert int((tmp_path / "data" / "store" / "server.pid").read_text()) == server.pid
    assert os.getsid(server.pid) == server.pid, "ctrl-C would reach the server"


def test_records_outlive_stop_and_start(server: EmbeddedServer) -> None:
    """An orderly stop ends the server and keeps its records; the same object may be started again."""
    server.start()
    pid = server.pid
    assert pid is not None
    store = opened(server)
    store.append(store.acquire("a"), 1, b"kept")
    server.stop()
    assert not psutil.pid_exists(pid)
    assert server.pid is None
    server.stop()
    server.start()
    record = store.read_record(1)
    assert record is not None
    assert record.payload == b"kept"
    store.close()


def test_a_second_service_is_refused_at_once(server: EmbeddedServer, tmp_path: Path) -> None:
    """The refusal names the directory and who has it; the first is not disturbed, and a third may follow it."""
    server.start()
    second = EmbeddedServer(tmp_path / "data")
    with pytest.raises(InvalidSettings) as refusal:
        second.start()
    assert str(tmp_path / "data") in str(refusal.value)
    assert str(os.getpid()) in str(refusal.value)
    assert answers(server)
    server.stop()
    second.start()
    assert answers(second)
    second.stop()


def test_an_orphan_is_adopted(server: EmbeddedServer, tmp_path: Path) -> None:
    """The server of a killed service goes on under the next, is supervised by it, and ends with it."""
    orphan = killed_service(tmp_path / "data")
    server.start()
    assert server.pid == orphan.pid
    assert bounds(server).next == 2
    orphan.kill()
    eventually(lambda: server.pid not in {None, orphan.pid} and answers(server))
    assert bounds(server).next == 2


def test_an_adopted_orphan_is_ended_by_stop(server: EmbeddedServer, tmp_path: Path) -> None:
    """A stop ends a server that it did not start itself."""
    orphan = killed_service(tmp_path / "data")
    server.start()
    server.stop()
    eventually(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


def test_a_silent_orphan_is_replaced(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An orphan that is stopped in its tracks is killed; its records are all there."""
    monkeypatch.setattr("uoro.store.embedded._ADOPT_TIMEOUT_S", 0.1)
    monkeypatch.setattr("uoro.store.embedded._PROBE_TIMEOUT_S", 0.1)
    orphan = killed_service(tmp_path / "data")
    orphan.suspend()
    server.start()
    assert server.pid != orphan.pid
    assert bounds(server).next == 2


def test_a_stale_socket_and_pid_are_no_hindrance(server: EmbeddedServer, tmp_path: Path) -> None:
    """After server and service were both killed, a start finds only their leavings, one pid being a stranger's."""
    orphan = killed_service(tmp_path / "data")
    orphan.kill()
    eventually(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)
    (tmp_path / "data" / "store" / "server.pid").write_text(f"{os.getpid()}\n")
    server.start()
    assert bounds(server).next == 2


def test_a_killed_server_is_started_again(server: EmbeddedServer) -> None:
    """Twice over, the service heals; what was written is there and writing goes on."""
    server.start()
    store = opened(server)
    epoch = store.acquire("a")
    for position in (1, 2):
        store.append(epoch, position, b"x")
        dead = server.pid
        assert dead is not None
        os.kill(dead, signal.SIGKILL)
        eventually(lambda dead=dead: server.pid not in {None, dead} and answers(server))
        assert store.bounds().next == position + 1
    store.append(epoch, 3, b"x")
    store.close()


def test_a_torn_tail_is_cut_off(server: EmbeddedServer, tmp_path: Path) -> None:
    """The last write, half on disk, is dropped with a whole log before it."""
    server.start()
    store = opened(server)
    epoch = store.acquire("a")
    store.append(epoch, 1, b"whole")
    store.append(epoch, 2, b"torn")
    server.stop()
    (tail,) = (tmp_path / "data" / "store" / "appendonlydir").glob("*.incr.aof")
    os.truncate(tail, tail.stat().st_size - 5)
    server.start()
    assert [record.payload for record in store.read_log(1)] == [b"whole"]
    assert store.bounds().next == 2
    store.close()


def test_a_failed_start_says_why(server: EmbeddedServer, tmp_path: Path) -> None:
    """Damage amid the log stops the start; the error quotes the server's log, and the directory is free again."""
    server.start()
    store = opened(server)
    epoch = store.acquire("a")
    for position in range(1, 20):
        store.append(epoch, position, b"record")
    store.close()
    server.stop()
    (tail,) = (tmp_path / "data" / "store" / "appendonlydir").glob("*.incr.aof")
    raw = bytearray(tail.read_bytes())
    raw[-600:-500] = bytes(100)
    tail.write_bytes(raw)
    with pytest.raises(StoreUnavailable, match="Bad file format"):
        server.start()
    directory = ServerDirectory(tmp_path / "data")
    directory.lock()
    directory.unlock()


def test_a_program_that_cannot_run_is_told(tmp_path: Path) -> None:
    """A missing program, and one that ends at once, are told as such."""
    missing = EmbeddedServer(tmp_path, program=tmp_path / "nowhere")
    with pytest.raises(StoreUnavailable, match="nowhere"):
        missing.start()
    ending = EmbeddedServer(tmp_path, program=Path("/bin/false"))
    with pytest.raises(StoreUnavailable, match="ended at its start"):
        ending.start()


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """A program that is no server is ended when the time for a start is over."""
    program = tmp_path / "mute"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)
    mute = EmbeddedServer(tmp_path / "data", program=program, start_timeout_s=0.1)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        mute.start()
    assert not ServerDirectory(tmp_path / "data").has_server()


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """Where the path is too long, the socket lies in a private short directory, found again after a kill."""
    deep = tmp_path / ("deep " * 20) / 'ü "quoted" \\ end'
    orphan = killed_service(deep)
    server = EmbeddedServer(deep)
    server.start()
    assert server.pid == orphan.pid
    socket = ServerDirectory(deep).socket()
    assert len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    server.stop()
    assert not socket.parent.exists()


def test_a_noted_socket_in_a_public_directory_is_not_trusted(tmp_path: Path) -> None:
    """A noted short directory that others could have made is replaced by a new one."""
    directory = ServerDirectory(tmp_path / ("deep" * 25))
    noted = directory.socket()
    assert directory.socket() == noted
    noted.parent.chmod(0o755)
    other = directory.socket()
    assert other != noted
    directory.tidy(other)
    directory.tidy(noted)


def test_a_data_directory_that_is_a_file_is_an_invalid_setting(tmp_path: Path) -> None:
    """It stops the start in one sentence that names the path."""
    (tmp_path / "file").touch()
    with pytest.raises(InvalidSettings, match="file"):
        EmbeddedServer(tmp_path / "file")


def test_a_long_log_is_set_aside(tmp_path: Path) -> None:
    """At its limit the server's log is continued; one byte past it is set aside."""
    directory = ServerDirectory(tmp_path)
    for num_bytes in (MAX_LOG_BYTES, MAX_LOG_BYTES + 1):
        directory.log.write_bytes(bytes(num_bytes))
        directory.rotate_log()
        assert directory.log.exists() == (num_bytes == MAX_LOG_BYTES)
