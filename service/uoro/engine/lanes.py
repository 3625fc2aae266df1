"""Who works on which stream next: a lane for each stream that has something waiting.

Rules:
1. What waits in a lane is done in the order in which it came, by one worker at a time: a stream's order is never in
   doubt, however many workers there are.
2. A lane whose next piece is live goes before those with bulk; after `LIVE_TURNS` of them one with bulk has its turn,
   so that neither starves.
3. A turn ends after `TURN_OBSERVATIONS` observations; the lane then goes to the end of its line. One turn may be that
   of several live lanes, for each worker its share of those that are ready: they are learned in one call.

Not locked: its owner holds a lock around every call.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

TURN_OBSERVATIONS = 128
LIVE_TURNS = 64


class Piece(Protocol):
    """Something to do for a stream."""

    @property
    def weight(self) -> int:
        """How many observations it is."""

    @property
    def is_bulk(self) -> bool:
        """Whether it may wait for others."""


P = TypeVar("P", bound=Piece)


@dataclass(slots=True, eq=False)
class Lane(Generic[P]):
    """What waits for one stream."""

    stream: str
    waiting: deque[P] = field(default_factory=deque)


class Lanes(Generic[P]):
    """All lanes in which something waits or is being done."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane[P]] = {}
        self._live: deque[Lane[P]] = deque()
        self._bulk: deque[Lane[P]] = deque()
        self._num_live_turns = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def streams(self) -> list[str]:
        """Those that have a lane."""
        return list(self._lanes)

    def push(self, stream: str, piece: P) -> bool:
        """Add a piece at the end of a stream's lane; whether that lane became ready for a worker."""
        lane = self._lanes.get(stream)
        if lane is not None:
            lane.waiting.append(piece)
            return False
        lane = self._lanes[stream] = Lane(stream, deque((piece,)))
        self._line_up(lane)
        return True

    @property
    def is_any_ready(self) -> bool:
        """Whether a worker finds something to do."""
        return bool(self._live or self._bulk)

    def take_several(self, num_workers: int = 1) -> list[tuple[Lane[P], list[P]]]:
        """The lanes of a turn as by `take`: so many live ones as have room in it, or one with bulk."""
        share = -(-len(self._live) // num_workers)
        turn = [self.take()]
        if turn[0][1][0].is_bulk:
            return turn
        room = TURN_OBSERVATIONS - sum(piece.weight for piece in turn[0][1])
        while len(turn) < share and self._is_live_next and self._live[0].waiting[0].weight <= room:
            turn.append(self.take(room))
            room -= sum(piece.weight for piece in turn[-1][1])
        return turn

    def take(self, room: int = TURN_OBSERVATIONS) -> tuple[Lane[P], list[P]]:
        """The next lane, which is the caller's until it is given back, and the pieces of its turn: one at least."""
        if self._is_live_next:
            lane = self._live.popleft()
            self._num_live_turns += 1
        else:
            lane = self._bulk.popleft()
            self._num_live_turns = 0
        waiting = lane.waiting
        pieces = [waiting.popleft()]
        room -= pieces[0].weight
        while waiting and waiting[0].weight <= room:
            pieces.append(waiting.popleft())
            room -= pieces[-1].weight
        return lane, pieces

    def give_back(self, lane: Lane[P]) -> None:
        """A turn is over."""
        if lane.waiting:
            self._line_up(lane)
        else:
            del self._lanes[lane.stream]

    @property
    def _is_live_next(self) -> bool:
        return bool(self._live) and (not self._bulk or self._num_live_turns < LIVE_TURNS)

    def _line_up(self, lane: Lane[P]) -> None:
        (self._bulk if lane.waiting[0].is_bulk else self._live).append(lane)
