"""Keys with the service as its users run it: `uoro serve`, `uoro keys`, the client, and the logs of it all."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from live_service import LiveService
from websockets.sync.client import connect

from uoro_client import AsyncClient, Client, NotAllowed, NotFound, Overloaded, Patience, SubscriptionLost

PATIENCE_S = 30.0
IMPATIENT = Patience(max_attempts=1)
SPEC = {"fields": {"v": {"type": "number"}}, "hidden_size": 2, "season": "none", "aggregation": "none"}


def uoro(*arguments: str, file: Path) -> str:
    """A command's output; the key file is named by the setting."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UORO_")}
    environment["UORO_API_KEYS_FILE"] = str(file)
    program = [sys.executable, "-c", "from uoro.cli import main; main()", *arguments]
    done = subprocess.run(program, env=environment, cwd=file.parent, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def soon(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; the deadline is generous."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keys.json"


@pytest.fixture
def root(file: Path) -> str:
    """A key that may do everything."""
    file.parent.mkdir()
    return uoro("keys", "create", "root", "--scope", "admin", file=file)


@pytest.fixture
def service(tmp_path: Path, file: Path, root: str) -> Iterator[LiveService]:
    """A service with keys that listens beyond loopback and writes down all that it can."""
    settings = {
        "API_KEYS_FILE": str(file), "HOST": "0.0.0.0", "LOG_LEVEL": "debug", "LOG_FORMAT": "json",
        "AUTO_CREATE": "false",
    }  # fmt: skip
    service = LiveService(tmp_path, settings)
    try:
        service.start()
        yield service
    finally:
        service.end()


def is_let_in(url: str, token: str) -> bool:
    return httpx.post(f"{url}/v1/tickets", headers={"authorization": f"Bearer {token}"}).status_code == 201


def test_keys_from_making_to_revoking(service: LiveService, file: Path, root: str) -> None:
    """A key made while the service runs works soon, over HTTP and websockets, within its prefix; revoked, it does
    not, and its open websockets are closed. No secret is in any log, at any level.
    """
    url, secrets = service.url, [root]
    with pytest.raises(NotAllowed, match="unauthorized"), Client(url) as nobody:
        nobody.stream("plant/1")
    with Client(url, api_key=root) as admin:
        admin.create_stream("plant/1", SPEC)
        admin.create_stream("other/1", SPEC)
    token = uoro("keys", "create", "plant", "--scope", "read", "--scope", "write", "--prefix", "plant/", file=file)
    secrets.append(token)
    soon(lambda: is_let_in(url, token))
    with Client(url, api_key=token, patience=IMPATIENT) as client:
        assert [info.id for info in client.streams()] == ["plant/1"]
        with client.subscribe() as results:
            assert client.writer().observe("plant/1", {"v": 1.0}).seq == 1
            with Client(url, api_key=root) as admin:
                admin.observe("other/1", {"v": 1.0})
                admin.observe("plant/1", {"v": 2.0})
            assert [next(results).seq, next(results).seq] == [1, 2]
            with pytest.raises(NotFound):
                client.observe("other/1", {"v": 1.0})
            with pytest.raises(NotAllowed, match="forbidden"):
                client.delete_stream("plant/1")
            ticket = httpx.post(f"{url}/v1/tickets", headers={"authorization": f"Bearer {token}"}).json()["ticket"]
            secrets.append(ticket)
            with connect(f"ws{url[4:]}/v1/streams/plant%2F1/ws?ticket={ticket}") as socket:
                socket.send('{"type":"predict","id":1}')
                assert json.loads(socket.recv())["type"] == "prediction"
            uoro("keys", "revoke", "plant", file=file)
            with Client(url, api_key=root) as admin, pytest.raises(SubscriptionLost, match="revoked") as lost:
                heard_until_the_end(admin, results)
            assert lost.value.close_code == 4401
        soon(lambda: not is_let_in(url, token))
        with pytest.raises(NotAllowed):
            client.stream("plant/1")
    asyncio.run(also_asynchronous(url, root, file, secrets))
    replayed(url, root, file)
    httpx.get(f"{url}/v1/streams?ticket={ticket}&key={root}")
    assert service.stop() == 0
    log = service.log.read_text()
    assert '"act": "create_stream"' in log
    assert '"act": "reload_keys"' in log
    assert '"act": "refuse"' in log
    assert "Bearer" in log  # the web server's own account of a handshake, of which the secret has been cut
    for secret in secrets:
        assert secret.rpartition("_")[2] not in log


def heard_until_the_end(admin: Client, results: Iterator[object]) -> None:
    """Hear results, of which there is always one more, until there is an error or patience is over."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        admin.observe("plant/1", {"v": 1.0})
        next(results)
        time.sleep(0.05)


async def also_asynchronous(url: str, root: str, file: Path, secrets: list[str]) -> None:
    """The asynchronous client with a key of the environment, and a key's limit."""
    token = uoro("keys", "create", "slow", "--scope", "write", "--max-observations-per-s", "5", file=file)
    secrets.append(token)
    await asyncio.to_thread(soon, lambda: is_let_in(url, token))
    async with AsyncClient(url, api_key=token, patience=IMPATIENT) as client:
        rows = [{"v": float(i)} for i in range(10)]
        await client.observe_many("plant/1", rows)
        with pytest.raises(Overloaded) as refused:
            await client.observe_many("plant/1", rows)
        assert (refused.value.code, refused.value.retry_after_s) == ("rate_limited", 2)
    async with AsyncClient(url, api_key=root) as admin, admin.subscribe("plant/1") as results:
        await admin.observe("plant/1", {"v": 1.0})
        assert (await anext(results)).stream == "plant/1"


def replayed(url: str, root: str, file: Path) -> None:
    """The commands with the key of an option and of the environment."""
    rows = file.parent / "rows.ndjson"
    rows.write_text("\n".join(f'{{"v": {i}}}' for i in range(20)))
    uoro("replay", str(rows), "--stream", "plant/2", "--url", url, "--api-key", root, file=file)
    model = file.parent / "model.safetensors"
    uoro("export", "plant/2", "-o", str(model), "--url", url, "--api-key", root, file=file)
    os.environ["UORO_API_KEY"] = root
    try:
        with Client(url) as client:
            assert client.stream("plant/2").last_seq == 20
            client.import_model("plant/3", model.read_bytes())
        with Client(url, api_key="") as nobody, pytest.raises(NotAllowed):
            nobody.stream("plant/2")
    finally:
        del os.environ["UORO_API_KEY"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HOST": "0.0.0.0"}, "would serve everyone without a key"),
        ({"API_KEYS_FILE": "none.json"}, r"the key file none\.json cannot be read"),
    ],
)
def test_a_server_that_would_be_open_or_shut_for_all_does_not_start(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    """One sentence and exit code 2, and nothing listens."""
    service = LiveService(tmp_path, settings)
    service.start(wait=False)
    assert service._running is not None
    assert service._running.wait(timeout=60) == 2
    told = service.log.read_text().strip()
    assert re.search(words, told)
    assert len(told.splitlines()) == 1
