"""A full disk: writes are answered 503, reads go on, nothing is lost, and all heals when there is room again.

The disk is a small tmpfs, which needs root; without it these tests skip.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import recorder
from forked_service import ForkedService
from live_service import LiveService

SIZE_BYTES = 6 * 2**20
NUM_STREAMS = 2
PATIENCE_S = 60.0
SETTINGS = {"SNAPSHOT_INTERVAL_S": "0.5", "LOG_LEVEL": "warning"}


class SmallDisk:
    """A mounted tmpfs, which can be filled to the last byte and emptied again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"
        path.mkdir()
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none", str(path)]
        done = subprocess.run(mounting, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (2**16, 2**12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def make_room(self) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of a few MiB."""
    if os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root only")
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.fixture
def service(tmp_path: Path, disk: SmallDisk) -> Iterator[ForkedService]:
    """A service with its data on the small disk, and its log beside it."""
    service = ForkedService(disk.path, SETTINGS)
    service.log = tmp_path / "service.log"
    yield service
    service.end()


def soon(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so; the deadline is generous."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def acknowledged(recorders: list[recorder.Recorder]) -> int:
    return sum(its.acknowledged for its in recorders)


def refuses(url: str) -> bool:
    """Whether a write is answered 503 with the code for an absent store; no other failure is borne."""
    reply = httpx.post(f"{url}/v1/streams/s0/observations", json={"x": {"v": 0.0}, "seq": 10**6}, timeout=60)
    assert reply.status_code in {409, 503}, reply.text  # out of sequence: the store is there
    return reply.status_code == 503 and reply.json()["code"] == "store_unavailable"


def test_a_full_disk_refuses_loses_nothing_and_heals(service: ForkedService, disk: SmallDisk) -> None:
    """Full amid load, twice, then a restart on the full disk: 503 while full, reads go on, nothing is lost."""
    service.start()
    url = service.url
    recorders = recorder.load(url, NUM_STREAMS, 1)
    try:
        for _ in range(2):
            before = acknowledged(recorders)
            soon(lambda: acknowledged(recorders) > before, "nothing is acknowledged")  # noqa: B023 - waited for here
            disk.fill()
            soon(lambda: refuses(url), "writes are not refused")
            assert httpx.get(f"{url}/v1/streams/s0/prediction").status_code == 200
            assert httpx.get(f"{url}/readyz").status_code == 503
            stuck = acknowledged(recorders)
            time.sleep(0.5)
            assert acknowledged(recorders) == stuck
            disk.make_room()
            soon(lambda: acknowledged(recorders) > stuck, "it does not heal")  # noqa: B023
        disk.fill()
        soon(lambda: refuses(url), "writes are not refused")
        service.kill()
        service.kill_redis()
        service.start(wait=False)
        time.sleep(1.0)
        disk.make_room()
        service.wait_ready()
        after = acknowledged(recorders)
        soon(lambda: acknowledged(recorders) > after, "it does not heal after a restart")
    finally:
        for its in recorders:
            its.stop()
    assert recorder.check(url, recorders) == []


def test_a_first_start_on_a_full_disk_says_so(disk: SmallDisk, tmp_path: Path) -> None:
    """One sentence that names the directory and the reason, and the exit code of a bad setting."""
    disk.fill()
    service = LiveService(tmp_path, {"DATA_DIR": str(disk.path / "data"), "LOG_LEVEL": "warning"})
    service.start(wait=False)
    assert service.wait() == 2
    told = service.log.read_text().strip()
    assert told == f"the data directory {disk.path / 'data'} is not usable: No space left on device."
