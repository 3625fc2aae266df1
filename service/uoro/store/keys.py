"""Every key name in Redis, in one place.

All keys of a shard carry the hash tag `{uoro:<shard>}`, so that a Redis Cluster keeps them in one slot and a
function may touch them together. Stream ids are used as they are: they hold only `A-Z a-z 0-9 . _ - : /`,
and a stream is always the last part of its key.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one shard."""

    shard: str

    @property
    def all(self) -> str:
        """Pattern of all keys of the shard, as Redis takes it in ACLs."""
        return f"{{uoro:{self.shard}}}:*"

    @property
    def owner(self) -> str:
        """Hash: `epoch`; `since`, the epoch that the owner began with; `name` of the owner; `lease_ms` given."""
        return f"{{uoro:{self.shard}}}:owner"

    @property
    def lease(self) -> str:
        """String with an expiry: the name of the owner that holds the lease."""
        return f"{{uoro:{self.shard}}}:lease"

    @property
    def log(self) -> str:
        """Stream: entry `<position>-0` has `before` (bytes of all earlier records) and `record`."""
        return f"{{uoro:{self.shard}}}:log"

    @property
    def bounds(self) -> str:
        """Hash: `first` and `next` position; `written` and `trimmed`, in bytes of records, ever."""
        return f"{{uoro:{self.shard}}}:bounds"

    @property
    def streams(self) -> str:
        """Set: the streams that have generations."""
        return f"{{uoro:{self.shard}}}:streams"

    def generations(self, stream: str) -> str:
        """Hash: the records `a` and `b`, `heading_a` and `heading_b`, and `newest`, which names one of the two."""
        return f"{{uoro:{self.shard}}}:generations:{stream}"

    def named(self, stream: str) -> str:
        """Hash: record by name."""
        return f"{{uoro:{self.shard}}}:named:{stream}"
