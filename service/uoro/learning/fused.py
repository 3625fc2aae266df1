"""A run of observations in one compiled call, for the streams that have only numbers.

`kernel.numeric.run` and `kernel.alone.run`, bound to a learner's parts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from uoro.learning.alone import Alone
from uoro.learning.kernel.alone import run as alone
from uoro.learning.kernel.numeric import run as mixture
from uoro.learning.kernel.running import Account, Core
from uoro.learning.mixture import Mixture
from uoro.learning.spec import StreamSpec

FUSED_LEARNERS = ("uoro", "frozen")
"""Learners that are compiled with the rest; few streams ask for the others, or for the lru, and that takes a while."""


class Path(NamedTuple):
    """What is said for the next L observations, (L, T) each."""

    means: np.ndarray
    lowers: np.ndarray
    uppers: np.ndarray


class Fused:
    """A learner's parts as the compiled run takes them."""

    __slots__ = ("_account", "_core", "_numbers")

    def __init__(self, core: Core, numbers: Mixture | Alone, account: Account) -> None:
        self._core, self._numbers, self._account = core, numbers, account

    def run(self, values: np.ndarray, times: np.ndarray, dates: np.ndarray, out: np.ndarray, *, learn: bool) -> int:
        """Take in values (N, F) at times (N,), out (N + 1, width) the rows; returns how many before a path is due."""
        core, numbers, account = self._core, self._numbers, self._account
        if isinstance(numbers, Mixture):
            taken: int = mixture.run(
                core, numbers.state, numbers.said, account, numbers.kind, values, times, dates, learn, out
            )
            return taken
        alone.run(core, numbers.state, account, numbers.run_kind, values, times, dates, learn, out)
        return len(values)

    def look_ahead(self, length: int) -> Path:
        """What is said for the next so many observations, each forecast taken for true; it ruins the state."""
        core, numbers = self._core, self._numbers
        path = Path(*(np.empty((length, numbers.num)) for _ in Path._fields))
        if isinstance(numbers, Mixture):
            mixture.look_ahead(core, numbers.state, numbers.said, numbers.kind, *path)
        else:
            alone.look_ahead(core, numbers.state, numbers.run_kind, *path)
        return path


def can_fuse(spec: StreamSpec) -> bool:
    """Whether streams of a spec take this way: there is nothing but numbers, and the core is compiled with them."""
    return (
        spec.cell != "lru"
        and spec.learner.name in FUSED_LEARNERS
        and all(field.type == "number" for field in spec.fields.values())
    )
