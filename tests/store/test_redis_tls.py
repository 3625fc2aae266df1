"""`rediss://` against a real redis-server that speaks TLS and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme
from forked_service import ForkedService
from live_service import free_port
from redis_server import DURABLE, REDIS_PROGRAM, WHY_NOT, RedisServer

from uoro.errors import InvalidSettings, StoreUnavailable
from uoro.store.redis import RedisStore

PASSWORD = "toy-password"


@dataclass
class Secure:
    """A server behind TLS, and certificates.

    Attributes:
        ca, other_ca: files of the authority that signed the server's certificate, and of one that did not.
        client: file of a certificate, with its key, for clients.
    """

    port: int
    ca: Path
    other_ca: Path
    client: Path

    def url(self, host: str = "localhost", scheme: str = "rediss", **options: object) -> str:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"{scheme}://:{PASSWORD}@{host}:{self.port}/0?{query}"


def speaks_tls() -> bool:
    """Whether the server program was built with TLS: without it the option is unknown."""
    assert REDIS_PROGRAM is not None
    told = subprocess.run([REDIS_PROGRAM, "--port", "0", "--tls-port", "none"], capture_output=True, check=False)
    return b"argument couldn't be parsed" in told.stdout + told.stderr


@pytest.fixture
def secure(tmp_path: Path, launch: Callable[[tuple[str, ...]], RedisServer], request: pytest.FixtureRequest) -> Secure:
    """See Secure; the parameter says whether clients must show a certificate."""
    if REDIS_PROGRAM is None:
        pytest.skip(WHY_NOT)
    if not speaks_tls():
        pytest.skip("this redis-server was built without TLS")
    authority, other = trustme.CA(), trustme.CA()
    files = Secure(free_port(), *(tmp_path / name for name in ("ca.pem", "other.pem", "client.pem")))
    authority.cert_pem.write_to_path(files.ca)
    other.cert_pem.write_to_path(files.other_ca)
    authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(files.client)
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    server = launch(
        (
            *DURABLE,
            *("--tls-port", str(files.port), "--bind", "127.0.0.1"),
            *("--tls-cert-file", str(tmp_path / "server.pem"), "--tls-key-file", str(tmp_path / "server.key")),
            *("--tls-ca-cert-file", str(files.ca), "--tls-auth-clients", getattr(request, "param", "no")),
        )
    )
    with server.client() as client:
        client.config_set("requirepass", PASSWORD)
    return files


def opened(url: str) -> RedisStore:
    return RedisStore(url, "0", timeout_s=5, lease_ttl_s=1)


def test_a_store_over_tls(secure: Secure) -> None:
    """With the authority's certificate the server is known and everything works."""
    store = opened(secure.url(ssl_ca_certs=secure.ca))
    epoch = store.acquire("a")
    store.append(epoch, 1, b"x" * 2**20)
    assert [len(record.payload) for record in store.read_log(1)] == [2**20]
    store.close()


@pytest.mark.parametrize("wrong", ["authority", "no authority", "name", "no tls"])
def test_a_server_that_is_not_known_is_not_spoken_to(secure: Secure, wrong: str) -> None:
    """Another authority, none of ours, another name, or a connection in the clear: refused before anything is sent,
    and the password is not in the words.
    """
    url = {
        "authority": secure.url(ssl_ca_certs=secure.other_ca),
        "no authority": secure.url(),
        "name": secure.url(host="127.0.0.1", ssl_ca_certs=secure.ca),
        "no tls": secure.url(scheme="redis"),
    }[wrong]
    store = opened(url)
    with pytest.raises(StoreUnavailable) as refused:
        store.acquire("a")
    assert PASSWORD not in str(refused.value)
    if wrong != "no tls":
        assert "certificate" in str(refused.value)
    store.close()


@pytest.mark.parametrize("secure", ["yes"], indirect=True)
def test_a_server_that_asks_for_a_certificate(secure: Secure) -> None:
    """A client without one is not let in; with one it is."""
    bare = opened(secure.url(ssl_ca_certs=secure.ca))
    with pytest.raises(StoreUnavailable):
        bare.acquire("a")
    bare.close()
    known = opened(secure.url(ssl_ca_certs=secure.ca, ssl_certfile=secure.client, ssl_keyfile=secure.client))
    assert known.acquire("a") == 1
    known.close()


def test_the_service_over_tls(secure: Secure, tmp_path: Path) -> None:
    """It learns, is killed, and knows everything after a start; the password is in no line of its log."""
    (tmp_path / "service").mkdir()
    settings = {"REDIS_URL": secure.url(ssl_ca_certs=secure.ca), "LEASE_TTL_S": "0.5", "LOG_LEVEL": "debug"}
    service = ForkedService(tmp_path / "service", settings)
    try:
        service.start()
        reply = httpx.post(f"{service.url}/v1/streams/s/observations", json=[{"x": {"v": 1.0}}] * 3, timeout=30)
        assert reply.json()["accepted"] == 3
        service.kill()
        service.start()
        assert httpx.get(f"{service.url}/v1/streams/s").json()["last_seq"] == 3
    finally:
        service.end()
    assert PASSWORD not in service.log.read_text()


@pytest.mark.parametrize("option", ["ssl_cert_reqs=perhaps", "ssl_ca_certs=none.pem"])
def test_options_that_cannot_be_used_are_told(option: str) -> None:
    """A word that is none stops the start, a file that is not there is a store that is away; neither is a crash."""
    with pytest.raises((InvalidSettings, StoreUnavailable)):
        opened(f"rediss://localhost:{free_port()}/0?{option}").acquire("a")
