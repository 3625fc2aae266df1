"""What a worker does in its turn: the pieces of some streams, each stream's in order, what can be in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from uoro.domain import Observed
from uoro.engine.entries import Delete, Learn
from uoro.engine.meter import Meter
from uoro.engine.pieces import Call, Piece, Step, deal, grouped, joined
from uoro.engine.residency import Residency
from uoro.engine.shelf import Shelf, Stream
from uoro.learning.learner import Learner
from uoro.learning.results import Results


class Turns:
    """Does turns; no lock is held meanwhile, since a stream's lane is with one worker.

    Args:
        residency: asked whether there is room for the learner of a stream that saw nothing yet.
        damaged: streams that are set aside; kept up to date here.
        on_deleted: called with the id of a stream that ended.

    Attributes:
        num_replayed: observations that were replayed.
    """

    def __init__(
        self,
        shelf: Shelf,
        residency: Residency,
        damaged: set[str],
        meter: Meter,
        on_deleted: Callable[[str], None],
    ) -> None:
        self.num_replayed = 0
        self._shelf = shelf
        self._residency = residency
        self._damaged = damaged
        self._meter = meter
        self._on_deleted = on_deleted

    def do(self, turn: Sequence[tuple[str, Sequence[Piece]]]) -> tuple[list[int], list[tuple[Learn, Results]]]:
        """Do the pieces of different streams.

        Returns how many of each stream's, fewer where the learner is not here; and what was learned, for subscribers.
        """
        told: list[tuple[Learn, Results]] = []
        groups = [grouped(pieces) for _, pieces in turn]
        num_done = [0] * len(turn)
        going, rank = list(range(len(turn))), 0
        while going:
            runs: list[list[Step]] = []
            going = [
                place for place in going if rank < len(groups[place]) and self._can(turn[place][0], groups[place][rank])
            ]
            for place in going:
                group = groups[place][rank]
                if isinstance(group, Call):
                    group.do(None)
                    num_done[place] += 1
                    continue
                num_done[place] += len(group)
                if isinstance(group[0].entry, Learn):
                    runs.append(group)
                else:
                    self._apply(turn[place][0], group[0])
            if runs:
                told += self._learn(runs)
            rank += 1
        return num_done, told

    def _can(self, stream: str, group: list[Step] | Call) -> bool:
        """Whether a turn can go on: the learner is here, or there is none to be brought, or none is needed."""
        its = self._shelf.streams.get(stream)
        if its is None or not its.is_cold or not (group if isinstance(group, Call) else group[0]).needs_learner:
            return True
        if not its.is_new or not self._residency.has_room(its.nbytes):
            return False
        its.warm(Learner.new(its.spec))
        return True

    def _apply(self, stream: str, step: Step) -> None:
        """Do a step that learns nothing."""
        entry = step.entry
        if entry is None:
            self._recall(stream, step)
            return
        self._shelf.take(entry, step.record.position)
        self._mark(stream)
        if isinstance(entry, Delete) and step.owed.answer is not None:  # recovery looks after those it replays
            self._meter.forgot([stream])
            self._on_deleted(stream)

    def _learn(self, runs: list[list[Step]]) -> list[tuple[Learn, Results]]:
        """Learn runs of different streams, each the entries of one or several records in a row."""
        entries = [(joined(run), run[-1].record.position) for run in runs]
        start = time.perf_counter()
        found = self._shelf.learn_each(entries)
        duration_s = (time.perf_counter() - start) / sum(len(entry.observations) for entry, _ in entries)
        told: list[tuple[Learn, Results]] = []
        for run, (entry, _), results in zip(runs, entries, found, strict=True):
            self._mark(entry.stream)
            if run[0].owed.answer is None:
                self.num_replayed += len(results or ())
                continue
            if results is not None:
                self._tell(entry, self._shelf.streams[entry.stream], results, duration_s)
                told.append((entry, results))
            deal(run, results)
        return told

    def _mark(self, stream: str) -> None:
        """Keep in step which streams are set aside."""
        its = self._shelf.streams.get(stream)
        if its is not None and its.is_damaged:
            self._damaged.add(stream)
        elif stream in self._damaged:
            self._damaged.discard(stream)

    def _tell(self, entry: Learn, its: Stream, results: Results, duration_s: float) -> None:
        skill, num_resets = its.health()
        losses = results.losses.tolist()
        self._meter.learned(entry.stream, entry.observations, results, losses, skill, duration_s)
        if num_resets > its.num_resets:
            self._meter.numeric_reset(num_resets - its.num_resets)
            its.num_resets = num_resets

    def _recall(self, stream: str, step: Step) -> None:
        its = self._shelf.streams.get(stream)
        learner = its.learner if its is not None else None
        assert step.owed.answer is not None  # noqa: S101 - duplicates are not replayed
        for place, seq in step.recalled:
            result = learner.result(seq) if learner else None
            step.owed.answer.outcomes.recalled[place] = Observed(stream, seq, True, result)
