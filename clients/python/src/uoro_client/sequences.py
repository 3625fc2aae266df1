"""Who owns a stream's numbering can send anything twice without its being learned twice.

Rules:
1. The next `seq` of a stream is asked of the service once, then counted here.
2. Every observation is sent with its `seq`, so lost replies and 503s are simply sent again; a duplicate after
   such doubt is the success of an earlier attempt. A duplicate without doubt means a second writer.
3. An observation that the service refuses takes no `seq`. In a chunk, everything after it is refused as out
   of sequence: it is numbered anew and sent again.
4. If a call fails for good while in doubt, its observations are kept. The same ones again get the same
   numbers; with others, the service is asked what it learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from uoro_client import calls
from uoro_client.errors import ClientError, NotFound, OutOfSequence, SequenceTaken, UnexpectedReply
from uoro_client.flows import Flow, chunked, post
from uoro_client.observations import Observation, Observations, observation
from uoro_client.replies import BatchReply, ObservationReply, Refusal, StreamShare, merge


@dataclass(slots=True)
class _Place:
    """Where one stream stands.

    Attributes:
        next_seq: of the next observation.
        doubtful: observations sent from `next_seq` on whose fate is unknown.
    """

    next_seq: int
    doubtful: list[Observation] = field(default_factory=list)

    def after(self, num_taken: int) -> _Place:
        """Where the stream stands once so many more are known to be learned."""
        return _Place(self.next_seq + num_taken, self.doubtful[num_taken:])


class Sequences:
    """The numbering of every stream that one writer owns, and the flows that keep it."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}

    def next_seq(self, stream: str) -> int | None:
        """The next `seq` as far as it is known here."""
        place = self._places.get(stream)
        return None if place is None else place.next_seq

    def start_at(self, stream: str, seq: int) -> None:
        """Say what the next `seq` is instead of asking the service. Raises ValueError below 1."""
        if seq < 1:
            raise ValueError(f"a seq begins at 1, not {seq}")
        self._places[stream] = _Place(seq)

    def observe(self, stream: str, given: Observation) -> Flow[ObservationReply]:
        """Post one observation under its number."""
        one = observation(given)
        is_repeat = yield from self._settle(stream, [one])
        place = self._places[stream]
        try:
            delivered = yield calls.observe(stream, msgspec.structs.replace(one, seq=place.next_seq))
        except ClientError as error:
            self._remember(stream, [one], error)
            raise
        reply: ObservationReply = delivered.value
        if reply.duplicate and not (is_repeat or delivered.was_in_doubt):
            del self._places[stream]
            raise SequenceTaken(f"seq {reply.seq} of stream {stream!r} was learned from someone else's observation")
        self._places[stream] = place.after(1)
        return reply

    def observe_many(self, stream: str | None, observations: Observations, *, full: bool) -> Flow[BatchReply]:
        """Post observations of one stream, or with None those of several, numbered and in order."""
        total, num_posted = BatchReply(), 0
        chunks = chunked(observations)
        for chunk in chunks:
            positions = list(range(len(chunk)))
            while positions:
                remaining = [chunk[position] for position in positions]
                try:
                    reply, refused, again = yield from self._round(stream, remaining, full=full)
                except ClientError as error:
                    error.partial, error.remaining = total, chain(remaining, chain.from_iterable(chunks))
                    raise
                moved = [Refusal(positions[r.index], r.code, r.detail) for r in refused]
                final = msgspec.structs.replace(reply, errors=tuple(moved), rejected=len(moved))
                total = merge(total, final, num_posted)
                positions = [positions[index] for index in again]
            num_posted += len(chunk)
        return total

    def _round(
        self, stream: str | None, chunk: list[Observation], *, full: bool
    ) -> Flow[tuple[BatchReply, list[Refusal], list[int]]]:
        """Post a chunk once; returns the reply, what is refused for good, and the indices to send again."""
        rows = _rows_by_stream(stream, chunk)
        repeats: dict[str, bool] = {}
        numbered = list(chunk)
        for id_, indices in rows.items():
            repeats[id_] = yield from self._settle(id_, [chunk[index] for index in indices])
            first = self._places[id_].next_seq
            for seq, index in enumerate(indices, first):
                numbered[index] = msgspec.structs.replace(chunk[index], seq=seq)
        try:
            delivered = yield post(stream, numbered, full=full)
        except ClientError as error:
            for id_, indices in rows.items():
                self._remember(id_, [chunk[index] for index in indices], error)
            raise
        reply: BatchReply = delivered.value
        if reply.duplicates and not (delivered.was_in_doubt or any(repeats.values())):
            self._forget(rows)
            raise SequenceTaken(f"{reply.duplicates} numbers were learned from someone else's observations")
        refused = {refusal.index: refusal for refusal in reply.errors if refusal.code != "out_of_sequence"}
        out_of_sequence = {r.index: r.detail for r in reply.errors if r.code == "out_of_sequence"}
        again: list[int] = []
        for id_, indices in rows.items():
            place = self._places[id_]
            num_taken = _num_taken(reply, stream, id_, place.next_seq, len(indices))
            self._places[id_] = place.after(num_taken)
            left = indices[num_taken:]
            if left and left[0] in out_of_sequence:
                self._forget(rows)
                raise OutOfSequence(409, "out_of_sequence", out_of_sequence[left[0]])
            again += [index for index in left if index not in refused]
        if len(again) == len(chunk):
            self._forget(rows)
            raise UnexpectedReply("none of the observations was taken, and none refused for a reason of its own")
        return reply, sorted(refused.values(), key=lambda refusal: refusal.index), sorted(again)

    def _settle(self, stream: str, observations: Sequence[Observation]) -> Flow[bool]:
        """Make sure of the next `seq`; True if the observations repeat those that are in doubt."""
        place = self._places.get(stream)
        if place is not None:
            if not place.doubtful:
                return False
            if list(observations[: len(place.doubtful)]) == place.doubtful[: len(observations)]:
                return True
        try:
            delivered = yield calls.describe(stream)
            self._places[stream] = _Place(delivered.value.last_seq + 1)
        except NotFound:
            self._places[stream] = _Place(1)
        return False

    def _remember(self, stream: str, sent: list[Observation], error: ClientError) -> None:
        """Keep what may have been taken; forget the number where the service said it is another."""
        if isinstance(error, OutOfSequence):
            self._places.pop(stream, None)
        elif error.is_in_doubt:
            place = self._places[stream]
            place.doubtful = max(place.doubtful, sent, key=len)

    def _forget(self, rows: dict[str, list[int]]) -> None:
        for stream in rows:
            self._places.pop(stream, None)


def _rows_by_stream(stream: str | None, chunk: list[Observation]) -> dict[str, list[int]]:
    if stream is not None:
        return {stream: list(range(len(chunk)))}
    rows: dict[str, list[int]] = {}
    for index, one in enumerate(chunk):
        if one.stream is None:
            raise ValueError("an observation of several streams needs the id of its stream")
        rows.setdefault(one.stream, []).append(index)
    return rows


def _num_taken(reply: BatchReply, stream: str | None, id_: str, first_seq: int, num_sent: int) -> int:
    """How many of a stream's observations, which begin at `first_seq`, are learned now or were before."""
    if stream is not None:
        taken = reply.accepted + reply.duplicates
    else:
        taken = (reply.streams or {}).get(id_, StreamShare()).last_seq - first_seq + 1
    return min(max(taken, 0), num_sent)
