"""What clients asked and what they heard: the history that the judge decides from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """What a client knows of its request."""

    DONE = "done"  # answered
    REFUSED = "refused"  # answered by an error that says that nothing was written
    UNKNOWN = "unknown"  # answered by an error that leaves it open, or not at all


@dataclass(frozen=True, slots=True)
class Posted:
    """One observation of a request. `t` is given once only, so it names this very posting of it."""

    stream: str
    seq: int | None
    value: float
    t: float


@dataclass(eq=False, slots=True)
class Attempt:
    """One request.

    Attributes:
        kind: what was asked.
        posted: the observations, of an observe.
        name: of a snapshot; or the stream that a clone is made as.
        flag: whether to freeze, or to replace.
        spec_seed: of a create.
        file: what is imported.
        began: the world's tick when it was sent, `ended` when its outcome was known.
        is_of_owner: whether it was answered by the server that owned the shard.
        reply: what was answered.
    """

    number: int
    kind: str
    stream: str = ""
    posted: list[Posted] = field(default_factory=list)
    name: str = ""
    flag: bool = False
    spec_seed: int = 0
    file: bytes = b""
    began: int = 0
    ended: float = math.inf
    outcome: Outcome = Outcome.UNKNOWN
    is_of_owner: bool = False
    reply: object = None
    error: Exception | None = None

    def __str__(self) -> str:
        what = " ".join(f"{its.stream}:{its.seq}" for its in self.posted) or f"{self.stream} {self.name}"
        told = type(self.error).__name__ if self.error is not None else self.outcome.value
        return f"#{self.number} {self.kind} {what} [{self.began}, {self.ended}] {told}"
