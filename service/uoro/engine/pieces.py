"""What waits in a lane: steps of a record, duplicates to be looked up, reads; and who is owed an answer for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from uoro.engine.entries import Entry, Learn, decode
from uoro.engine.lanes import TURN_OBSERVATIONS
from uoro.engine.outcomes import Learned
from uoro.engine.planner import Answer
from uoro.engine.shelf import needs_learner
from uoro.errors import StreamDamaged, UoroError
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
        learned: where the results go.
        recalled: (place, seq) of the duplicates.
    """

    record: Record
    owed: Owed
    entry: Entry | None
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


def laid_out(batch: Batch) -> tuple[Record, list[tuple[str, Step]], list[Answer]]:
    """A batch as steps in order, each with its stream, and the answers that need none."""
    record = Record(batch.position)
    entries = [_in_turns(entry) for entry in decode(batch.payload)] if batch.position else []
    steps: list[tuple[str, Step]] = []
    complete: list[Answer] = []
    rest = iter(entries)
    for answer in batch.answers:
        owed = Owed(answer, answer.operation.is_bulk)
        first = len(steps)
        for learned in answer.entries:
            steps += ((its.stream, Step(record, owed, its, learned)) for its in next(rest))
        recalled: dict[str, list[tuple[int, int]]] = {}
        for place, stream, seq in answer.recalled:
            recalled.setdefault(stream, []).append((place, seq))
        steps += ((stream, Step(record, owed, None, None, its)) for stream, its in recalled.items())
        owed.num_left = len(steps) - first
        if not owed.num_left:
            complete.append(answer)
    record.num_left = len(steps)
    return record, steps, complete


def replayed(position: int, entries: Sequence[Entry]) -> tuple[Record, list[tuple[str, Step]]]:
    """What is still to be applied of a record, as steps for which nobody waits."""
    record, owed = Record(position, is_replayed=True), Owed(None, is_bulk=True)
    steps = [(turn.stream, Step(record, owed, turn)) for entry in entries for turn in _in_turns(entry)]
    record.num_left = len(steps)
    return record, steps


def grouped(pieces: Sequence[Piece]) -> list[list[Step] | Call]:
    """The pieces of a stream in order, those together that learn in a row; replayed ones apart from others."""
    groups: list[list[Step] | Call] = []
    for piece in pieces:
        last = groups[-1] if groups else None
        if isinstance(piece, Call):
            groups.append(piece)
        elif isinstance(last, list) and _are_one_run(last[0], piece):
            last.append(piece)
        else:
            groups.append([piece])
    return groups


def joined(run: Sequence[Step]) -> Learn:
    """The entries of a run as one."""
    first = run[0].entry
    assert isinstance(first, Learn)  # noqa: S101 - that is what makes a run
    if len(run) == 1:
        return first
    observations = [its for step in run if isinstance(step.entry, Learn) for its in step.entry.observations]
    return Learn(first.stream, first.first_seq, observations)


def deal(run: Sequence[Step], results: Results | None) -> None:
    """Give each step of a run its part of the results; without any its observations are refused."""
    end = 0
    for step in run:
        assert step.learned is not None  # noqa: S101 - an entry that learns is that of a request
        assert step.owed.answer is not None  # noqa: S101 - same
        if results is None:
            step.owed.answer.outcomes.set_aside(step.learned, StreamDamaged(step.learned.stream))
        elif len(run) == 1:
            step.learned.parts.append(results)
        else:
            step.learned.parts.append(results.part(end, step.weight))
            end += step.weight


def complete(answer: Answer) -> None:
    """Tell whoever waits."""
    if isinstance(answer.outcome, UoroError):
        answer.operation.fail(answer.outcome)
    else:
        answer.operation.answer(answer.outcomes if answer.is_observe else answer.outcome)


def _are_one_run(first: Step, step: Step) -> bool:
    is_same_kind = (first.owed.answer is None) == (step.owed.answer is None)
    return isinstance(first.entry, Learn) and isinstance(step.entry, Learn) and is_same_kind


def _in_turns(entry: Entry) -> list[Entry]:
    """An entry in parts that are no longer than a worker's turn."""
    if not isinstance(entry, Learn) or len(entry.observations) <= TURN_OBSERVATIONS:
        return [entry]
    return [
        Learn(entry.stream, entry.first_seq + first, entry.observations[first : first + TURN_OBSERVATIONS])
        for first in range(0, len(entry.observations), TURN_OBSERVATIONS)
    ]
