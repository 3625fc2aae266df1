"""SnAp-1, the sparse one-step approximation (Menick et al. 2020, arXiv 2006.07232).

Of G = ∂s/∂θ only each parameter's effect on its own unit is kept, c numbers per parameter:

    S_{t+1} = D S_t + I_{t+1}       D: the blocks of J that tie a unit to itself; I: of ∂F/∂θ, all of it   (1)
    g = ∂ℓ_{t+1}/∂s_{t+1} · S_{t+1}                                                                       (2)

Deterministic and O(p); biased, except where units are not connected to each other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uoro.learning.reference.cells import Cell
from uoro.learning.reference.estimators.protocol import Update, cleared, is_finite, zeros
from uoro.learning.reference.linearization import Linearization


class Snap1:
    """Memory: influence (c, P)."""

    num_noise = 0

    def __init__(self, cell: Cell) -> None:
        self._shape = (cell.num_states, cell.num_parameters)
        self._view = (cell.num_states, cell.num_gates, cell.hidden_size, -1)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"influence": self._shape}

    def init(self, dtype: torch.dtype) -> dict[str, Tensor]:
        return zeros(self.state_shapes(), dtype)

    def update(
        self,
        state: dict[str, Tensor],
        lin: Linearization,
        dl_ds: Tensor | None,
        nu: Tensor | None,  # noqa: ARG002 - the protocol's signature
    ) -> Update:
        influence = state["influence"]
        parts = influence.view(self._view)
        own = lin.own_unit()[:, :, None, :, None]
        rolled = (own * parts).sum(1)
        influence.copy_(rolled.view(self._shape))
        lin.add_own_unit(influence)  # (1)
        if not is_finite(influence):
            return cleared(state)
        if dl_ds is None:
            return Update(None)
        grad = (dl_ds.view(len(parts), 1, -1, 1) * parts).sum(0).reshape(-1)  # (2)
        return Update(grad) if is_finite(grad) else cleared(state)

    def influence_norms(self, state: dict[str, Tensor]) -> dict[str, float]:
        return {"influence": float(torch.linalg.vector_norm(state["influence"]))}
