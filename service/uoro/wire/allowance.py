"""What one connection may take, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass

from uoro import limits


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits of connections; all but their number are the service's own, and shorter in tests.

    Attributes:
        max_connections: open at once.
        max_turned_away: more that may be open until they have been told that there is no room.
        turn_away_s: how long one without room may take to say something; then it is answered all the same.
        head_s: from the connection, or the last answer, to the end of the next request's head.
        keep_alive_s: without a byte after an answer.
        stall_s, min_drained_bytes: a client that is owed bytes must take so many, or all, in this time.
        max_head_bytes: address and header fields of a request, with four bytes more for each field.
        max_headers: header fields of a request, trailers included.
        max_pipelined: requests that wait for the answer before theirs.
        max_fragments: frames of one websocket message.
        ping_s: a websocket is pinged so often, and closed if it does not answer for as long.
    """

    max_connections: int = limits.MAX_CONNECTIONS
    max_turned_away: int = limits.MAX_TURNED_AWAY
    turn_away_s: float = limits.TURN_AWAY_S
    head_s: float = limits.HEAD_TIMEOUT_S
    keep_alive_s: int = limits.KEEP_ALIVE_S
    stall_s: float = limits.STALL_TIMEOUT_S
    min_drained_bytes: int = limits.MIN_DRAINED_BYTES
    max_head_bytes: int = limits.MAX_HEAD_BYTES
    max_headers: int = limits.MAX_HEADERS
    max_pipelined: int = limits.MAX_PIPELINED
    max_fragments: int = limits.MAX_FRAGMENTS
    ping_s: float = limits.PING_INTERVAL_S
