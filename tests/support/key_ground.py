"""Keys for tests: a file of them, and a server that asks for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from api_ground import Server, serving

from uoro.access.key import Key, Scope, hash_of, id_of, new_token
from uoro.access.keyfile import add_key, remove_keys
from uoro.api.keyring import Keyring

CREATED = datetime(2026, 1, 31, tzinfo=UTC)


class Clock:
    """Time that stands still until it is moved; starts at the date of all keys."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s

    def now(self) -> datetime:
        """The wall clock."""
        return CREATED + timedelta(seconds=self.s)

    def ns(self) -> int:
        """Nanoseconds, monotonic."""
        return round(self.s * 10**9)


class KeyFile:
    """A file of keys; each gets a name of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._num = 0

    def make(self, *scopes: str, **more: Any) -> str:
        """A token whose key is in the file."""
        self._num += 1
        token = new_token()
        key = Key(
            id=id_of(token),
            name=more.pop("name", f"key {self._num}"),
            hash=hash_of(token),
            scopes=tuple(Scope(scope) for scope in scopes),
            created=CREATED,
            **more,
        )
        add_key(self.path, key)
        return token

    def revoke(self, token: str) -> None:
        """Take a token's key out of the file."""
        assert remove_keys(self.path, lambda key: key.id == id_of(token))


class GuardedServer:
    """A server that asks for keys, and one key that may do everything."""

    def __init__(self, server: Server, keys: KeyFile, root: str) -> None:
        self.server = server
        self.client = server.client
        self.keys = keys
        self.root = root

    def call(self, token: str | None, method: str, path: str, **options: Any) -> Any:
        """A request with a key."""
        headers = {**options.pop("headers", {}), **bearer(token)}
        return self.client.request(method, path, headers=headers, **options)

    def connect(self, token: str | None, path: str = "/v1/ws") -> Any:
        """A websocket with a key."""
        return self.client.websocket_connect(path, headers=bearer(token))


def bearer(token: str | None) -> dict[str, str]:
    """The header that shows a key; none without one."""
    return {} if token is None else {"authorization": f"Bearer {token}"}


@contextmanager
def guarded(path: Path, **options: Any) -> Iterator[GuardedServer]:
    """A server whose keys are in a file that is made here. `options` are those of `serving`."""
    keys = KeyFile(path)
    root = keys.make("admin", name="root")
    with serving(keyring=Keyring(path), **options) as server:
        server.client.headers["authorization"] = f"Bearer {root}"  # what the ground itself calls with
        ground = GuardedServer(server, keys, root)
        yield ground


@contextmanager
def anonymous(ground: GuardedServer) -> Iterator[None]:
    """Without the header that the client sends by itself."""
    kept = ground.client.headers.pop("authorization")
    try:
        yield
    finally:
        ground.client.headers["authorization"] = kept


def ring(file: KeyFile, clock: Clock) -> Keyring:
    """The keys of a file, at a clock's time."""
    return Keyring(file.path, now=clock.now, clock=clock, clock_ns=clock.ns)


def made(ground: GuardedServer, *scopes: str, **more: Any) -> str:
    """A new key that the server knows by now."""
    token = ground.keys.make(*scopes, **more)
    while ground.call(token, "POST", "/v1/tickets").status_code == 401:
        time.sleep(0.05)
    return token
