"""Runs of observations in one compiled call, of one stream or of many, for the streams that have only numbers.

`kernel.numeric.run` and `kernel.alone.run` from outside: what they need to find their way is in a table, one for each
spec, and in a row of words, one for each run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uoro.domain import Observation
from uoro.learning.alone import Alone
from uoro.learning.block import Block, Layout
from uoro.learning.core import CoreShape
from uoro.learning.encoder import fields_of
from uoro.learning.kernel import running
from uoro.learning.kernel.alone import run as alone
from uoro.learning.kernel.numeric import run as mixture
from uoro.learning.kernel.rows import NUM_HEAD
from uoro.learning.kernel.views import Place
from uoro.learning.mixture import Mixture
from uoro.learning.numbers import num_number_targets
from uoro.learning.spec import StreamSpec

FUSED_LEARNERS = ("uoro", "frozen")
"""Learners that are compiled with the rest; few streams ask for the others, or for the lru, and that takes a while."""


class Path(NamedTuple):
    """What is said for the next L observations, (L, T) each."""

    means: np.ndarray
    lowers: np.ndarray
    uppers: np.ndarray


class Table:
    """Where compiled code finds what it needs in the blocks of a spec.

    Attributes:
        address: of the words, which live as long as this.
        is_mixture: whose run it is.
        names: of the F fields, in the kernel's order.
        num_targets: T.
        width: of a row of results.
    """

    __slots__ = ("_words", "address", "is_mixture", "names", "num_targets", "width")

    def __init__(self, spec: StreamSpec, layout: Layout, core: CoreShape, places: np.ndarray) -> None:
        found = {part.name: (offset, part.shape, part.dtype) for part, offset in layout.offsets}

        def place_of(name: str) -> Place:
            return found[name]

        self.is_mixture = spec.aggregation == "boa"
        also = (Mixture if self.is_mixture else Alone).words(spec, place_of)
        fixed = (places, core.sizes, core.rates)
        self._words = running.table(place_of, layout.nbytes, core.seed, fixed, also)
        self.address = int(self._words.ctypes.data)
        self.names = fields_of(spec, "number")
        self.num_targets = num_number_targets(spec)
        self.width = NUM_HEAD + 3 * self.num_targets


class Fused:
    """A stream's block as the compiled run takes it; the block must live as long as this is used."""

    __slots__ = ("address", "table")

    def __init__(self, block: Block, table: Table) -> None:
        self.address = block.address
        self.table = table

    def look_ahead(self, length: int) -> Path:
        """What is said for the next so many observations, each forecast taken for true; it ruins the state."""
        path = Path(*(np.empty((length, self.table.num_targets)) for _ in Path._fields))
        look_ahead = mixture.look_ahead if self.table.is_mixture else alone.look_ahead
        look_ahead(np.uintp(self.address), np.uintp(self.table.address), *path)
        return path


class Run(NamedTuple):
    """Observations that a stream is to take in; whether it learns from them."""

    fused: Fused
    observations: Sequence[Observation]
    learn: bool


def run_each(runs: Sequence[Run]) -> list[np.ndarray | Exception]:
    """Take each run in, in order, no two of one stream.

    Returns for each its rows (N + 1, width), the last with nothing but the prediction for the next observation; or
    what its arithmetic raised, which leaves the state in between.
    """
    calls, rows, _memory = _calls(runs)
    failures: dict[int, Exception] = {}
    for kernel, is_mine in ((mixture, True), (alone, False)):
        places = [i for i, run in enumerate(runs) if run.fused.table.is_mixture == is_mine]
        todo = calls if len(places) == len(runs) else calls[places]
        while len(todo):
            try:
                kernel.run_each(todo)
                break
            except Exception as error:  # noqa: BLE001 - returned: it must not take the other streams with it
                num_over = int(todo[:, running.IS_OVER].sum())
                failures[places[num_over]] = error
                todo, places = todo[num_over + 1 :], places[num_over + 1 :]
    return [failures.get(i, its) for i, its in enumerate(rows)]


def _calls(runs: Sequence[Run]) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """The words of each run, room for the rows of each, and the memory of both, which must be kept until they are done.

    The memory is one array: all values, then all times, whether these are dates, and the rows.
    """
    numbers: list[object] = []
    times: list[object] = []
    dates: list[object] = []
    num_numbers = 0
    for run in runs:
        names = run.fused.table.names
        for its in run.observations:
            x = its.x
            numbers += [x.get(name) for name in names]
            times.append(its.t)
            dates.append(its.is_calendar)
        num_numbers += (len(run.observations) + 1) * run.fused.table.width
    num = len(times)
    end = len(numbers) + 2 * num
    memory = np.array(numbers + times + dates + [math.nan] * num_numbers, dtype=np.float64)
    value = int(memory.ctypes.data)
    time = value + 8 * len(numbers)
    date, row = time + 8 * num, time + 16 * num
    rows: list[np.ndarray] = []
    words: list[tuple[int, ...]] = []
    for run in runs:
        table, num = run.fused.table, len(run.observations)
        num_fields, width = len(table.names), table.width
        words.append((
            run.fused.address, table.address, run.learn, False,
            value, num, num_fields, time, num, date, num, row, num + 1, width,
        ))  # fmt: skip
        size = (num + 1) * width
        value, time, date, row = value + 8 * num * num_fields, time + 8 * num, date + 8 * num, row + 8 * size
        rows.append(memory[end : end + size].reshape(num + 1, width))
        end += size
    return np.array(words, dtype=np.int64), rows, memory


def can_fuse(spec: StreamSpec) -> bool:
    """Whether streams of a spec take this way: there is nothing but numbers, and the core is compiled with them."""
    return (
        spec.cell != "lru"
        and spec.learner.name in FUSED_LEARNERS
        and all(field.type == "number" for field in spec.fields.values())
    )
