"""What waits in a lane: steps of a record, duplicates to be looked up, reads; and who is owed an answer for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from uoro.engine.entries import Entry, Learn, decode
from uoro.engine.lanes import TURN_OBSERVATIONS
from uoro.engine.outcomes import Learned
from uoro.engine.planner import Answer
from uoro.engine.shelf import Shelf, needs_learner
from uoro.errors import UoroError
from uoro.learning.results import Results


@dataclass(slots=True)
class Batch:
    """A record that is on disk, and who waits for it. `position` is 0 if nothing had to be logged."""

    position: int
    payload: bytes
    answers: list[Answer]


@dataclass(slots=True, eq=False)
class Record:
    """A batch in the lanes, and how many of its steps are not done."""

    position: int
    num_left: int = 0
    is_replayed: bool = False


@dataclass(slots=True, eq=False)
class Owed:
    """An answer that waits for so many steps; None if nobody waits, since they are replayed."""

    answer: Answer | None
    is_bulk: bool
    num_left: int = 0


@dataclass(slots=True, eq=False)
class Step:
    """One entry to be applied, or (`entry` None) duplicates to be looked up.

    Attributes:
        applied: applies its record to its stream, entry by entry.
        learned: where the results go.
        recalled: (place, seq) of the duplicates.
    """

    record: Record
    owed: Owed
    entry: Entry | None
    applied: Iterator[Results | None]
    learned: Learned | None = None
    recalled: list[tuple[int, int]] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """How many observations it is."""
        return len(self.entry.observations) if isinstance(self.entry, Learn) else 1

    @property
    def is_bulk(self) -> bool:
        """Whether it may wait for others."""
        return self.owed.is_bulk

    @property
    def needs_learner(self) -> bool:
        """Whether the stream's learner has to be in memory."""
        return self.entry is None or needs_learner(self.entry)


@dataclass(slots=True, eq=False)
class Call:
    """A read, or whatever else is to be done when its turn comes.

    Attributes:
        do: given why the learner cannot be brought, or None.
    """

    do: Callable[[UoroError | None], None]
    needs_learner: bool = True
    weight: int = 1
    is_bulk: bool = False


Piece: TypeAlias = Step | Call


def laid_out(batch: Batch, shelf: Shelf) -> tuple[Record, list[tuple[str, Step]], list[Answer]]:
    """A batch as steps in order, each with its stream, and the answers that need none."""
    record = Record(batch.position)
    entries = [_in_turns(entry) for entry in decode(batch.payload)] if batch.position else []
    by_stream = _by_stream(entries, batch.position, shelf)
    steps: list[tuple[str, Step]] = []
    answers: list[Answer] = []
    rest = iter(entries)
    for answer in batch.answers:
        owed = Owed(answer, answer.operation.is_bulk)
        first = len(steps)
        for learned in answer.entries:
            steps += ((its.stream, Step(record, owed, its, by_stream[its.stream][1], learned)) for its in next(rest))
        recalled: dict[str, list[tuple[int, int]]] = {}
        for place, stream, seq in answer.recalled:
            recalled.setdefault(stream, []).append((place, seq))
        steps += ((stream, Step(record, owed, None, iter(()), None, its)) for stream, its in recalled.items())
        owed.num_left = len(steps) - first
        if not owed.num_left:
            answers.append(answer)
    record.num_left = len(steps)
    return record, steps, answers


def replayed(position: int, entries: Sequence[Entry], shelf: Shelf) -> tuple[Record, list[tuple[str, Step]]]:
    """What is still to be applied of a record, as steps for which nobody waits."""
    record, owed = Record(position, is_replayed=True), Owed(None, is_bulk=True)
    steps = [
        (stream, Step(record, owed, entry, applied))
        for stream, (its, applied) in _by_stream([_in_turns(entry) for entry in entries], position, shelf).items()
        for entry in its
    ]
    record.num_left = len(steps)
    return record, steps


def _by_stream(
    entries: Sequence[Sequence[Entry]], position: int, shelf: Shelf
) -> dict[str, tuple[list[Entry], Iterator[Results | None]]]:
    """A record's entries, given in turns, for each stream, and what applies them one after the other."""
    by_stream: dict[str, list[Entry]] = {}
    for turns in entries:
        by_stream.setdefault(turns[0].stream, []).extend(turns)
    return {stream: (its, shelf.apply(its, position)) for stream, its in by_stream.items()}


def _in_turns(entry: Entry) -> list[Entry]:
    """An entry in parts that are no longer than a worker's turn."""
    if not isinstance(entry, Learn) or len(entry.observations) <= TURN_OBSERVATIONS:
        return [entry]
    return [
        Learn(entry.stream, entry.first_seq + first, entry.observations[first : first + TURN_OBSERVATIONS])
        for first in range(0, len(entry.observations), TURN_OBSERVATIONS)
    ]


def complete(answer: Answer) -> None:
    """Tell whoever waits."""
    if isinstance(answer.outcome, UoroError):
        answer.operation.fail(answer.outcome)
    else:
        answer.operation.answer(answer.outcomes if answer.is_observe else answer.outcome)
