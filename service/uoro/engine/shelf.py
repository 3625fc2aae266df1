"""All streams of the shard, and the one function that moves them: `apply`, used live and in recovery alike.

Live, workers move different streams at the same time; no stream is moved by two.

Rules:
1. A record is applied to a stream only if its position lies behind the stream's own: replaying a log over
   snapshots of different ages ends in the same state as having lived through it.
2. A stream whose learner raises, or whose past is not there, is damaged and set aside: the same in every replay, and
   no other stream notices.
3. A stream is *cold* while its learner is not in memory. Then its newest generation in the store is what it is; or it
   has seen nothing yet, and its spec says all. Whoever applies observations brings the learner first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from uoro.domain import Model, Observation
from uoro.engine.entries import Create, Delete, Entry, Freeze, Label, Learn, Load
from uoro.engine.specs import shared_spec, state_bytes
from uoro.errors import CorruptRecord
from uoro.learning.learner import STATE_VERSION, Learner, observe_each
from uoro.learning.results import Results
from uoro.learning.spec import StreamSpec

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Stream:
    """One stream of the shard.

    Attributes:
        learner: None while the stream is cold, and for good if it is damaged.
        position: of the newest log record that changed it, or of the snapshot it was read from.
        nbytes: length of its state.
        born: the first log record that may have it: the one that created it, or 1 if that is not known.
        is_new: no observation came yet, and no model was loaded.
        is_damaged: its state or its past cannot be read, or its learner failed.
        num_resets: numeric resets that the meter was told of.
    """

    spec: StreamSpec
    labels: dict[str, str]
    is_frozen: bool
    learner: Learner | None
    position: int
    nbytes: int
    born: int = 1
    is_new: bool = False
    is_damaged: bool = False
    num_resets: int = 0

    @classmethod
    def of(cls, model: Model, position: int, born: int = 1) -> Stream:
        """The stream that a model describes; one without a state is new or damaged.

        Raises CorruptRecord, InvalidSpec.
        """
        spec = shared_spec(model.spec)
        stream = cls(spec, model.labels, model.is_frozen, None, position, len(model.state), born)
        if model.state:
            if model.version != STATE_VERSION:
                raise CorruptRecord(f"a state of version {model.version}; this server reads {STATE_VERSION}")
            stream.warm(Learner.load(spec, model.state))
        elif model.is_new:
            stream.is_new = True
            stream.nbytes = state_bytes(spec)
        else:
            stream.is_damaged = True
        return stream

    @property
    def is_cold(self) -> bool:
        """Whether its learner would have to be brought."""
        return self.learner is None and not self.is_damaged

    @property
    def last_seq(self) -> int:
        """Place of its newest observation; 0 if there is none, or its learner is not here to tell."""
        return 0 if self.learner is None else self.learner.seq

    def warm(self, learner: Learner) -> None:
        """Its learner is here."""
        self.learner = learner
        self.nbytes = learner.nbytes
        _, self.num_resets = self.health()

    def set_aside(self) -> None:
        """It is damaged."""
        self.learner = None
        self.is_damaged = True

    def health(self) -> tuple[float | None, int]:
        """Recent skill, and how often the learner dropped non-finite values; cheap beside `Learner.metrics`."""
        learner = self.learner
        if learner is None:
            return None, self.num_resets
        return learner.evaluation.means(0)[2], int(learner.core.num_resets[0]) + learner.numbers.num_resets

    def model(self) -> Model:
        """The whole stream as a value; without a state if it is damaged. Not for one that is cold."""
        assert not self.is_cold  # noqa: S101 - an empty state would say that it is damaged
        state = b"" if self.learner is None else self.learner.dump()
        return Model(self.spec.document(), self.labels, self.is_frozen, state, STATE_VERSION)

    def copy(self, position: int) -> Copy:
        """What a snapshot keeps of it: of one that is new, no state. Not for others that are cold."""
        if self.is_new:
            model = Model(self.spec.document(), self.labels, self.is_frozen, b"", STATE_VERSION, is_new=True)
        else:
            model = self.model()
        return Copy(position, self.last_seq, self.nbytes, model)


@dataclass(frozen=True, slots=True)
class Copy:
    """A stream as it was with every record up to a position applied.

    Attributes:
        last_seq: place of its newest observation.
        nbytes: length of its state in memory.
    """

    position: int
    last_seq: int
    nbytes: int
    model: Model


class Shelf:
    """The shard's streams by id; a stream is owned by one thread at a time."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

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
            if (stream := self.streams.get(entry.stream)) is not None and stream.position >= position
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
            spec = shared_spec(entry.spec)
            self.streams[entry.stream] = Stream(
                spec, entry.labels, False, None, position, state_bytes(spec), position, is_new=True
            )
            return None
        if isinstance(entry, Load):
            self.streams[entry.stream] = Stream.of(entry.model, position, position)
            return None
        stream = self.streams.get(entry.stream)
        if stream is None:
            return None
        stream.position = position
        if isinstance(entry, Label):
            stream.labels = entry.labels
        if isinstance(entry, Freeze):
            if stream.is_frozen and not entry.is_frozen and stream.learner is not None:
                stream.learner.unfreeze()
            stream.is_frozen = entry.is_frozen
        return None

    def learn_each(self, entries: Sequence[tuple[Learn, int]]) -> list[Results | None]:
        """`take` for entries of different streams, each with its position: what can be is learned in one call."""
        found: list[Results | None] = [None] * len(entries)
        places: list[int] = []
        runs: list[tuple[Learner, Sequence[Observation], bool]] = []
        for place, (entry, position) in enumerate(entries):
            stream = self.streams.get(entry.stream)
            if stream is None:
                continue
            stream.position = position
            learner = _learner_for(entry, stream)
            if learner is not None:
                places.append(place)
                runs.append((learner, entry.observations, not stream.is_frozen))
        for place, results in zip(places, observe_each(runs), strict=True):
            if isinstance(results, Exception):
                name = entries[place][0].stream
                _log.error("stream %s is set aside: its learner failed", name, exc_info=results)
                self.streams[name].set_aside()
            else:
                found[place] = results
        return found


def _learner_for(entry: Learn, stream: Stream) -> Learner | None:
    """Who learns an entry; a stream whose past is not there is set aside."""
    if stream.is_new and stream.learner is None:
        stream.warm(Learner.new(stream.spec))
    stream.is_new = False
    assert not stream.is_cold  # noqa: S101 - rule 3; to go on without its past would be to lose it
    learner = stream.learner
    if learner is not None and learner.seq + 1 != entry.first_seq:
        _log.error(
            "stream %s is set aside: its log goes on at %d but its state ends at %d",
            entry.stream, entry.first_seq, learner.seq,
        )  # fmt: skip
        stream.set_aside()
    return stream.learner


def needs_learner(entry: Entry) -> bool:
    """Whether an entry is applied to the learner of a stream that is there already."""
    return isinstance(entry, Learn | Label | Freeze)
