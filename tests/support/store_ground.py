"""One fresh shard, on each kind of store, with hands that damage what is stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol

from redis import Redis

from uoro.store.keys import Keys
from uoro.store.memory import MemoryShelf, MemoryStore
from uoro.store.protocol import Store
from uoro.store.redis import RedisStore


class Ground(Protocol):
    """A shard that stores are opened on; what was written stays between them."""

    def open(self, lease_ttl_s: float = 0.2) -> Store: ...
    def restart(self) -> None: ...
    def damage_generation(self, stream: str, age: int) -> None: ...
    def damage_heading(self, stream: str, age: int) -> None: ...
    def damage_named(self, stream: str, name: str) -> None: ...
    def replace_record(self, position: int, change: Callable[[bytes], bytes | None]) -> None: ...


_shards = itertools.count()


class MemoryGround:
    """A fresh shard in memory."""

    def __init__(self) -> None:
        self.shelf = MemoryShelf()

    def open(self, lease_ttl_s: float = 0.2) -> Store:
        return MemoryStore(self.shelf, lease_ttl_s=lease_ttl_s)

    def restart(self) -> None:
        """A shelf has nothing to restart."""

    def damage_generation(self, stream: str, age: int) -> None:
        generations = self.shelf.generations[stream]
        generations[age] = flip_last_bit(generations[age])

    def damage_heading(self, stream: str, age: int) -> None:
        headings = self.shelf.headings[stream]
        headings[age] = flip_last_bit(headings[age])

    def damage_named(self, stream: str, name: str) -> None:
        self.shelf.named[stream][name] = flip_last_bit(self.shelf.named[stream][name])

    def replace_record(self, position: int, change: Callable[[bytes], bytes | None]) -> None:
        changed = change(self.shelf.log.pop(position))
        if changed is not None:
            self.shelf.log[position] = changed

    def close(self) -> None:
        """Nothing is open."""


class RedisGround:
    """A fresh shard on a server that other tests use, too."""

    def __init__(self, url: str, restart: Callable[[], None]) -> None:
        self.url = url
        self.shard = f"t{next(_shards)}"
        self.keys = Keys(self.shard)
        self.restart = restart
        self.client = Redis.from_url(url)
        self._stores: list[Store] = []

    def open(self, lease_ttl_s: float = 0.2) -> Store:
        store = RedisStore(self.url, self.shard, timeout_s=10, lease_ttl_s=lease_ttl_s)
        self._stores.append(store)
        return store

    def damage_generation(self, stream: str, age: int) -> None:
        self._damage_slot(stream, age, b"")

    def damage_heading(self, stream: str, age: int) -> None:
        self._damage_slot(stream, age, b"heading_")

    def _damage_slot(self, stream: str, age: int, prefix: bytes) -> None:
        key = self.keys.generations(stream)
        newest = self.client.hget(key, "newest")
        slot = prefix + (newest if age == 0 else {b"a": b"b", b"b": b"a"}[newest])
        self.client.hset(key, slot, flip_last_bit(self.client.hget(key, slot)))

    def damage_named(self, stream: str, name: str) -> None:
        key = self.keys.named(stream)
        self.client.hset(key, name, flip_last_bit(self.client.hget(key, name)))

    def replace_record(self, position: int, change: Callable[[bytes], bytes | None]) -> None:
        """Write the log's stream anew with one record changed or left out."""
        entries = self.client.xrange(self.keys.log)
        self.client.delete(self.keys.log)
        for entry, fields in entries:
            record = fields[b"record"]
            changed = change(record) if entry == b"%d-0" % position else record
            if changed is not None:
                self.client.xadd(self.keys.log, {b"before": fields[b"before"], b"record": changed}, id=entry)

    def close(self) -> None:
        for store in self._stores:
            store.close()
        self.clear()
        self.client.close()

    def clear(self) -> None:
        """Forget everything of the shard, the epoch included."""
        for key in self.client.scan_iter(f"{{uoro:{self.shard}}}*"):
            self.client.unlink(key)


def flip_last_bit(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])
