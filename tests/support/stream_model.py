"""What the contract says of streams, in a few lines: the judge of lives that the real service leads.

A stream's model is a function of its past, so its past is all that is remembered of it: two streams of the same past
must speak alike, whichever of them was cloned, restored, imported, or simply fed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

Past = tuple[object, ...]

X = {
    "number": {"v": 1.5},
    "other number": {"v": -3.25},
    "both": {"v": 2, "k": "a"},
    "category": {"k": "b"},
    "missing": {"v": None, "k": None},
    "nothing": {},
    "unknown field": {"w": 1},
    "wrong type": {"v": "a"},
    "no value": {"v": [1]},
}
"""Observations by kind. The last three do not fit the small spec; the last fits none, and is refused by the API."""

UNFIT = ("unknown field", "wrong type")
UNREADABLE = "no value"


@dataclass(frozen=True)
class Given:
    """An observation that is sent: its kind, and its `seq` relative to the next one; None sends none."""

    kind: str
    offset: int | None

    def document(self, last_seq: int) -> dict[str, Any]:
        """As JSON, for a stream that is at `last_seq` when it comes."""
        seq = {} if self.offset is None else {"seq": max(1, last_seq + 1 + self.offset)}
        return {"x": X[self.kind], **seq}


@dataclass(frozen=True)
class Stream:
    """A stream as it must be."""

    seed: int
    labels: dict[str, str]
    is_frozen: bool = False
    last_seq: int = 0
    past: Past = ()
    snapshots: dict[str, Stream] = field(default_factory=dict)

    @classmethod
    def new(cls, seed: int, labels: dict[str, str]) -> Stream:
        """As it begins."""
        return cls(seed, labels, past=(seed,))

    def model(self) -> Stream:
        """What a file, a clone or a snapshot takes of it."""
        return replace(self, snapshots={})

    def after(self, kind: str) -> Stream:
        """One observation later."""
        past = (hash(self.past), kind, self.is_frozen)
        return replace(self, last_seq=self.last_seq + 1, past=past)


def outcome(stream: Stream | None, given: Given) -> tuple[str, Stream | None]:
    """What becomes of one observation, and of its stream: "accepted", "duplicate", or a code."""
    if given.kind == UNREADABLE:
        return "invalid_observation", stream
    if stream is None:
        return "unknown_stream", None
    seq = given.document(stream.last_seq).get("seq")
    if seq is not None and seq <= stream.last_seq:
        return "duplicate", stream
    if given.kind in UNFIT:
        return "invalid_observation", stream
    if seq is not None and seq > stream.last_seq + 1:
        return "out_of_sequence", stream
    return "accepted", stream.after(given.kind)
