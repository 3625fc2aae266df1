"""Which streams exist, as the log says: the planner decides against it, readers list it.

Rules:
1. It reflects exactly the records that are on disk. Decisions are made on a `Draft` and take effect only after
   the append (`Catalog.commit`), so that nothing has to be rolled back when the store fails.
2. What it knows of a stream is an immutable value, replaced as a whole: readers on other threads see the old one
   or the new one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from uoro.domain import StreamInfo
from uoro.learning.spec import StreamSpec


@dataclass(frozen=True, slots=True)
class Known:
    """A stream as logged.

    Attributes:
        spec: None if the stream is damaged beyond telling what it was.
        last_seq: place of its newest observation; 0 before the first.
        nbytes: length of its state.
    """

    spec: StreamSpec | None
    labels: dict[str, str]
    is_frozen: bool
    last_seq: int
    nbytes: int

    def at(self, last_seq: int) -> Known:
        """The same, with another newest observation."""
        return Known(self.spec, self.labels, self.is_frozen, last_seq, self.nbytes)


class Catalog:
    """All streams by id.

    Attributes:
        nbytes: what all their states take, wherever they are.
        resident: the streams whose states are in memory.
        damaged: streams whose state or past could not be read, or whose learner failed; they are set aside.
            The runner, which finds out, is the only one to change it.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self.resident: Container[str] = frozenset()
        self.damaged: set[str] = set()
        self._streams: dict[str, Known] = {}
        self._num_frozen = 0
        self._version = 0
        self._sorted: tuple[int, list[str]] = (0, [])

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[tuple[str, Known]]:
        return iter(list(self._streams.items()))

    def get(self, stream: str) -> Known | None:
        """What is known of a stream, or None."""
        return self._streams.get(stream)

    def put(self, stream: str, known: Known | None) -> None:
        """Replace what is known of a stream; None forgets it."""
        old = self._streams.pop(stream, None) if known is None else self._streams.get(stream)
        if known is not None:
            self._streams[stream] = known
        if (old is None) != (known is None):
            self._version += 1
        self._num_frozen += (known is not None and known.is_frozen) - (old is not None and old.is_frozen)
        self.nbytes += (0 if known is None else known.nbytes) - (0 if old is None else old.nbytes)

    def commit(self, draft: Draft) -> None:
        """Let a draft's changes take effect."""
        for stream, known in draft.changes.items():
            self.put(stream, known)

    def page(self, *, after: str, limit: int, prefix: str, labels: Mapping[str, str]) -> list[StreamInfo]:
        """At most `limit` streams with ids above `after`, in order, that match the prefix and every label."""
        ids = self._ids()
        found: list[StreamInfo] = []
        for stream in ids[max(bisect_right(ids, after), bisect_left(ids, prefix)) :]:
            known = self._streams.get(stream)
            if not stream.startswith(prefix) or len(found) == limit:
                break
            if known is not None and labels.items() <= known.labels.items():
                found.append(self.describe(stream, known))
        return found

    def count(self, prefix: str) -> int:
        """How many streams have ids that start with a prefix."""
        ids = self._ids()
        return bisect_left(ids, prefix + "\U0010ffff") - bisect_left(ids, prefix)

    def describe(self, stream: str, known: Known) -> StreamInfo:
        """The public description of a stream."""
        spec = {} if known.spec is None else known.spec.document()
        state, is_resident = self._state(stream, known), stream in self.resident
        return StreamInfo(stream, spec, known.labels, state, known.last_seq, known.nbytes, is_resident)

    def states(self) -> dict[str, int]:
        """How many streams are in each state."""
        damaged = [known for stream in list(self.damaged) if (known := self._streams.get(stream)) is not None]
        num_frozen = self._num_frozen - sum(known.is_frozen for known in damaged)
        num_learning = len(self._streams) - num_frozen - len(damaged)
        return {"learning": num_learning, "frozen": num_frozen, "damaged": len(damaged)}

    def _state(self, stream: str, known: Known) -> str:
        if stream in self.damaged:
            return "damaged"
        return "frozen" if known.is_frozen else "learning"

    def _ids(self) -> list[str]:
        # The version is read before the ids: a list that a change overtook is made anew at the next call.
        version, (made_at, ids) = self._version, self._sorted
        if made_at != version:
            ids = sorted(self._streams)
            self._sorted = (version, ids)
        return ids


class Draft:
    """A catalog with changes on top that have not taken effect."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.changes: dict[str, Known | None] = {}
        self.damaged = catalog.damaged
        self.num_streams = len(catalog)
        self.nbytes = catalog.nbytes

    def get(self, stream: str) -> Known | None:
        """What will be known of a stream, or None."""
        return self.changes[stream] if stream in self.changes else self._catalog.get(stream)

    def describe(self, stream: str) -> StreamInfo:
        """The public description of a stream that will be there."""
        known = self.get(stream)
        assert known is not None  # noqa: S101 - the caller has just put it
        return self._catalog.describe(stream, known)

    def put(self, stream: str, known: Known | None) -> None:
        """Change what will be known of a stream; None forgets it."""
        old = self.get(stream)
        self.num_streams += (known is not None) - (old is not None)
        self.nbytes += (0 if known is None else known.nbytes) - (0 if old is None else old.nbytes)
        self.changes[stream] = known

    def advance(self, stream: str, known: Known, last_seq: int) -> None:
        """Change only the place of a stream's newest observation; `known` is what was known of it."""
        self.changes[stream] = known.at(last_seq)
