"""Decides from the history and the disk whether every promise was kept; what is wrong comes out in sentences.

1. Each observation of the ledger was asked for, stands where its sender said, and is there once.
2. What was acknowledged is there, with the very result that a fresh learner comes to; what was refused is not.
3. Requests that followed one another are in that order.
4. Every other change was asked for; each that was acknowledged is there. Models that came in are what they should be.
5. What was read was the truth at that time.
6. The living server, a recovery, and a recovery without the newest generations all end in the ledger's states.
7. Named snapshots that were acknowledged are there, and none of a stream that ended.
8. No part of a server broke or hung.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from store_ground import flip_last_bit

from simulation.attempts import Attempt, Outcome
from simulation.chronicle import NOWHERE, Chronicle, Learnt, Point, tell
from simulation.clients import spec_of
from simulation.disk import is_intact
from simulation.world import Piece
from uoro.domain import Model, Observed
from uoro.engine.entries import Create, Delete, Entry, Freeze, Label, Learn, Load, decode_named
from uoro.engine.loader import Loader
from uoro.engine.meter import SilentMeter
from uoro.engine.outcomes import Outcomes
from uoro.engine.ownership import Ownership
from uoro.engine.recovery import Recovery
from uoro.engine.runner import Runner
from uoro.engine.shelf import Shelf
from uoro.engine.snapshotter import Snapshotter
from uoro.engine.subscriptions import Hub
from uoro.errors import CorruptRecord, UoroError
from uoro.learning.learner import Learner
from uoro.learning.portable import from_safetensors
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits
from uoro.store.memory import MemoryStore
from uoro.store.records import decode_named as unwrap_named


def judge(piece: Piece) -> list[str]:
    """What is wrong; empty if nothing is."""
    verdict = Judgement(piece)
    verdict.of_observations()
    verdict.of_order()
    verdict.of_changes()
    verdict.of_reads()
    verdict.of_states()
    verdict.of_named()
    return verdict.wrong


class Judgement:
    """One piece before the judge."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        self.history = piece.history
        self.chronicle: Chronicle = tell(piece.disk.ledger)
        self.wrong = [f"broken: {why}" for why in piece.broken] + self.chronicle.wrong
        self.results = self.chronicle.results
        self.by_name: dict[float, list[Learnt]] = defaultdict(list)
        for learnt in self.chronicle.learnt:
            assert learnt.observation.t is not None
            self.by_name[learnt.observation.t].append(learnt)
        self.origin: dict[int, Attempt] = {}
        """Who asked for each entry, by its index."""

    # ---------------------------------------------------------------- observations

    def of_observations(self) -> None:
        asked = {}
        for attempt in self.history:
            for posted in attempt.posted:
                asked[posted.t] = (attempt, posted)
            if attempt.kind == "observe":
                self._judge_reply(attempt)
        for name, found in self.by_name.items():
            if len(found) > 1:
                self.wrong.append(f"APPLIED TWICE: {found[0].stream} {[its.seq for its in found]}")
            if name not in asked:
                self.wrong.append(f"nobody posted what {found[0].stream} learned as {found[0].seq}")
                continue
            attempt, posted = asked[name]
            for its in found:
                self.origin[its.index] = attempt
                if (its.stream, its.observation.x) != (posted.stream, {"v": posted.value}):
                    self.wrong.append(f"{attempt}: learned as something else: {its}")
                if posted.seq not in {None, its.seq}:
                    self.wrong.append(f"{attempt}: learned at {its.seq}")
                if attempt.outcome is Outcome.REFUSED:
                    self.wrong.append(f"{attempt}: refused, and learned at {its.seq}")

    def _judge_reply(self, attempt: Attempt) -> None:
        if not isinstance(attempt.reply, Outcomes):
            return
        for posted, outcome in zip(attempt.posted, attempt.reply, strict=True):
            found = self.by_name.get(posted.t, [])
            if isinstance(outcome, UoroError) or outcome.is_duplicate:
                if found:
                    self.wrong.append(f"{attempt}: {posted} was learned, and answered {outcome}")
                if isinstance(outcome, Observed):
                    self._judge_duplicate(attempt, outcome)
            elif not found:
                self.wrong.append(f"LOST: {attempt}: {posted} was acknowledged as {outcome.seq}")
            elif (outcome.stream, outcome.seq) != (found[0].stream, found[0].seq):
                self.wrong.append(f"{attempt}: acknowledged as {outcome.seq}, learned at {found[0].seq}")
            elif outcome.result != found[0].result:
                self.wrong.append(f"{attempt}: the result of {outcome.seq} is not that of a fresh learner")

    def _judge_duplicate(self, attempt: Attempt, outcome: Observed) -> None:
        if outcome.result is not None and outcome.result not in self.results[outcome.stream, outcome.seq]:
            self.wrong.append(f"{attempt}: the kept result of {outcome.seq} was never one")
        if not any(point.last_seq >= outcome.seq for point in self.visible(outcome.stream, attempt)):
            self.wrong.append(f"LOST: {attempt}: {outcome.seq} was called a duplicate")

    def of_order(self) -> None:
        newest: Attempt | None = None
        for index in sorted(self.origin):
            attempt = self.origin[index]
            if newest is not None and attempt.ended < newest.began:
                self.wrong.append(f"OUT OF ORDER: {newest} came before {attempt}")
            if newest is None or attempt.began > newest.began:
                newest = attempt

    # ---------------------------------------------------------------- changes

    def of_changes(self) -> None:
        open_ones = [its for its in self.history if its.outcome is not Outcome.REFUSED]
        for index, (tick, entry) in enumerate(self.chronicle.entries):
            if isinstance(entry, Learn):
                continue
            fitting = [
                its
                for its in open_ones
                if its.began < tick
                and (tick < its.ended or its.outcome is Outcome.UNKNOWN)
                and self._fits(its, entry, index)
            ]
            if not fitting:
                self.wrong.append(f"nobody asked for {type(entry).__name__} of {entry.stream} at {tick}")
                continue
            chosen = min(fitting, key=lambda its: (its.outcome is Outcome.UNKNOWN, its.ended))
            open_ones.remove(chosen)
            self.origin[index] = chosen
        done = [its for its in open_ones if its.outcome is Outcome.DONE]
        for attempt in done:
            if attempt.kind in CHANGES and not self._was_so_already(attempt):
                self.wrong.append(f"LOST: {attempt}")

    def _fits(self, attempt: Attempt, entry: Entry, index: int) -> bool:
        """Whether a request could have made an entry."""
        kind = attempt.kind
        if isinstance(entry, Create | Label):
            return kind == "create" and (attempt.stream, str(attempt.number)) == (
                entry.stream,
                entry.labels.get("made"),
            )
        if isinstance(entry, Delete):
            return kind == "delete" and attempt.stream == entry.stream
        if isinstance(entry, Freeze):
            return kind == "freeze" and (attempt.stream, attempt.flag) == (entry.stream, entry.is_frozen)
        assert isinstance(entry, Load)
        if kind == "import":
            return attempt.stream == entry.stream and from_safetensors(attempt.file).state == entry.model.state
        loaded = self.chronicle.points[entry.stream]
        point = next(its for its in loaded if its.index == index)
        if kind == "clone":
            return attempt.name == entry.stream and any(map(point.is_like, self.visible(attempt.stream, attempt)))
        return (
            kind == "restore"
            and attempt.stream == entry.stream
            and any(map(point.is_like, self.kept(attempt.stream, attempt.name, attempt.began, attempt.ended)))
        )

    def _was_so_already(self, attempt: Attempt) -> bool:
        """Whether a change that made no entry had none to make."""
        seen = self.visible(attempt.stream, attempt)
        if attempt.kind == "create":
            return any(point.spec == spec_of(attempt.spec_seed) for point in seen)
        return attempt.kind == "freeze" and any(point.spec and point.is_frozen == attempt.flag for point in seen)

    # ---------------------------------------------------------------- what was to be seen

    def visible(self, stream: str, attempt: Attempt) -> list[Point]:
        """What a request may have seen of a stream: all that was written meanwhile, and what stood when it was sent.

        What stood is the newest that somebody had been told of before, or anything since.
        """
        points = [its for its in self.chronicle.points.get(stream, [NOWHERE]) if its.tick < attempt.ended]
        told = 0
        for place, point in enumerate(points):
            origin = self.origin.get(point.index)
            if origin is not None and origin.outcome is Outcome.DONE and origin.ended < attempt.began:
                told = place
        return points[told:]

    def kept(self, stream: str, name: str, began: float, ended: float) -> Iterator[Point]:
        """What a named snapshot may be for one who reads it between two ticks."""
        saves = [its for its in self.history if its.kind == "save" and (its.stream, its.name) == (stream, name)]
        saves = [its for its in saves if its.began < ended and its.outcome is not Outcome.REFUSED]
        deleted = self.chronicle.last_delete(stream, self._told_before(stream, began))
        for save in saves:
            is_replaced = any(
                save.ended < its.began and its.ended < began and its.outcome is Outcome.DONE for its in saves
            )
            if not is_replaced:
                yield from (its for its in self.visible(stream, save) if its.spec and its.index > deleted)

    def _told_before(self, stream: str, began: float) -> float:
        """A tick before which everything about the stream's deletion was known to somebody."""
        told = [
            tick + 1
            for index, (tick, entry) in enumerate(self.chronicle.entries)
            if isinstance(entry, Delete)
            and entry.stream == stream
            and (origin := self.origin.get(index)) is not None
            and origin.outcome is Outcome.DONE
            and origin.ended < began
        ]
        return max(told, default=0)

    def of_reads(self) -> None:
        for attempt in self.history:
            if attempt.outcome is not Outcome.DONE or not attempt.is_of_owner:
                continue
            if attempt.kind == "export":
                assert isinstance(attempt.reply, bytes)
                state = from_safetensors(attempt.reply).state
                if all(state != point.state for point in self.visible(attempt.stream, attempt)):
                    self.wrong.append(f"{attempt}: what was exported was never the state")
            elif attempt.kind == "results":
                assert isinstance(attempt.reply, list)
                for result in attempt.reply:
                    if result not in self.results[attempt.stream, result.seq]:
                        self.wrong.append(f"{attempt}: the result of {result.seq} was never one")

    # ---------------------------------------------------------------- the end

    def of_states(self) -> None:
        server, disk = self.piece.server, self.piece.disk
        if server is None:
            self.wrong.append("in the end nobody serves")
        else:
            self._compare("live", server.engine.runner.shelf)
            states = dict(server.engine.catalog)
            for stream, known in states.items():
                last = self.chronicle.last(stream)
                if (known.spec, known.last_seq, known.is_frozen) != (last.spec, last.last_seq, last.is_frozen):
                    self.wrong.append(f"the catalog says of {stream} {known.last_seq}, the ledger {last.last_seq}")
        self._compare_recovered("recovered")
        for stream, slots in disk.shelf.generations.items():
            if len(slots) == 2 and all(is_intact(slot, stream) for slot in slots):
                slots[0] = flip_last_bit(slots[0])
        self._compare_recovered("recovered without the newest generations")

    def _compare_recovered(self, what: str) -> None:
        try:
            shelf, damaged = recovered(MemoryStore(self.piece.disk.shelf))
        except CorruptRecord as error:
            self.wrong.append(f"{what}: the log cannot be read: {error}")
            return
        self._compare(what, shelf)
        if damaged:
            self.wrong.append(f"LOST: {what}: set aside: {sorted(damaged)}")

    def _compare(self, what: str, shelf: Shelf) -> None:
        expected = {stream: points[-1] for stream, points in self.chronicle.points.items() if points[-1].spec}
        if set(shelf.streams) != set(expected):
            self.wrong.append(f"{what}: streams {sorted(shelf.streams)}, the ledger has {sorted(expected)}")
        for stream in sorted(set(shelf.streams) & set(expected)):
            resident, point = shelf.streams[stream], expected[stream]
            learner = Learner.new(resident.spec) if resident.is_new else resident.learner
            if learner is None:
                self.wrong.append(f"{what}: {stream} is {'cold' if resident.is_cold else 'set aside'}")
                continue
            if learner.seq != point.last_seq:
                self.wrong.append(f"{what}: {stream} ends at {learner.seq}, the ledger at {point.last_seq}")
            elif learner.dump() != point.state:
                self.wrong.append(f"{what}: the state of {stream} is not that of a fresh learner")
            if (resident.spec, resident.labels, resident.is_frozen) != (point.spec, point.labels, point.is_frozen):
                self.wrong.append(f"{what}: spec, labels or freeze of {stream} differ")

    def of_named(self) -> None:
        disk = self.piece.disk
        end = math.inf
        for stream, named in disk.shelf.named.items():
            for name, raw in named.items():
                model = decode_named(unwrap_named(raw, stream, name)).model
                if not any(_is_of(model, its) for its in self.kept(stream, name, end, end)):
                    self.wrong.append(f"the named snapshot {name} of {stream} is none that may be there")
        for save in self.history:
            if save.kind == "save" and save.outcome is Outcome.DONE:
                deleted = self.chronicle.last_delete(save.stream, end)
                seen = self.visible(save.stream, save)
                if all(its.index > deleted for its in seen) and save.name not in disk.shelf.named.get(save.stream, {}):
                    self.wrong.append(f"LOST: {save}: the named snapshot")


def recovered(store: MemoryStore) -> tuple[Shelf, set[str]]:
    """Every stream that a new server would have, brought into memory, and those it would set aside."""
    recovery = Recovery.begin(store, 0.0)
    damaged = set(recovery.catalog.damaged)
    runner = Runner(damaged, SilentMeter(), Hub(1, 1), Limits(), lambda _: None, lambda: None)
    runner.begin(recovery.shelf, recovery.bounds.first - 1)
    recovery.follow(runner.replay)
    snapshotter = Snapshotter(store, Ownership(store, "judge", lambda: None), runner, SilentMeter(), Limits(), float)
    loader = Loader(store, runner, snapshotter, SilentMeter())
    loader.begin()
    while runner.apply_once(0.0) or loader.load_once(0.0):
        pass
    return runner.shelf, damaged | recovery.unreadable


CHANGES = {"create", "delete", "freeze", "restore", "import", "clone"}


def _is_of(model: Model, point: Point) -> bool:
    return (StreamSpec.parse(model.spec), model.labels, model.is_frozen, model.state) == (
        point.spec,
        point.labels,
        point.is_frozen,
        point.state,
    )
