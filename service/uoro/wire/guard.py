"""The count of open connections, and the round that ends those whose time is over.

A round a few times in each limit, over all connections, costs the requests nothing; a timer for each would.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from uoro.wire.allowance import Allowance

MAX_ROUND_S = 1.0

TOO_MANY = "too_many"
HEAD_TIMEOUT = "head_timeout"
HEAD_TOO_LARGE = "head_too_large"
PIPELINED = "too_many_pipelined"
FRAGMENTED = "too_many_fragments"
STALLED = "stalled"
REASONS = (TOO_MANY, HEAD_TIMEOUT, HEAD_TOO_LARGE, PIPELINED, FRAGMENTED, STALLED)
"""Why a connection was ended, for the measure."""


class ConnectionMeter(Protocol):
    """Where connections are counted."""

    def connections(self, num: int) -> None:
        """So many are open now."""

    def cut(self, reason: str) -> None:
        """One was ended by the service, for one of REASONS."""


class Connection(Protocol):
    """One that the guard looks after."""

    def overdue(self, now_s: float) -> str | None:
        """Why its time is over, if it is."""

    def end(self, reason: str) -> None:
        """Let it go; a second time without waiting for what is still unsent."""


class Guard:
    """Of all connections of a server, on its event loop."""

    def __init__(self, allowance: Allowance, meter: ConnectionMeter) -> None:
        self.allowance = allowance
        self.meter = meter
        self.num_turned_away = 0
        self._open: set[Connection] = set()
        self._round: asyncio.TimerHandle | None = None
        self._interval_s = min(MAX_ROUND_S, allowance.head_s / 4, allowance.stall_s / 4)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Look after a connection from now on; False if there is no room."""
        if len(self._open) >= self.allowance.max_connections:
            self.meter.cut(TOO_MANY)
            return False
        self._open.add(connection)
        self.meter.connections(len(self._open))
        if self._round is None:
            self._round = asyncio.get_running_loop().call_later(self._interval_s, self._look)
        return True

    def leave(self, connection: Connection) -> None:
        """A connection is over, or is another's from now on."""
        self._open.discard(connection)
        self.meter.connections(len(self._open))

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._round = loop.call_later(self._interval_s, self._look) if self._open else None
        now_s = loop.time()
        for connection in list(self._open):
            reason = connection.overdue(now_s)
            if reason is not None:
                self.meter.cut(reason)
                connection.end(reason)
