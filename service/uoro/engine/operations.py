"""What may be asked of the engine that goes through the log, and the future that waits for its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias

from uoro.domain import Model, Run
from uoro.engine.promise import Promise
from uoro.errors import UoroError
from uoro.learning.spec import StreamSpec


@dataclass(frozen=True, slots=True)
class ObserveRequest:
    """Observations of any streams, a run for each; all go into one record."""

    runs: Sequence[Run]

    @property
    def num_observations(self) -> int:
        """Of all runs."""
        return sum([len(run.observations) for run in self.runs])

    @property
    def streams(self) -> list[str]:
        """Whose they are."""
        return [run.stream for run in self.runs]


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A new stream; `nbytes` is the length of its state."""

    stream: str
    spec: StreamSpec
    labels: dict[str, str]
    nbytes: int


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """Forget a stream."""

    stream: str


@dataclass(frozen=True, slots=True)
class FreezeRequest:
    """Stop or resume learning."""

    stream: str
    is_frozen: bool


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A stream from a model that was checked: an import, a restored snapshot, or a clone."""

    stream: str
    model: Model
    spec: StreamSpec
    last_seq: int
    may_replace: bool


MAX_LIVE_OBSERVATIONS = 16
"""A request with more than these is back-fill: it goes behind live ones of other streams."""

Request: TypeAlias = ObserveRequest | CreateRequest | DeleteRequest | FreezeRequest | LoadRequest


class Operation:
    """A request on its way; exactly one of `answer` and `fail` takes effect, the first one called.

    Attributes:
        future: nobody can cancel it: a client that went away does not undo what it asked for.
        weight: how many observations' place it takes in a queue or a batch.
    """

    __slots__ = ("future", "request", "weight")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.future: Future[Any] = Promise()
        self.weight = max(1, request.num_observations) if isinstance(request, ObserveRequest) else 1

    @property
    def is_bulk(self) -> bool:
        """Whether it may wait for live ones."""
        return self.weight > MAX_LIVE_OBSERVATIONS

    @property
    def streams(self) -> list[str]:
        """The streams that it is about."""
        request = self.request
        return request.streams if isinstance(request, ObserveRequest) else [request.stream]

    def answer(self, outcome: object) -> None:
        """Complete the future, unless it already is."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: UoroError) -> None:
        """Fail the future, unless it is already complete."""
        if not self.future.done():
            self.future.set_exception(error)
