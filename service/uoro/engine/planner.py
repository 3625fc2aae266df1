"""Decides what becomes of a batch of operations, before anything moves. Pure.

Rules:
1. `seq` given as last + 1, or left out: learned. At or below the last: a duplicate, answered with the kept
   result. Beyond: refused with the expected `seq`.
2. An observation that does not fit its stream's spec is refused by itself and takes no `seq`.
3. An unknown stream is created from its first observation where that is allowed; else refused.
4. The operations of a batch take effect in their order; the observations of one operation are grouped by stream,
   each stream's in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from uoro.domain import Observation, Observed, StreamInfo
from uoro.engine.catalog import Catalog, Draft, Known
from uoro.engine.entries import Create, Delete, Entry, Freeze, Label, Learn, Load
from uoro.engine.operations import (
    CreateRequest,
    DeleteRequest,
    FreezeRequest,
    LoadRequest,
    ObserveRequest,
    Operation,
)
from uoro.errors import (
    OutOfSequence,
    Overloaded,
    StreamDamaged,
    StreamExists,
    UnknownStream,
    UoroError,
)
from uoro.learning.spec import StreamSpec
from uoro.limits import Limits


@dataclass(slots=True)
class Answer:
    """How one operation will be answered once its entries are applied.

    Attributes:
        num_entries: how many entries of the record are its own.
        outcome: of an operation that is not an observe; an error refuses it.
        outcomes: one per submission of an observe; None until it is applied.
        learned: per entry of this operation, the slots in `outcomes` of its observations; empty if it has none.
        streams: per entry, its stream.
        recalled: (slot, stream, seq) of duplicates.
    """

    operation: Operation
    num_entries: int = 0
    outcome: object = None
    outcomes: list[Observed | UoroError | None] = field(default_factory=list)
    learned: list[list[int]] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    recalled: list[tuple[int, str, int]] = field(default_factory=list)

    @property
    def is_observe(self) -> bool:
        """Whether the answer is `outcomes`."""
        return isinstance(self.operation.request, ObserveRequest)


@dataclass(slots=True)
class Plan:
    """What a batch of operations will do."""

    entries: list[Entry]
    answers: list[Answer]
    draft: Draft
    num_observations: int


@dataclass(slots=True)
class _Run:
    """One stream's observations within an operation."""

    known: Known
    spec: StreamSpec
    last_seq: int
    observations: list[Observation]
    slots: list[int]


