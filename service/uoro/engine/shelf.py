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
from collections.abc import Iterator
from dataclasses import dataclass

from uoro.domain import Model
from uoro.engine.entries import Create, Delete, Entry, Freeze, Label, Learn, Load, decode_model
from uoro.engine.specs import shared_spec, state_bytes
from uoro.errors import CorruptRecord, InvalidSpec
from uoro.learning.learner import STATE_VERSION, Learner
from uoro.learning.results import Results
from uoro.learning.spec import StreamSpec
from uoro.store.protocol import StoredSnapshots

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
    def is_stored(self) -> bool:
        """Whether its learner would have to be read from the store; that of a new stream is made of its spec."""
        return self.is_cold and not self.is_new

    def own_learner(self) -> Learner | None:
        """Its learner, made of the spec if it has seen nothing; None if it has to be read, or cannot be had."""
        return Learner.new(self.spec) if self.is_new and self.learner is None else self.learner

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
            yield None if entry.stream in beyond else self._apply(entry, position)

    def _apply(self, entry: Entry, position: int) -> Results | None:
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
        if isinstance(entry, Learn):
            return self._learn(entry, stream)
        if isinstance(entry, Label):
            stream.labels = entry.labels
        if isinstance(entry, Freeze):
            if stream.is_frozen and not entry.is_frozen and stream.learner is not None:
                stream.learner.unfreeze()
            stream.is_frozen = entry.is_frozen
        return None

    def _learn(self, entry: Learn, stream: Stream) -> Results | None:
        if stream.learner is None and (learner := stream.own_learner()) is not None:
            stream.warm(learner)
        stream.is_new = False
        assert not stream.is_cold  # noqa: S101 - rule 3; to go on without its past would be to lose it
        learner = stream.learner
        if learner is None:
            return None
        if learner.seq + 1 != entry.first_seq:
            _log.error(
                "stream %s is set aside: its log goes on at %d but its state ends at %d",
                entry.stream, entry.first_seq, learner.seq,
            )  # fmt: skip
            stream.set_aside()
            return None
        try:
            return learner.observe_all(entry.observations, learn=not stream.is_frozen)
        except Exception:  # noqa: BLE001 - whatever a stream's arithmetic comes to, it must not take the others with it
            _log.exception("stream %s is set aside: its learner failed", entry.stream)
            stream.set_aside()
            return None


def newest_readable(stored: StoredSnapshots, born: int) -> Stream | None:
    """The stream that the newest generation describes of those that can be read; None if none can."""
    for generation in stored.generations:
        try:
            return Stream.of(decode_model(generation.payload), generation.position, born)
        except (CorruptRecord, InvalidSpec) as error:
            _log.warning("a snapshot of stream %s cannot be read: %s", stored.stream, error)
    return None


def needs_learner(entry: Entry) -> bool:
    """Whether an entry is applied to the learner of a stream that is there already."""
    return isinstance(entry, Learn | Label | Freeze)
