"""Takes a remote write: each new sample is learned once, whatever is sent again, and whoever else writes.

Rules:
1. A request is learned in one engine call per try: what was found refused because its stream had moved on is looked
   up and tried again.
2. What can never be taken refuses its own series alone, and the answer says how much of what; what may be taken later
   fails the request, and is sent again with all the rest, of which what was learned is then old.
3. Written is what was learned, what had been before, and what the rules leave out: a sender is told of a failure only
   where there is one.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field

from uoro.api.answers import answer
from uoro.api.ports import Engine, RequestMeter
from uoro.api.problems import Busy, RateLimited
from uoro.api.series import Book, Known
from uoro.domain import Run
from uoro.engine.outcomes import Outcomes
from uoro.errors import (
    InvalidObservation,
    OutOfSequence,
    Overloaded,
    StreamDamaged,
    Unavailable,
    UnknownStream,
    UoroError,
)
from uoro.ingest.following import Following, follow
from uoro.ingest.labels import NAME
from uoro.ingest.remote_write import Series, Write

MAX_TRIES = 3
SERIES_AT_ONCE = 256
"""So many are looked up side by side, and then others have their turn on the event loop."""

LEARNED, MISSING, DUPLICATE, STALE, LEFT_OUT, REFUSED = OUTCOMES = (
    "learned", "missing", "duplicate", "stale", "left_out", "refused",
)  # fmt: skip
NATIVE_HISTOGRAM, EXEMPLAR = "native_histogram", "exemplar"


@dataclass(slots=True)
class Tally:
    """What became of the samples of a request.

    Attributes:
        outcomes: how many, by what became of them.
        refusals: how many parts, by problem code.
        reason: of the first refusal.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    reason: str = ""

    @property
    def num_written(self) -> int:
        """Samples that need not be sent again, and were not refused."""
        return sum(num for outcome, num in self.outcomes.items() if outcome != REFUSED)

    def refuse(self, code: str, num: int, reason: str, *, is_sample: bool = True) -> None:
        """So many samples, or other parts, were refused for good."""
        if not num:
            return
        self.refusals[code] += num
        self.reason = self.reason or reason
        if is_sample:
            self.outcomes[REFUSED] += num


@dataclass(slots=True)
class _Line:
    """A series of a request, and what is to be learned of it now."""

    series: Series
    known: Known | None = None
    following: Following | None = None


class Receiver:
    """Takes remote writes.

    Args:
        book: where each series stands.
        taken: which metrics are; the others are left out.
        meter: told what became of the samples.
    """

    def __init__(self, book: Book, taken: re.Pattern[str], meter: RequestMeter) -> None:
        self._book = book
        self._taken = taken
        self._meter = meter

    async def take(self, write: Write, engine: Engine, tally: Tally) -> None:
        """Learn what is new in a request. Raises RateLimited, Unavailable; the tally is true even then."""
        try:
            self._refuse_unread(write, tally)
            lines = [_Line(series) for series in write.series.values() if self._is_taken(series, tally)]
            for _ in range(MAX_TRIES):
                lines = await self._attempt(lines, engine, tally)
                if not lines:
                    return
            raise Busy("others write to the same streams")
        finally:
            self._tell(tally)

    def _refuse_unread(self, write: Write, tally: Tally) -> None:
        for num, reason in write.invalid:
            tally.refuse(InvalidObservation.code, num, reason)
        tally.refuse(NATIVE_HISTOGRAM, write.num_histograms, "native histograms are not learned from", is_sample=False)
        tally.refuse(EXEMPLAR, write.num_exemplars, "exemplars are not learned from", is_sample=False)

    def _is_taken(self, series: Series, tally: Tally) -> bool:
        is_taken = self._taken.fullmatch(dict(series.labels)[NAME]) is not None
        if not is_taken:
            tally.outcomes[LEFT_OUT] += len(series.samples)
        return is_taken

    async def _attempt(self, lines: list[_Line], engine: Engine, tally: Tally) -> list[_Line]:
        """Learn what can be; returns the series that must be looked up anew."""
        for first in range(0, len(lines), SERIES_AT_ONCE):
            some = lines[first : first + SERIES_AT_ONCE]
            ends = await asyncio.gather(*(self._follow(line, engine, tally) for line in some), return_exceptions=True)
            failure = next((end for end in ends if end is not None), None)
            if failure is not None:
                raise failure
            await asyncio.sleep(0)
        followed = [line for line in lines if line.known is not None and line.following is not None]
        runs: list[Run] = []
        learning: list[_Line] = []
        num = 0
        for line in followed:
            assert line.known is not None and line.following is not None  # noqa: S101, PT018 - just sifted
            observations = line.following.observations
            if observations:
                places = range(num, num + len(observations))
                runs.append(Run(line.known.stream, observations, places, after=line.known.place.seq))
                learning.append(line)
                num += len(observations)
            else:
                self._settle(line, tally)
        if not runs:
            return []
        try:
            outcomes = await answer(engine.observe(runs))
        except RateLimited:
            raise
        except Overloaded as error:
            raise Busy(str(error)) from error
        return [line for line, run in zip(learning, runs, strict=True) if self._moved_on(line, run, outcomes, tally)]

    async def _follow(self, line: _Line, engine: Engine, tally: Tally) -> None:
        """Find what is new of a series; one that can never be taken is refused."""
        line.known = line.following = None
        try:
            line.known = await self._book.look_up(line.series, engine)
        except UoroError as error:
            if isinstance(error, Unavailable) and not isinstance(error, StreamDamaged):
                raise
            # A stream too many is refused for good, too: waiting for room would hold up every other series.
            tally.refuse(error.code, len(line.series.samples), str(error))
        else:
            line.following = follow(line.known.place, line.series.samples, line.known.kind)

    def _moved_on(self, line: _Line, run: Run, outcomes: Outcomes, tally: Tally) -> bool:
        """Settle a series whose run was told; True if its stream was not where it was thought to be."""
        error = next((outcomes.errors[place] for place in run.places if place in outcomes.errors), None)
        if error is None:
            self._settle(line, tally)
            return False
        self._book.forget(line.series.fingerprint)
        if isinstance(error, OutOfSequence | UnknownStream):  # a stream that was deleted begins anew
            return True
        tally.refuse(error.code, len(line.series.samples), str(error))
        return False

    def _settle(self, line: _Line, tally: Tally) -> None:
        """What was to be learned of a series is."""
        known, following = line.known, line.following
        assert known is not None and following is not None  # noqa: S101, PT018 - it was followed
        self._book.put(line.series.fingerprint, Known(known.stream, known.kind, following.place))
        tally.outcomes[LEARNED] += len(following.observations) - following.num_missing
        tally.outcomes[MISSING] += following.num_missing
        tally.outcomes[DUPLICATE] += following.num_duplicates
        tally.outcomes[STALE] += following.num_stale
        tally.refuse(InvalidObservation.code, following.num_invalid, "a number or a time is out of range")

    def _tell(self, tally: Tally) -> None:
        for outcome, num in tally.outcomes.items():
            self._meter.ingested(outcome, num)
        for code, num in tally.refusals.items():
            self._meter.rejected(code, num)
