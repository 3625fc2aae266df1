"""Headings and the log behind them become the shard that the server had: recovery before ready.

Rules:
1. Of each stream the heading of its newest generation is taken; its state stays in the store until it is needed. A
   heading that cannot be read is made up for by the generation, and that by the older one.
2. Every record from the log's first one on is read, in order. What lies behind a stream's generation is handed to the
   runner, which applies it by the same `Shelf.apply` as live. Once all is handed over, the server is ready: who asks
   for a stream waits for that stream alone.
3. A stream of which no generation can be read and whose beginning is no longer in the log is set aside; the others
   serve. A damaged log stops the start: which streams it concerns cannot be known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from uoro.engine.catalog import Catalog, Known
from uoro.engine.entries import Create, Delete, Entry, Freeze, Label, Learn, Load, decode, decode_about
from uoro.engine.retention import Mark
from uoro.engine.shelf import Shelf, Stream, newest_readable
from uoro.engine.specs import shared_spec, spec_of, state_bytes
from uoro.errors import CorruptRecord, InvalidSpec
from uoro.learning.learner import STATE_VERSION, Learner
from uoro.store.protocol import Heading, LogBounds, Store, StoredHeadings

_log = logging.getLogger(__name__)

Replay = Callable[[int, list[Entry]], None]


@dataclass(slots=True)
class Recovery:
    """What is known of the shard so far.

    Attributes:
        store: of the shard, which the caller owns.
        now_s: of the engine's clock.
        bounds: of the log, as it was found.
        position: of the next record to be read.
        num_observations: how many are to be replayed.
        ended: streams that ended and whose snapshots are still in the store.
        unreadable: streams that have snapshots of which none can be read, and whose beginning did not come yet.
    """

    store: Store
    now_s: float
    bounds: LogBounds
    position: int
    shelf: Shelf = field(default_factory=Shelf)
    catalog: Catalog = field(default_factory=Catalog)
    marks: dict[str, Mark] = field(default_factory=dict)
    num_observations: int = 0
    ended: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    _behind: dict[str, int] = field(default_factory=dict)
    _endings: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, store: Store, now_s: float) -> Recovery:
        """Look through the snapshots. Raises CorruptRecord, StoreUnavailable."""
        bounds = store.bounds()
        recovery = cls(store, now_s, bounds, bounds.first)
        for stored in store.headings():
            recovery._place(stored)
        recovery._behind = {stream: its.position for stream, its in recovery.shelf.streams.items()}
        return recovery

    def follow(self, replay: Replay) -> None:
        """Read the log to its end and hand over what is to be applied. Raises CorruptRecord, StoreUnavailable.

        After StoreUnavailable it may be called again, and goes on where it was.
        """
        for record in self.store.read_log(self.position):
            if record.position != self.position:
                raise CorruptRecord(f"the log goes from record {self.position - 1} to {record.position}")
            entries = [entry for entry in decode(record.payload) if record.position > self._behind.get(entry.stream, 0)]
            for entry in entries:
                self._note(entry, record.position)
            replay(record.position, entries)
            self.position += 1
        self.bounds = LogBounds(self.bounds.first, max(self.position, self.bounds.next), self.bounds.size_bytes)
        self._settle_ended()
        for stream in sorted(self.unreadable):
            _log.error("no snapshot of stream %s can be read and the log does not reach its beginning", stream)
            self.catalog.put(stream, Known(None, {}, is_frozen=False, last_seq=0, nbytes=0))
            self.catalog.damaged.add(stream)

    def _place(self, stored: StoredHeadings) -> None:
        """Take the newest generation that can be read, or its heading."""
        stream, first = stored.stream, self.bounds.first
        try:
            if stored.newest is None:
                raise CorruptRecord("its heading is missing or damaged")  # noqa: TRY301 - same remedy as below
            its, last_seq = _headed(stored.newest, first)
            positions = [heading.position for heading in (stored.older, stored.newest) if heading is not None]
        except (CorruptRecord, InvalidSpec) as error:
            _log.warning("the newest snapshot of stream %s is read whole: %s", stream, error)
            snapshots = self.store.snapshots_of(stream)
            readable = newest_readable(snapshots, first)
            if readable is None:
                self.unreadable.add(stream)
                return
            its = readable
            positions = [other.position for other in snapshots.generations if other.position <= its.position]
            last_seq, its.learner = its.last_seq, None
        self.shelf.streams[stream] = its
        self.catalog.put(stream, Known(its.spec, its.labels, its.is_frozen, last_seq, its.nbytes))
        if its.is_damaged:
            self.catalog.damaged.add(stream)
        self.marks[stream] = Mark(first, its.position, sorted(positions), self.now_s, is_set_aside=its.is_damaged)

    def _note(self, entry: Entry, position: int) -> None:
        """Let an entry take effect on what is known of its stream."""
        stream, catalog = entry.stream, self.catalog
        known = catalog.get(stream)
        if isinstance(entry, Delete):
            catalog.put(stream, None)
            self.unreadable.discard(stream)
            self._endings[stream] = position
        elif isinstance(entry, Create):
            spec = shared_spec(entry.spec)
            catalog.put(stream, Known(spec, entry.labels, is_frozen=False, last_seq=0, nbytes=state_bytes(spec)))
            self.unreadable.discard(stream)
        elif isinstance(entry, Load):
            catalog.put(stream, _loaded(entry))
            self.unreadable.discard(stream)
        elif isinstance(entry, Learn):
            if known is None:
                # Its beginning is gone and so are its snapshots: there is nothing to apply this to.
                self.unreadable.add(stream)
            else:
                self.num_observations += len(entry.observations)
                catalog.put(stream, known.at(entry.first_seq + len(entry.observations) - 1))
        elif known is not None and isinstance(entry, Label):
            catalog.put(stream, replace(known, labels=entry.labels))
        elif known is not None and isinstance(entry, Freeze):
            catalog.put(stream, replace(known, is_frozen=entry.is_frozen))

    def _settle_ended(self) -> None:
        """Streams whose deletion may not have reached their snapshots."""
        for stream, position in self._endings.items():
            mark = self.marks.get(stream)
            # Snapshots behind the deletion are those of a stream that began anew under the same id.
            if self.catalog.get(stream) is None or (mark is not None and mark.newest < position):
                self.ended.append(stream)


def _headed(heading: Heading, first: int) -> tuple[Stream, int]:
    """A stream as the heading of its newest generation says, and the place of its newest observation."""
    about = decode_about(heading.content)
    if about.version != STATE_VERSION:
        raise CorruptRecord(f"a state of version {about.version}; this server reads {STATE_VERSION}")
    its = Stream(spec_of(bytes(about.spec)), about.labels, about.is_frozen, None, heading.position, about.nbytes, first)
    its.is_new = about.condition == "new"
    its.is_damaged = about.condition == "damaged"
    return its, about.last_seq


def _loaded(entry: Load) -> Known:
    model = entry.model
    spec = shared_spec(model.spec)
    learner = Learner.load(spec, model.state)
    return Known(spec, model.labels, model.is_frozen, learner.seq, learner.nbytes)
