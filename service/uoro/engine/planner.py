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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from uoro.domain import Observation, Run, StreamInfo
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
from uoro.engine.outcomes import Learned, Outcomes
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
        outcome: of an operation that is not an observe; an error refuses it.
        outcomes: of an observe; what is learned is filled in as it is applied.
        entries: its part of the record: per entry, the run that it learns, or None.
        recalled: (place, stream, seq) of duplicates.
    """

    operation: Operation
    outcome: object = None
    outcomes: Outcomes = field(default_factory=Outcomes)
    entries: list[Learned | None] = field(default_factory=list)
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
            request = operation.request
            if isinstance(request, ObserveRequest):
                for run in request.runs:
                    self._observe(run, answer, plan)
            else:
                first = len(plan.entries)
                try:
                    answer.outcome = self._change(request, plan)
                except UoroError as error:
                    answer.outcome = error
                answer.entries = [None] * (len(plan.entries) - first)
            plan.answers.append(answer)
        return plan

    def _observe(self, run: Run, answer: Answer, plan: Plan) -> None:
        known, start = self._open(run, answer, plan)
        if known is None:
            return
        assert known.spec is not None  # noqa: S101 - one without is refused when it is opened
        observations, places = run.observations, run.places
        if start or not is_plain(observations, known.spec, known.last_seq + 1):
            observations, places = _sift(run, start, known.spec, known.last_seq, answer)
        if observations:
            learned = Learned(run.stream, known.last_seq + 1, places)
            answer.outcomes.learned.append(learned)
            answer.entries.append(learned)
            plan.entries.append(Learn(run.stream, learned.first_seq, _bare(observations)))
            plan.draft.advance(run.stream, known, learned.last_seq)
            plan.num_observations += len(observations)

    def _open(self, run: Run, answer: Answer, plan: Plan) -> tuple[Known | None, int]:
        """The run's stream, and which observation of the run is the first that it can have.

        A stream that does not exist begins with the first observation that it can be created from.
        """
        stream = run.stream
        known = plan.draft.get(stream)
        start = 0
        if known is None:
            for start, observation in enumerate(run.observations):
                try:
                    known = self._begin(stream, observation, plan)
                except UoroError as error:
                    answer.outcomes.errors[run.places[start]] = error
                else:
                    answer.entries.append(None)
                    return known, start
        elif known.spec is None or stream in plan.draft.damaged:
            answer.outcomes.errors.update(dict.fromkeys(run.places, StreamDamaged(stream)))
            known = None
        return known, start

    def _begin(self, stream: str, observation: Observation, plan: Plan) -> Known:
        if not self._auto_create:
            raise UnknownStream(stream)
        if observation.seq is not None and observation.seq != 1:
            raise OutOfSequence(1, observation.seq)
        spec = StreamSpec.infer(observation)
        return self._create(stream, spec, {}, self._state_bytes(spec), plan)

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


def is_plain(observations: Sequence[Observation], spec: StreamSpec, next_seq: int) -> bool:
    """Whether all fit the spec and come in sequence; False also where only a closer look can tell."""
    kinds = spec.kinds
    for seq, observation in enumerate(observations, next_seq):
        if observation.seq is not None and observation.seq != seq:
            return False
        for name, value in observation.x.items():
            if value.__class__ is not kinds.get(name) and (value is not None or name not in kinds):
                return False
    return True


def _sift(run: Run, start: int, spec: StreamSpec, last_seq: int, answer: Answer) -> tuple[list[Observation], list[int]]:
    """What is learned of a run, and where in the request it stood; the rest is refused or recalled, one by one."""
    taken: list[Observation] = []
    places: list[int] = []
    for observation, place in zip(run.observations[start:], run.places[start:], strict=True):
        seq, next_seq = observation.seq, last_seq + len(taken) + 1
        if seq is not None and seq < next_seq:
            answer.recalled.append((place, run.stream, seq))
            continue
        try:
            spec.check(observation)
            if seq is not None and seq > next_seq:
                raise OutOfSequence(next_seq, seq)
        except UoroError as error:
            answer.outcomes.errors[place] = error
        else:
            taken.append(observation)
            places.append(place)
    return taken, places


def _bare(observations: list[Observation]) -> list[Observation]:
    """The observations without their `seq`: the entry says where they stand."""
    return [o if o.seq is None else Observation(o.x, o.t, None, o.is_calendar) for o in observations]
