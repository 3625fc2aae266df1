"""Who works on which stream next: a lane for each stream that has something waiting.

Rules:
1. What waits in a lane is done in the order in which it came, by one worker at a time: a stream's order is never in
   doubt, however many workers there are.
2. A lane in which something live waits goes before those with bulk alone; after `LIVE_TURNS` of them one with bulk
   has its turn, so that neither starves.
3. A turn ends after `TURN_OBSERVATIONS` observations; the lane then goes to the end of its line. One turn may be that
   of several live lanes, for each worker its share of those that are ready: they are learned in one call.
4. A lane that was claimed, or taken and not given back, is its holder's: what comes for it waits in it.

Not locked: its owner holds a lock around every call.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
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
    """What waits for one stream.

    Attributes:
        num_live: how many of those that wait are live.
        lines: those in which it stands; None while somebody holds it.
    """

    stream: str
    waiting: deque[P] = field(default_factory=deque)
    num_live: int = 0
    lines: Lines[P] | None = None

    def add(self, piece: P) -> None:
        """A piece comes last."""
        self.waiting.append(piece)
        if not piece.is_bulk:
            self.num_live += 1
            if self.lines is not None:
                self.lines.promote(self)

    def put_back(self, pieces: Sequence[P]) -> None:
        """Pieces of its turn were not done: they come first again."""
        self.waiting.extendleft(reversed(pieces))
        self.num_live += sum(not piece.is_bulk for piece in pieces)


class Lines(Generic[P]):
    """Lanes in order, those in which something live waits apart from those with bulk alone."""

    def __init__(self) -> None:
        self.live: OrderedDict[Lane[P], None] = OrderedDict()
        self.bulk: OrderedDict[Lane[P], None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self.live or self.bulk)

    def add(self, lane: Lane[P], *, is_first: bool = False) -> None:
        """A lane stands in line, at its end or at its head."""
        lane.lines = self
        line = self.live if lane.num_live else self.bulk
        line[lane] = None
        if is_first:
            line.move_to_end(lane, last=False)

    def promote(self, lane: Lane[P]) -> None:
        """Something live came for a lane."""
        if lane in self.bulk:
            del self.bulk[lane]
            self.live[lane] = None

    def first_live(self) -> Lane[P]:
        """The next lane in which something live waits; there must be one."""
        return next(iter(self.live))

    def pop(self, *, prefers_live: bool = True) -> Lane[P]:
        """The first lane of the line that is preferred, if there is one in it."""
        line = self.live if self.live and (prefers_live or not self.bulk) else self.bulk
        lane, _ = line.popitem(last=False)
        lane.lines = None
        return lane


class Lanes(Generic[P]):
    """All lanes in which something waits or is being done, or which somebody holds."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane[P]] = {}
        self._ready: Lines[P] = Lines()
        self._num_live_turns = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def streams(self) -> list[str]:
        """Those that have a lane."""
        return list(self._lanes)

    def push(self, stream: str, piece: P) -> Lane[P] | None:
        """Add a piece at the end of a stream's lane; that lane if it is new, and then the caller's to give back."""
        lane = self._lanes.get(stream)
        if lane is not None:
            lane.add(piece)
            return None
        lane = self.claim(stream)
        assert lane is not None  # noqa: S101 - there was none
        lane.add(piece)
        return lane

    def claim(self, stream: str) -> Lane[P] | None:
        """The lane of a stream for which nothing waits, to keep others off it; None if something does."""
        if stream in self._lanes:
            return None
        lane = self._lanes[stream] = Lane(stream)
        return lane

    def take_several(self, num_workers: int = 1) -> list[tuple[Lane[P], list[P]]]:
        """The lanes of a turn as by `take`: as many live ones as have room in it, or one with bulk; or none."""
        share = -(-len(self._ready.live) // num_workers)
        first = self.take()
        if first is None:
            return []
        turn = [first]
        if first[1][0].is_bulk:
            return turn
        room = TURN_OBSERVATIONS - sum(piece.weight for piece in first[1])
        while len(turn) < share and self._is_live_next and self._ready.first_live().waiting[0].weight <= room:
            more = self.take(room)
            assert more is not None  # noqa: S101 - one is next
            turn.append(more)
            room -= sum(piece.weight for piece in more[1])
        return turn

    def take(self, room: int = TURN_OBSERVATIONS) -> tuple[Lane[P], list[P]] | None:
        """The next lane, which is the caller's until it is given back, and the pieces of its turn: one at least."""
        if not self._ready:
            return None
        is_live = self._is_live_next
        lane = self._ready.pop(prefers_live=is_live)
        self._num_live_turns = self._num_live_turns + 1 if is_live else 0
        waiting = lane.waiting
        pieces = [waiting.popleft()]
        room -= pieces[0].weight
        while waiting and waiting[0].weight <= room:
            pieces.append(waiting.popleft())
            room -= pieces[-1].weight
        lane.num_live -= sum(not piece.is_bulk for piece in pieces)
        return lane, pieces

    def give_back(self, lane: Lane[P]) -> bool:
        """Whoever held a lane is done with it; whether it is ready for a worker."""
        if not lane.waiting:
            del self._lanes[lane.stream]
            return False
        self._ready.add(lane)
        return True

    @property
    def _is_live_next(self) -> bool:
        return bool(self._ready.live) and (not self._ready.bulk or self._num_live_turns < LIVE_TURNS)
