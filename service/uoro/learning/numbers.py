"""The number targets of a stream: what their forecast is asked, whoever makes it, and what a spec says of them."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from uoro.learning.kernel.numeric import numbers, seasons
from uoro.learning.kernel.numeric.statistics import LAST
from uoro.learning.spec import StreamSpec


class _State(Protocol):
    """What the kernel's states of numbers have in common."""

    @property
    def stats(self) -> np.ndarray: ...
    @property
    def clock(self) -> np.ndarray: ...


class NumberTargets:
    """All number targets of a stream, bound to its block: `mixture` and `alone` forecast them.

    Attributes:
        state: views of the block.
    """

    state: _State

    @property
    def last(self) -> np.ndarray:
        """(F,) newest known value of each number field, NaN before the first."""
        return self.state.stats[:, LAST]

    @property
    def next_t(self) -> float | None:
        """When the next observation is due, in epoch seconds; None without timestamps."""
        t = float(seasons.due(self.state.clock))
        return None if math.isnan(t) else t

    @property
    def is_calendar(self) -> bool:
        """Whether the newest timestamp was a date."""
        return bool(self.state.clock[seasons.IS_CALENDAR])


def loss_of(spec: StreamSpec) -> str:
    """The loss of number targets that a spec means."""
    return "huber" if spec.loss in {"auto", "categorical"} else spec.loss


def num_number_targets(spec: StreamSpec) -> int:
    """T, how many number fields are predicted."""
    return sum(field.type == "number" and field.role == "target" for field in spec.fields.values())


def season_of(spec: StreamSpec) -> int:
    """The spec's season in the kernel's code."""
    if spec.season == "auto":
        return numbers.AUTO
    return numbers.NONE if spec.season == "none" else spec.season
