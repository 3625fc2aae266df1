"""Estimators of ∂ℓ/∂θ for the recurrent part, each a pair (init, update) over an explicit state."""

from __future__ import annotations

from uoro.learning.cells import Cell
from uoro.learning.estimators.frozen import Frozen
from uoro.learning.estimators.protocol import Estimator, Update
from uoro.learning.estimators.rtrl import Rtrl
from uoro.learning.estimators.snap1 import Snap1
from uoro.learning.estimators.tbptt import Tbptt
from uoro.learning.estimators.uoro import Uoro
from uoro.learning.spec import LearnerSpec

__all__ = ["Estimator", "Frozen", "Rtrl", "Snap1", "Tbptt", "Uoro", "Update", "make_estimator"]


def make_estimator(spec: LearnerSpec, cell: Cell) -> Estimator:
    """The estimator that a spec names, for a cell."""
    match spec.name:
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
