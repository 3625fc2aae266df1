"""Which stream a series has, and where it stands there.

Rules:
1. What is kept here is a guess, and may be forgotten at any time: the truth is the stream's own `seq` and newest
   `t`, in the log and its snapshots. A guess is used only while the stream's `seq` is the one that it was made at,
   and what is learned by it goes through `Run.after`, which refuses it if anything came between.
2. A stream belongs to the label set whose fingerprint is among its labels. One without observations can be claimed: so
   somebody may make a stream, with a spec of their own, before its series comes.
3. What a caller may see is asked of the caller's own view of the engine, each time and first.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from uoro.api.answers import answer
from uoro.api.ports import Engine
from uoro.api.problems import SeriesConflict
from uoro.api.timestamps import epoch_s
from uoro.domain import Result, StreamInfo
from uoro.errors import StreamDamaged, StreamExists, UnknownStream
from uoro.ingest.following import RATE, VALUE, Place
from uoro.ingest.naming import SERIES_LABEL, Named, Naming
from uoro.ingest.remote_write import Series
from uoro.learning.spec import StreamSpec
from uoro.limits import MAX_KNOWN_SERIES, MAX_LABELS, MAX_RECENT_RESULTS


@dataclass(frozen=True, slots=True)
class Known:
    """A series with a stream.

    Attributes:
        kind: the field that its observations fill.
    """

    stream: str
    kind: str
    place: Place


@dataclass(slots=True)
class Book:
    """The series of which something is known, the oldest forgotten first.

    Args:
        naming: label set -> stream.
        is_rating: counters become rates.
    """

    naming: Naming
    is_rating: bool
    _known: dict[bytes, Known] = field(default_factory=dict)

    def put(self, fingerprint: bytes, known: Known) -> None:
        """Keep where a series stands."""
        if fingerprint not in self._known and len(self._known) >= MAX_KNOWN_SERIES:
            del self._known[next(iter(self._known))]
        self._known[fingerprint] = known

    def forget(self, fingerprint: bytes) -> None:
        """What was known is not so any more."""
        self._known.pop(fingerprint, None)

    async def look_up(self, series: Series, engine: Engine) -> Known:
        """Where a series stands; its stream is made if need be and allowed.

        Raises UnknownStream, StreamDamaged, SeriesConflict and whatever making a stream raises.
        """
        known = self._known.get(series.fingerprint)
        if known is not None:
            with suppress(UnknownStream):
                if engine.last_seq(known.stream) == known.place.seq:
                    return known
            self.forget(series.fingerprint)
        named = self.naming.name(series.labels, series.fingerprint)
        try:
            known = await self._read(named, engine)
        except UnknownStream:
            if not engine.auto_create:
                raise
            known = await self._begin(named, series, engine)
        self.put(series.fingerprint, known)
        return known

    async def _begin(self, named: Named, series: Series, engine: Engine) -> Known:
        kind = RATE if series.is_counter and self.is_rating else VALUE
        spec = StreamSpec.parse({"fields": {kind: {"type": "number"}}})
        try:
            _, is_new = await answer(engine.create(named.stream, spec, named.labels))
        except StreamExists:
            is_new = False
        return Known(named.stream, kind, Place()) if is_new else await self._read(named, engine)

    async def _read(self, named: Named, engine: Engine) -> Known:
        """Where a stream that exists stands. Raises UnknownStream, StreamDamaged, SeriesConflict."""
        stream = named.stream
        info = engine.describe(stream)
        if info.state == "damaged":
            raise StreamDamaged(stream)
        kind = _kind_of(info)
        owner = info.labels.get(SERIES_LABEL)
        if owner is None and info.last_seq == 0:
            labels = {SERIES_LABEL: named.labels[SERIES_LABEL], **info.labels}
            if len(labels) > MAX_LABELS:
                raise SeriesConflict(f"stream {stream!r} has no room for the label {SERIES_LABEL}")
            await answer(engine.create(stream, StreamSpec.parse(info.spec), labels))
        elif owner != named.labels[SERIES_LABEL]:
            raise SeriesConflict(f"stream {stream!r} belongs to another series, or to other observations")
        if info.last_seq == 0:
            return Known(stream, kind, Place())
        for limit in (1, MAX_RECENT_RESULTS):
            results = await answer(engine.results(stream, limit))
            times = [ms for ms in map(_ms_of, results) if ms is not None]
            if times:
                return Known(stream, kind, Place(results[-1].seq, max(times)))
        raise SeriesConflict(f"stream {stream!r} has had observations without a time: what is new cannot be told")


def _kind_of(info: StreamInfo) -> str:
    """The field that a stream was made with decides what it learns, whatever the rule says today."""
    fields = info.spec.get("fields")
    assert isinstance(fields, dict)  # noqa: S101 - every spec has them
    for kind in (VALUE, RATE):
        if fields.get(kind, {}).get("type") == "number":
            return kind
    raise SeriesConflict(f"stream {info.id!r} has no number {VALUE!r} and no number {RATE!r} to fill")


def _ms_of(result: Result) -> int | None:
    if result.t is None:
        return None
    return round(1000 * (epoch_s(result.t) if isinstance(result.t, str) else result.t))
