"""Which results of one stream are new to a listener that connects again and again. Pure.

Rules:
1. After every connection the service's recent results are fetched; those beyond the last told are told, then what
   is heard live. So nothing is missed while the connection was away, up to what the service keeps.
2. What is beyond that is counted as missed; the numbers of what is told show where.
3. A result that was fetched may be heard as well, and is passed over then.
4. A place at or below the last told means that the stream went back (a snapshot was restored, or it was made anew):
   the listener goes back with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from uoro_client.replies import ObservationReply


class Order:
    """Where a listener to one stream stands.

    Args:
        after: the place after which to begin; None begins with what comes after the first connection.

    Attributes:
        last_seq: of the last result told, or where to begin; None before the first connection.
        num_missed: results that the service no longer kept when they were asked for.
    """

    def __init__(self, after: int | None = None) -> None:
        self.last_seq = after
        self.num_missed = 0
        self._fetched: dict[int, ObservationReply] = {}

    def fetched(self, recent: Sequence[ObservationReply]) -> list[ObservationReply]:
        """What of the recent results, oldest first, is to be told."""
        newest = recent[-1].seq if recent else 0
        self._fetched = {result.seq: result for result in recent}
        if self.last_seq is None or newest < self.last_seq:
            self.last_seq = newest
            return []
        told = [result for result in recent if result.seq > self.last_seq]
        for result in told:
            self._tell(result)
        return told

    def is_new(self, heard: ObservationReply) -> bool:
        """Whether a live result is to be told."""
        fetched = self._fetched.get(heard.seq)
        if fetched is not None and _is_same(fetched, heard):
            del self._fetched[heard.seq]
            return False
        self._fetched.clear()  # what is fetched can only be heard before anything else
        self._tell(heard)
        return True

    def _tell(self, result: ObservationReply) -> None:
        if self.last_seq is not None and result.seq > self.last_seq + 1:
            self.num_missed += result.seq - self.last_seq - 1
        self.last_seq = result.seq


def _is_same(fetched: ObservationReply, heard: ObservationReply) -> bool:
    """Recent results know fewer of the values that came; all else is equal, bit for bit."""
    return (fetched.t, fetched.loss, fetched.prediction, fetched.next) == (
        heard.t,
        heard.loss,
        heard.prediction,
        heard.next,
    )
