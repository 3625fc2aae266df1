"""All promises on Redis 7 or newer, or Valkey.

Decisions:

- **Every write is a function of one library** (`functions.lua`) that compares the epoch inside the server
  before its first write: between check and write nobody else runs. A leaked connection needs nothing but
  FCALL and a few reading commands, so its ACL user can be small.
- **A record's id in the log's stream is `<position>-0`**. The next position lives in a hash of its own, which
  survives trims; the stream refuses an id that is not above its last, a second lock on the same door. The
  two tell a lost log from a short one: a stream that ends before the next position is `CorruptRecord`.
- **Epochs move by compare-and-set.** A take or fence that was thought lost and arrives late finds the epoch
  moved and does nothing, so it cannot depose the owner that repeated it.
- **An owner's earlier epochs may still renew, release and fence** (a fence whose reply was lost can be
  repeated; a renewal crossing a fence is no reason to stop), but they may not write.
- **Every entry carries the bytes before it**, so that the log's length is a subtraction, trims included.
- **Generations are two slots of a hash**, each with its heading; a put replaces the older slot and flips `newest`
  in one step, then reads the slot back. One that does not come back intact is dropped again, so that the next put
  does not replace the only good one.
- **Durability is the server's**: with `appendonly yes` and `appendfsync always` it answers after the flush.
  `durability` tells whether that is so; a server set otherwise is not refused here.
- **The lease is a key with an expiry**, timed by the server's clock alone.
- **The owner loads the library** at each `acquire`; anyone loads it when the server says that it is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from uoro.errors import CorruptRecord, PositionConflict, StaleEpoch
from uoro.store.keys import Keys
from uoro.store.lease import wait_for_lease
from uoro.store.link import Forbidden, Link
from uoro.store.protocol import LogBounds, LogRecord, Snapshot, StoredHeadings, StoredSnapshots
from uoro.store.records import (
    decode_generation,
    decode_log_record,
    decode_named,
    encode_generation,
    encode_heading,
    encode_log_record,
    encode_named,
    heading_if_intact,
)

PAGE_BYTES = 8 * 2**20
MAX_PAGE_RECORDS = 256
SCAN_STREAMS = 500


class RedisStore:
    """One shard on a Redis server. Nothing is sent before the first call.

    Args:
        url: `redis://`, `rediss://` or `unix://` address.
        shard: its name; part of every key.
        timeout_s: for connecting, and for each command.
        lease_ttl_s: how long an owner may be silent.

    Raises:
        InvalidSettings: the address cannot be understood.
    """

    def __init__(self, url: str, shard: str, *, timeout_s: float, lease_ttl_s: float) -> None:
        self._link = Link(url, timeout_s)
        self._keys = Keys(shard)
        self._lease_ttl_s = lease_ttl_s

    def acquire(self, owner: str) -> int:
        with suppress(Forbidden):  # an administrator may have loaded it for a user who may not
            self._link.load()
        return wait_for_lease(lambda: self._take(owner), self._lease_ttl_s, time.monotonic, time.sleep)

    def _take(self, owner: str) -> int | None:
        expected = self._link.read("HGET", self._keys.owner, "epoch") or b"0"
        verdict, fruit = self._link.run(
            "take", (self._keys.owner, self._keys.lease), (expected, owner, self._lease_ttl_ms)
        )
        return int(fruit) if verdict == b"OK" else None

    def renew(self, epoch: int) -> None:
        self._write("renew", (self._keys.lease,), epoch, self._lease_ttl_ms)

    def fence(self, epoch: int) -> int:
        return int(self._write("fence", (), epoch)[1])

    def release(self, epoch: int) -> None:
        self._write("release", (self._keys.lease,), epoch)

    def append(self, epoch: int, position: int, payload: bytes) -> None:
        record = encode_log_record(LogRecord(position, epoch, payload))
        self._write("append", (self._keys.log, self._keys.bounds), epoch, position, record)

    def read_record(self, position: int) -> LogRecord | None:
        entries = self._link.read("XRANGE", self._keys.log, f"{position}-0", f"{position}-0")
        return decode_log_record(_record_of(entries[0]), position) if entries else None

    def read_log(self, position: int) -> Iterator[LogRecord]:
        bounds = self.bounds()
        if not bounds.first <= position <= bounds.next:
            raise CorruptRecord(f"the log has positions {bounds.first} to {bounds.next - 1}; {position} is missing")
        return self._pages(position, bounds)

    def _pages(self, position: int, bounds: LogBounds) -> Iterator[LogRecord]:
        record_bytes = bounds.size_bytes // max(1, bounds.next - bounds.first)
        while True:
            count = min(MAX_PAGE_RECORDS, max(1, PAGE_BYTES // max(1, record_bytes)))
            entries = self._link.read("XRANGE", self._keys.log, f"{position}-0", "+", "COUNT", count)
            if not entries:
                break
            for entry in entries:
                if entry[0] != b"%d-0" % position:
                    raise CorruptRecord(f"the log jumps to {entry[0].decode()}; position {position} is missing")
                yield decode_log_record(_record_of(entry), position)
                position += 1
            record_bytes = sum(len(_record_of(entry)) for entry in entries) // len(entries)
        if position < bounds.next or position > self.bounds().next:
            raise CorruptRecord(f"the log ends before position {position}; {bounds.next} was to come next")

    def bounds(self) -> LogBounds:
        first, next_position, written, trimmed = self._link.read(
            "HMGET", self._keys.bounds, "first", "next", "written", "trimmed"
        )
        return LogBounds(int(first or 1), int(next_position or 1), int(written or 0) - int(trimmed or 0))

    def trim(self, epoch: int, before: int) -> None:
        self._write("trim", (self._keys.log, self._keys.bounds), epoch, before)

    def put_snapshot(self, epoch: int, snapshot: Snapshot) -> None:
        key = self._keys.generations(snapshot.stream)
        record, heading = encode_generation(snapshot), encode_heading(snapshot)
        slot = self._write("put_generation", (self._keys.streams, key), epoch, snapshot.stream, record, heading)[1]
        if not self._is_intact(key, slot, record, snapshot.stream):
            self._write("drop_generation", (key,), epoch, slot)
            raise CorruptRecord(f"the snapshot of stream {snapshot.stream!r} was not read back as it was written")

    def _is_intact(self, key: str, slot: bytes, record: bytes, stream: str) -> bool:
        found = self._link.read("HGET", key, slot)
        if found is None or found == record:  # None: deleted since, by another thread
            return True
        try:
            decode_generation(found, stream)  # another thread's, put since: as good
        except CorruptRecord:
            return False
        return True

    def headings(self) -> Iterator[StoredHeadings]:
        seen: set[bytes] = set()  # a scan may tell the same stream twice
        cursor = b"0"
        while True:
            cursor, told = self._link.read("SSCAN", self._keys.streams, cursor, "COUNT", SCAN_STREAMS)
            streams = [stream.decode() for stream in dict.fromkeys(told) if stream not in seen]
            seen.update(told)
            replies = self._link.read_all(
                ("HMGET", self._keys.generations(stream), "newest", "heading_a", "heading_b") for stream in streams
            )
            for stream, (newest, a, b) in zip(streams, replies, strict=True):
                headings = heading_if_intact(a, stream), heading_if_intact(b, stream)
                yield StoredHeadings(stream, *(headings[::-1] if newest == b"b" else headings))
            if cursor == b"0":
                return

    def snapshots_of(self, stream: str) -> StoredSnapshots:
        key = self._keys.generations(stream)
        newest, *slots = self._link.read("HMGET", key, "newest", "a", "heading_a", "b", "heading_b")
        intact: list[Snapshot] = []
        num_damaged = 0
        a, b = slots[:2], slots[2:]
        for record, heading in (b, a) if newest == b"b" else (a, b):
            if record is None:
                continue
            try:
                intact.append(decode_generation(record, stream, heading_if_intact(heading, stream)))
            except CorruptRecord:
                num_damaged += 1
        return StoredSnapshots(stream, tuple(intact), num_damaged)

    def delete_snapshots(self, epoch: int, stream: str) -> None:
        keys = (self._keys.streams, self._keys.generations(stream), self._keys.named(stream))
        self._write("delete_snapshots", keys, epoch, stream)

    def put_named(self, epoch: int, stream: str, name: str, payload: bytes) -> None:
        key = self._keys.named(stream)
        self._write("put_named", (key,), epoch, name, encode_named(stream, name, payload))
        found = self._link.read("HGET", key, name)
        if found is not None:  # deleted since by another thread is not damaged
            decode_named(found, stream, name)

    def read_named(self, stream: str, name: str) -> bytes | None:
        record = self._link.read("HGET", self._keys.named(stream), name)
        return None if record is None else decode_named(record, stream, name)

    def names(self, stream: str) -> list[str]:
        return sorted(name.decode() for name in self._link.read("HKEYS", self._keys.named(stream)))

    def ping(self) -> None:
        self._link.read("PING")

    def durability(self) -> dict[str, str]:
        """What `uoro doctor` judges: version, role and settings, each "unknown" where the server keeps it.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        self.ping()
        found = dict.fromkeys(("appendonly", "appendfsync", "maxmemory-policy"), "unknown")
        for name in found:
            reply = self._read_if_allowed("CONFIG", "GET", name)
            if reply:
                found[name] = reply[1].decode()
        told = dict(
            line.split(":", 1) for line in (self._read_if_allowed("INFO") or b"").decode().splitlines() if ":" in line
        )
        version = told.get("valkey_version") or told.get("redis_version", "unknown")
        return found | {"version": version, "role": told.get("role", "unknown")}

    def _read_if_allowed(self, *command: str) -> Any:
        try:
            return self._link.read(*command)
        except Forbidden:
            return None

    def close(self) -> None:
        self._link.close()

    @property
    def _lease_ttl_ms(self) -> int:
        return max(1, round(self._lease_ttl_s * 1000))

    def _write(self, function: str, keys: tuple[str, ...], epoch: int, *arguments: str | bytes | int) -> list[bytes]:
        reply = self._link.run(function, (self._keys.owner, *keys), (epoch, *arguments))
        if reply[0] == b"STALE":
            raise StaleEpoch(f"epoch {epoch} is over; the shard is at epoch {int(reply[1])}")
        if reply[0] == b"POSITION":
            raise PositionConflict(int(reply[1]), int(arguments[0]))
        return reply


def _record_of(entry: list[Any]) -> bytes:
    fields: list[bytes] = entry[1]
    if len(fields) != 4 or fields[2] != b"record":
        raise CorruptRecord(f"the log's entry {entry[0].decode()} is not one of this program's")
    return fields[3]
