"""What may be asked of the engine that goes through the log, and the future that waits for its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from uoro.domain import Model, Submission
from uoro.errors import UoroError
from uoro.learning.spec import StreamSpec


@dataclass(frozen=True, slots=True)
class ObserveRequest:
    """Observations of any streams; all go into one record."""

    submissions: Sequence[Submission]


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


Request: TypeAlias = ObserveRequest | CreateRequest | DeleteRequest | FreezeRequest | LoadRequest


@dataclass(slots=True)
class Operation:
    """A request on its way; exactly one of `answer` and `fail` takes effect, the first one called."""

    request: Request
    future: Future[Any] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # From here on nobody can cancel it: a client that went away does not undo what it asked for.
        self.future.set_running_or_notify_cancel()

    @property
    def weight(self) -> int:
        """How many observations' place it takes in a queue or a batch."""
        request = self.request
        return max(1, len(request.submissions)) if isinstance(request, ObserveRequest) else 1

    def answer(self, outcome: object) -> None:
        """Complete the future, unless it already is."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: UoroError) -> None:
        """Fail the future, unless it is already complete."""
        if not self.future.done():
            self.future.set_exception(error)
