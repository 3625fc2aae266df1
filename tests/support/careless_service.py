"""`uoro serve` with a store that loses every fifth reply of an append: `explicit` positions, or `automatic` ones.

The automatic store is the mistake that the real one avoids: ids given by the server, and a client library that sends
an append again when its reply is lost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count

from uoro.app import serve
from uoro.errors import OutcomeUnknown
from uoro.settings import Settings
from uoro.store.protocol import LogBounds, LogRecord
from uoro.store.redis import RedisStore

_appends = count(1)


def _is_lost() -> bool:
    return next(_appends) % 5 == 0


class ExplicitStore(RedisStore):
    """The real store behind a connection that loses replies."""

    def append(self, epoch: int, position: int, payload: bytes) -> None:
        super().append(epoch, position, payload)
        if _is_lost():
            raise OutcomeUnknown("the reply was lost")


class AutomaticStore(RedisStore):
    """Ids by the server, appends repeated when a reply is lost."""

    def append(self, epoch: int, position: int, payload: bytes) -> None:
        for _ in range(2 if _is_lost() else 1):
            self._link.read("XADD", self._keys.log, "*", "payload", payload)

    def bounds(self) -> LogBounds:
        return LogBounds(1, int(self._link.read("XLEN", self._keys.log)) + 1, 0)

    def read_log(self, position: int) -> Iterator[LogRecord]:
        entries = self._link.read("XRANGE", self._keys.log, "-", "+")
        for place, (_, fields) in enumerate(entries, start=1):
            yield LogRecord(place, 0, fields[1])


if __name__ == "__main__":
    import uoro.app

    uoro.app.RedisStore = {"explicit": ExplicitStore, "automatic": AutomaticStore}[sys.argv[1]]  # type: ignore[misc]
    sys.exit(serve(Settings.load()))
