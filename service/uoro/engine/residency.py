"""Which learners are in memory, and which one goes first. Pure: touches and times come in, an order goes out.

Rules:
1. The bound is in bytes of states: `has_room` says whether another one fits.
2. A stream that comes in is on probation; touched again more than `PROBATION_S` later, it is protected. Those on
   probation go before those protected, and in each group the one that was not touched for longest goes first. So a
   sweep over all streams, or a burst of one of them, does not push out those that are in regular use.
3. The protected take at most `PROTECTED_SHARE` of the bound; beyond it the one not touched for longest is on
   probation again.

The two queues are those of the segmented LRU of Karedla, Love and Wherry (1994). Not locked: its owner holds a lock
around every call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain

PROBATION_S = 1.0
PROTECTED_SHARE = 0.8


class Residency:
    """Streams in memory, by how useful it is to have them there.

    Args:
        budget_bytes: what all states may take.

    Attributes:
        nbytes: what they take.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.nbytes = 0
        self._budget = budget_bytes
        self._sizes: dict[str, int] = {}
        self._probation: OrderedDict[str, float] = OrderedDict()
        self._protected: OrderedDict[str, None] = OrderedDict()
        self._protected_bytes = 0

    def __contains__(self, stream: object) -> bool:
        return stream in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def is_over(self) -> bool:
        """Whether more is in memory than may be; one state is never too much."""
        return self.nbytes > self._budget and len(self._sizes) > 1

    def has_room(self, nbytes: int) -> bool:
        """Whether a state of so many bytes fits beside the others; the only one always does."""
        return self.nbytes + nbytes <= self._budget or not self._sizes

    def touch(self, stream: str, nbytes: int, now_s: float) -> None:
        """A stream was worked on; it comes in if it was not there."""
        if stream in self._protected:
            self._protected.move_to_end(stream)
            return
        since = self._probation.get(stream)
        if since is None:
            self._sizes[stream] = nbytes
            self.nbytes += nbytes
            self._probation[stream] = now_s
        elif now_s - since < PROBATION_S:
            self._probation.move_to_end(stream)
        else:
            del self._probation[stream]
            self._protected[stream] = None
            self._protected_bytes += self._sizes[stream]
            self._demote(now_s)

    def forget(self, stream: str) -> None:
        """A stream is not in memory any more."""
        nbytes = self._sizes.pop(stream, None)
        if nbytes is None:
            return
        self.nbytes -= nbytes
        if self._probation.pop(stream, None) is None:
            del self._protected[stream]
            self._protected_bytes -= nbytes

    def coldest(self) -> Iterator[str]:
        """The streams in the order in which they should go; for as long as nothing changes."""
        return chain(self._probation, self._protected)

    def _demote(self, now_s: float) -> None:
        while self._protected_bytes > PROTECTED_SHARE * self._budget:
            stream, _ = self._protected.popitem(last=False)
            self._protected_bytes -= self._sizes[stream]
            self._probation[stream] = now_s
