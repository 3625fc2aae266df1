"""Real-time recurrent learning (Williams & Zipser 1989): the exact gradient, S·P numbers, O(S²·P) a step.

G_{t+1} = J G_t + ∂F/∂θ,   g = ∂ℓ_{t+1}/∂s_{t+1} · G_{t+1}                                          (1)
"""

from __future__ import annotations

import torch
from torch import Tensor

from uoro.learning.reference.cells import Dynamics
from uoro.learning.reference.estimators.protocol import Update, cleared, is_finite, zeros
from uoro.learning.reference.linearization import Linearization


class Rtrl:
    """Memory: influence (S, P)."""

    num_noise = 0

    def __init__(self, cell: Dynamics) -> None:
        self._shape = (cell.state_size, cell.num_parameters)

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
        influence.copy_(torch.addmm(lin.dF_dtheta(), lin.jacobian(), influence))  # (1)
        if not is_finite(influence):
            return cleared(state)
        if dl_ds is None:
            return Update(None)
        grad = dl_ds @ influence
        return Update(grad) if is_finite(grad) else cleared(state)

    def influence_norms(self, state: dict[str, Tensor]) -> dict[str, float]:
        return {"influence": float(torch.linalg.vector_norm(state["influence"]))}
