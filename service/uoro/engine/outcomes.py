"""What became of the observations of one request: kept as runs of results, read one by one only where asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from uoro.domain import Observed, Result
from uoro.errors import UoroError
from uoro.learning.results import Results


@dataclass(slots=True, eq=False)
class Learned:
    """Observations of one stream that a request had learned.

    Attributes:
        first_seq: place of the first in its stream; the others follow.
        places: where in the request each stood, ascending.
        parts: their results, in order, as far as they are applied.
    """

    stream: str
    first_seq: int
    places: Sequence[int]
    parts: list[Results] = field(default_factory=list)

    @property
    def last_seq(self) -> int:
        """Place of the last in its stream."""
        return self.first_seq + len(self.places) - 1

    def __iter__(self) -> Iterator[tuple[int, Observed]]:
        results = (result for part in self.parts for result in part)
        for place, result in zip(self.places, results, strict=False):
            yield place, Observed(self.stream, result.seq, False, result)

    def newest(self) -> Result | None:
        """The last result."""
        return self.parts[-1].newest() if self.parts else None


class Outcomes(Sequence[Observed | UoroError]):
    """One outcome per observation of a request, in the request's order.

    Attributes:
        learned: by stream and the request's order.
        recalled: duplicates, by their place in the request.
        errors: of those that were refused, by their place in the request.
    """

    __slots__ = ("_all", "errors", "learned", "recalled")

    def __init__(self) -> None:
        self.learned: list[Learned] = []
        self.recalled: dict[int, Observed] = {}
        self.errors: dict[int, UoroError] = {}
        self._all: list[Observed | UoroError] | None = None

    @property
    def num_learned(self) -> int:
        """How many were learned."""
        return sum(len(learned.places) for learned in self.learned)

    @property
    def is_any_told(self) -> bool:
        """Whether any observation was learned or recalled."""
        return bool(self.learned or self.recalled)

    def __len__(self) -> int:
        return self.num_learned + len(self.recalled) + len(self.errors)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 - Sequence's own
        if self._all is None:
            by_place: dict[int, Observed | UoroError] = {**self.recalled, **self.errors}
            for learned in self.learned:
                by_place.update(learned)
            self._all = [by_place[place] for place in sorted(by_place)]
        return self._all[index]

    def only(self) -> Observed | UoroError:
        """The outcome of a request of one observation."""
        for learned in self.learned:
            result = learned.newest()
            assert result is not None  # noqa: S101 - it is asked for after the answer
            return Observed(learned.stream, result.seq, False, result)
        if self.recalled:
            return next(iter(self.recalled.values()))
        return next(iter(self.errors.values()))

    def set_aside(self, learned: Learned, error: UoroError) -> None:
        """A run could not be learned after all; told once or for each of its turns."""
        if learned in self.learned:
            self.learned.remove(learned)
            self.errors.update(dict.fromkeys(learned.places, error))

    def mean_loss(self) -> float | None:
        """Mean over the learned observations whose prediction has a loss; None if there is none."""
        total, num = 0.0, 0
        for learned in self.learned:
            for part in learned.parts:
                losses = part.losses
                known = losses[losses == losses]  # noqa: PLR0124 - NaN is what does not equal itself
                total += float(known.sum())
                num += len(known)
        return total / num if num else None

    def newest(self) -> Result | None:
        """The result of the last observation of the request that has one."""
        found: tuple[int, Result | None] = (-1, None)
        for place, observed in self.recalled.items():
            if observed.result is not None and place > found[0]:
                found = place, observed.result
        last = max(self.learned, key=lambda learned: learned.places[-1], default=None)
        return found[1] if last is None or last.places[-1] < found[0] else last.newest()
