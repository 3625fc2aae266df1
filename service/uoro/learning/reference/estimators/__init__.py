"""Estimators of ∂ℓ/∂θ for the recurrent part, each a pair (init, update) over an explicit state."""

from __future__ import annotations

from uoro.errors import InvalidSpec
from uoro.learning.reference.cells import Cell
from uoro.learning.reference.estimators.frozen import Frozen
from uoro.learning.reference.estimators.protocol import Estimator, Update
from uoro.learning.reference.estimators.remainder import UoroRemainder
from uoro.learning.reference.estimators.rtrl import Rtrl
from uoro.learning.reference.estimators.snap1 import Snap1
from uoro.learning.reference.estimators.tbptt import Tbptt
from uoro.learning.reference.estimators.uoro import Uoro
from uoro.learning.spec import LearnerSpec

__all__ = ["Estimator", "Frozen", "Rtrl", "Snap1", "Tbptt", "Uoro", "UoroRemainder", "Update", "make_estimator"]


def make_estimator(spec: LearnerSpec, cell: Cell) -> Estimator:
    """The estimator that a spec names, for a cell."""
    match spec.name:
        case "uoro" if spec.control_variate == "snap1":
            if spec.weight == "auto":
                raise InvalidSpec("the reference takes no weight from the data; only the kernel does")
            rank = spec.rank if spec.weight > 0 else 0
            return UoroRemainder(cell, rank=rank, memory_decay=spec.memory_decay, weight=spec.weight)
        case "uoro":
            return Uoro(cell, rank=spec.rank, memory_decay=spec.memory_decay)
        case "snap1":
            return Snap1(cell)
        case "rtrl":
            return Rtrl(cell)
        case "tbptt":
            return Tbptt(cell, truncation=spec.truncation)
        case "frozen":
            return Frozen()
