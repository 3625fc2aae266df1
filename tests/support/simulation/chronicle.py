"""The ledger told by fresh learners, one observation at a time: an independent fold, with none of the engine's code.

It gives, for each stream and each moment, what the stream must have been: the judge's yardstick.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from operator import attrgetter

from simulation.disk import Appended
from uoro.domain import Observation, Result
from uoro.engine.entries import Create, Delete, Entry, Freeze, Label, Learn, Load, decode
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec
from uoro.limits import MAX_RECENT_RESULTS


@dataclass(frozen=True, slots=True)
class Point:
    """A stream after one entry; `spec` is None where it does not exist.

    Attributes:
        index: of the entry among all entries of the ledger; -1 before the first.
        tick: when its record was written.
    """

    index: int
    tick: int
    spec: StreamSpec | None = None
    labels: dict[str, str] = field(default_factory=dict)
    is_frozen: bool = False
    last_seq: int = 0
    state: bytes = b""

    def is_like(self, other: Point) -> bool:
        """Equal in all that a stream is."""
        return self.facts == other.facts

    @property
    def facts(self) -> tuple[object, ...]:
        """All that a stream is."""
        return (self.spec, self.labels, self.is_frozen, self.last_seq, self.state)


NOWHERE = Point(-1, 0)


@dataclass(frozen=True, slots=True)
class Learnt:
    """An observation in the ledger: where it stands, and what had to come of it."""

    index: int
    tick: int
    stream: str
    seq: int
    observation: Observation
    result: Result


@dataclass(slots=True)
class Chronicle:
    """What the ledger says.

    Attributes:
        entries: all of them, with the ticks at which their records were written.
        points: of each stream, oldest first.
        learnt: every observation, in order.
        results: all that an observation of a stream at a place ever came to.
        wrong: entries that do not fit what came before them.
    """

    entries: list[tuple[int, Entry]] = field(default_factory=list)
    points: dict[str, list[Point]] = field(default_factory=dict)
    learnt: list[Learnt] = field(default_factory=list)
    results: dict[tuple[str, int], list[Result]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)

    def last(self, stream: str) -> Point:
        """The stream as it is in the end."""
        return self.points.get(stream, [NOWHERE])[-1]

    def last_delete(self, stream: str, before: float) -> int:
        """Index of the stream's newest deletion written before a tick; -1 if there is none."""
        deletes = [
            index
            for index, (tick, entry) in enumerate(self.entries)
            if isinstance(entry, Delete) and entry.stream == stream and tick < before
        ]
        return max(deletes, default=-1)


def tell(ledger: list[Appended]) -> Chronicle:
    """Fold the ledger."""
    chronicle = Chronicle()
    learners: dict[str, Learner] = {}
    for record in sorted(ledger, key=attrgetter("position")):
        for entry in decode(record.payload):
            index = len(chronicle.entries)
            chronicle.entries.append((record.tick, entry))
            before = chronicle.last(entry.stream)
            point = _apply(entry, before, learners, chronicle, index, record.tick)
            chronicle.points.setdefault(entry.stream, [NOWHERE]).append(point)
    return chronicle


def _apply(
    entry: Entry, before: Point, learners: dict[str, Learner], chronicle: Chronicle, index: int, tick: int
) -> Point:
    stream = entry.stream
    if isinstance(entry, Create):
        spec = StreamSpec.parse(entry.spec)
        learners[stream] = learner = Learner.new(spec)
        return Point(index, tick, spec, entry.labels, False, 0, learner.dump())
    if isinstance(entry, Delete):
        learners.pop(stream, None)
        return Point(index, tick)
    if isinstance(entry, Load):
        model = entry.model
        spec = StreamSpec.parse(model.spec)
        learners[stream] = learner = Learner.load(spec, model.state)
        for result in learner.results(MAX_RECENT_RESULTS):
            chronicle.results[stream, result.seq].append(result)
        return Point(index, tick, spec, model.labels, model.is_frozen, learner.seq, model.state)
    if before.spec is None:
        chronicle.wrong.append(f"the ledger has {type(entry).__name__} for {stream}, which does not exist")
        return before
    learner = learners[stream]
    labels, is_frozen = before.labels, before.is_frozen
    if isinstance(entry, Label):
        labels = entry.labels
    elif isinstance(entry, Freeze):
        if is_frozen and not entry.is_frozen:
            learner.unfreeze()
        is_frozen = entry.is_frozen
    elif isinstance(entry, Learn):
        if entry.first_seq != learner.seq + 1:
            chronicle.wrong.append(f"the ledger of {stream} goes from {learner.seq} to {entry.first_seq}")
        for observation in entry.observations:
            result = learner.observe(observation, learn=not is_frozen)
            chronicle.results[stream, learner.seq].append(result)
            chronicle.learnt.append(Learnt(index, tick, stream, learner.seq, observation, result))
    return Point(index, tick, before.spec, labels, is_frozen, learner.seq, learner.dump())