class Planner:
    """Plans batches against a catalog.

    Args:
        state_bytes: length of the state of a stream of a spec, in bytes; raises InvalidSpec if over the limit.
    """

    def __init__(self, limits: Limits, state_bytes: Callable[[StreamSpec], int], *, auto_create: bool) -> None:
        self._limits = limits
        self._state_bytes = state_bytes
        self._auto_create = auto_create

    def plan(self, operations: list[Operation], catalog: Catalog) -> Plan:
        """Decide a batch; the catalog is not changed."""
        plan = Plan([], [], Draft(catalog), 0)
        for operation in operations:
            answer = Answer(operation)
            first = len(plan.entries)
            request = operation.request
            if isinstance(request, ObserveRequest):
                self._observe(request, answer, plan)
            else:
                try:
                    answer.outcome = self._change(request, plan)
                except UoroError as error:
                    answer.outcome = error
            answer.num_entries = len(plan.entries) - first
            plan.answers.append(answer)
        return plan

    def _observe(self, request: ObserveRequest, answer: Answer, plan: Plan) -> None:
        runs: dict[str, _Run] = {}
        outcomes = answer.outcomes
        for slot, submission in enumerate(request.submissions):
            stream, observation = submission.stream, submission.observation
            try:
                run = runs.get(stream)
                if run is None:
                    run = runs[stream] = self._open(stream, observation, answer, plan)
                seq = observation.seq
                if seq is not None and seq <= run.last_seq:
                    answer.recalled.append((slot, stream, seq))
                    outcomes.append(None)
                    continue
                run.spec.check(observation)
                if seq is not None and seq > run.last_seq + 1:
                    raise OutOfSequence(run.last_seq + 1, seq)
                run.last_seq += 1
                run.observations.append(observation)
                run.slots.append(slot)
                outcomes.append(None)
            except UoroError as error:
                outcomes.append(error)
        for stream, run in runs.items():
            if run.observations:
                plan.entries.append(Learn(stream, run.known.last_seq + 1, _bare(run.observations)))
                answer.learned.append(run.slots)
                answer.streams.append(stream)
                plan.draft.put(stream, replace(run.known, last_seq=run.last_seq))
                plan.num_observations += len(run.observations)

    def _open(self, stream: str, observation: Observation, answer: Answer, plan: Plan) -> _Run:
        known = plan.draft.get(stream)
        if known is None:
            if not self._auto_create:
                raise UnknownStream(stream)
            if observation.seq is not None and observation.seq != 1:
                raise OutOfSequence(1, observation.seq)
            spec = StreamSpec.infer(observation)
            known = self._create(stream, spec, {}, self._state_bytes(spec), plan)
            answer.learned.append([])
            answer.streams.append(stream)
        if known.spec is None or stream in plan.draft.damaged:
            raise StreamDamaged(stream)
        return _Run(known, known.spec, known.last_seq, [], [])

    def _change(
        self,
        request: CreateRequest | DeleteRequest | FreezeRequest | LoadRequest,
        plan: Plan,
    ) -> object:
        draft, stream = plan.draft, request.stream
        known = draft.get(stream)
        if isinstance(request, CreateRequest):
            if known is None:
                self._create(stream, request.spec, request.labels, request.nbytes, plan)
            elif known.spec != request.spec:
                raise StreamExists(stream)
            elif request.labels and known.labels != request.labels:
                plan.entries.append(Label(stream, request.labels))
                draft.put(stream, replace(known, labels=request.labels))
            return draft.describe(stream), known is None
        if isinstance(request, LoadRequest):
            return self._load(request, known, plan)
        if known is None:
            raise UnknownStream(stream)
        if isinstance(request, DeleteRequest):
            plan.entries.append(Delete(stream))
            draft.put(stream, None)
            return None
        if stream in draft.damaged:
            raise StreamDamaged(stream)
        if known.is_frozen != request.is_frozen:
            plan.entries.append(Freeze(stream, request.is_frozen))
            draft.put(stream, replace(known, is_frozen=request.is_frozen))
        return draft.describe(stream)

    def _load(self, request: LoadRequest, known: Known | None, plan: Plan) -> StreamInfo:
        if known is not None and not request.may_replace:
            raise StreamExists(request.stream)
        model = request.model
        loaded = Known(request.spec, model.labels, model.is_frozen, request.last_seq, len(model.state))
        self._make_room(plan.draft, loaded.nbytes - (known.nbytes if known else 0), is_new=known is None)
        plan.entries.append(Load(request.stream, model))
        plan.draft.put(request.stream, loaded)
        return plan.draft.describe(request.stream)

    def _create(self, stream: str, spec: StreamSpec, labels: dict[str, str], nbytes: int, plan: Plan) -> Known:
        self._make_room(plan.draft, nbytes, is_new=True)
        known = Known(spec, labels, is_frozen=False, last_seq=0, nbytes=nbytes)
        plan.entries.append(Create(stream, spec.document(), labels))
        plan.draft.put(stream, known)
        return known

    def _make_room(self, draft: Draft, nbytes: int, *, is_new: bool) -> None:
        limits = self._limits
        if is_new and draft.num_streams >= limits.max_streams:
            raise Overloaded(f"{limits.max_streams} streams exist, which is the limit", retry_after_s=60.0)
        if draft.nbytes + nbytes > limits.memory_budget_bytes:
            raise Overloaded(
                f"the states of all streams would take {draft.nbytes + nbytes} bytes and may take "
                f"{limits.memory_budget_bytes} (UORO_MEMORY_BUDGET_BYTES)",
                retry_after_s=60.0,
            )


def _bare(observations: list[Observation]) -> list[Observation]:
    """The observations without their `seq`: the entry says where they stand."""
    return [o if o.seq is None else msgspec.structs.replace(o, seq=None) for o in observations]
