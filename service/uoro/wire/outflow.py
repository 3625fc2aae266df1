"""Whether a client takes what it is owed."""

from __future__ import annotations


class Outflow:
    """Judges from what still waits to be sent, as it is told now and then.

    Rule: within each `window_s` the waiting bytes become fewer by `min_bytes`, or none; else the client is stuck. A
    slow client that goes on reading is none: the rule asks for `min_bytes / window_s` bytes a second.
    """

    def __init__(self, window_s: float, min_bytes: int) -> None:
        self._window_s = window_s
        self._min_bytes = min_bytes
        self._since_s: float | None = None
        self._waiting = 0

    def is_stuck(self, now_s: float, num_waiting: int) -> bool:
        """Whether the time is over, with so many bytes waiting at this moment."""
        if num_waiting == 0:
            self._since_s = None
            return False
        if self._since_s is None or num_waiting <= self._waiting - self._min_bytes:
            self._since_s, self._waiting = now_s, num_waiting
            return False
        return now_s - self._since_s >= self._window_s
