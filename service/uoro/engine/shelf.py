"""All learners of the shard, and the one function that moves them: `apply`, used live and in recovery alike.

Live, workers move different streams at the same time; no stream is moved by two.

Rules:
1. A record is applied to a stream only if its position lies behind the stream's own: replaying a log over
   snapshots of different ages ends in the same state as having lived through it.
2. A stream whose learner raises, or whose past is not there, is set aside (`learner` is None): the same in every
   replay, and no other stream notices.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from uoro.domain import Model, Observation
from uoro.engine.entries import Create, Delete, Entry, Freeze, Label, Learn, Load
from uoro.errors import CorruptRecord
from uoro.learning.learner import STATE_VERSION, Learner, observe_each
from uoro.learning.results import Results
from uoro.learning.spec import StreamSpec

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Resident:
    """A stream in memory.

    Attributes:
        learner: None if the stream is damaged.
        position: of the newest log record that changed it, or of the snapshot it was read from.
        born: the first log record that may have it: the one that created it, or 1 if that is not known.
        num_resets: numeric resets that the meter was told of.
    """

    spec: StreamSpec
    labels: dict[str, str]
    is_frozen: bool
    learner: Learner | None
    position: int
    born: int = 1
    num_resets: int = 0

    @classmethod
    def of(cls, model: Model, position: int, born: int = 1) -> Resident:
        """The stream that a model describes; one without a state is damaged. Raises CorruptRecord, InvalidSpec."""
        spec = StreamSpec.parse(model.spec)
        if not model.state:
            return cls(spec, model.labels, model.is_frozen, None, position, born)
        if model.version != STATE_VERSION:
            raise CorruptRecord(f"a state of version {model.version}; this server reads {STATE_VERSION}")
        learner = Learner.load(spec, model.state)
        resident = cls(spec, model.labels, model.is_frozen, learner, position, born)
        _, resident.num_resets = resident.health()
        return resident

    def health(self) -> tuple[float | None, int]:
        """Recent skill, and how often the learner dropped non-finite values; cheap beside `Learner.metrics`."""
        learner = self.learner
        if learner is None:
            return None, self.num_resets
        return learner.evaluation.means(0)[2], int(learner.core.num_resets[0]) + learner.numbers.num_resets

    def model(self) -> Model:
        """The whole stream as a value; without a state if it is damaged."""
        state = b"" if self.learner is None else self.learner.dump()
        return Model(self.spec.document(), self.labels, self.is_frozen, state, STATE_VERSION)


class Shelf:
    """The shard's streams by id; a stream is owned by one thread at a time."""

    def __init__(self) -> None:
        self.streams: dict[str, Resident] = {}

    def apply(self, entries: list[Entry], position: int) -> Iterator[Results | None]:
        """Let the record at `position` take effect, entry by entry.

        Nothing is done before the first result is asked for, and then entry by entry; entries of one stream, or of
        many, by the same thread.

        Yields per entry the results of its observations in order; None where there are none: another kind of
        entry, or a stream that is damaged or already beyond this record.
        """
        beyond = {
            entry.stream
            for entry in entries
            if (resident := self.streams.get(entry.stream)) is not None and resident.position >= position
        }
        for entry in entries:
            yield None if entry.stream in beyond else self.take(entry, position)

    def take(self, entry: Entry, position: int) -> Results | None:
        """Let an entry of the record at `position`, which its stream is not beyond, take effect."""
        if isinstance(entry, Learn):
            return self.learn_each([(entry, position)])[0]
        if isinstance(entry, Delete):
            self.streams.pop(entry.stream, None)
            return None
        if isinstance(entry, Create):
            spec = StreamSpec.parse(entry.spec)
            self.streams[entry.stream] = Resident(spec, entry.labels, False, Learner.new(spec), position, position)
            return None
        if isinstance(entry, Load):
            self.streams[entry.stream] = Resident.of(entry.model, position, position)
            return None
        resident = self.streams.get(entry.stream)
        if resident is None:
            return None
        resident.position = position
        if isinstance(entry, Label):
            resident.labels = entry.labels
        if isinstance(entry, Freeze):
            if resident.is_frozen and not entry.is_frozen and resident.learner is not None:
                resident.learner.unfreeze()
            resident.is_frozen = entry.is_frozen
        return None

    def learn_each(self, entries: Sequence[tuple[Learn, int]]) -> list[Results | None]:
        """`take` for entries of different streams, each with its position: what can be is learned in one call."""
        found: list[Results | None] = [None] * len(entries)
        places: list[int] = []
        runs: list[tuple[Learner, Sequence[Observation], bool]] = []
        for place, (entry, position) in enumerate(entries):
            resident = self.streams.get(entry.stream)
            if resident is None:
                continue
            resident.position = position
            learner = _learner_for(entry, resident)
            if learner is not None:
                places.append(place)
                runs.append((learner, entry.observations, not resident.is_frozen))
        for place, results in zip(places, observe_each(runs), strict=True):
            if isinstance(results, Exception):
                stream = entries[place][0].stream
                _log.error("stream %s is set aside: its learner failed", stream, exc_info=results)
                self.streams[stream].learner = None
            else:
                found[place] = results
        return found


def _learner_for(entry: Learn, resident: Resident) -> Learner | None:
    """Who learns an entry; a stream whose past is not there is set aside."""
    learner = resident.learner
    if learner is not None and learner.seq + 1 != entry.first_seq:
        _log.error(
            "stream %s is set aside: its log goes on at %d but its state ends at %d",
            entry.stream, entry.first_seq, learner.seq,
        )  # fmt: skip
        learner = resident.learner = None
    return learner
