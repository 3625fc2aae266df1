"""Truncated backpropagation through time, in chunks of T steps (Williams & Peng 1990, with h = h' = T).

Transitions are gathered until there are T. Then the sum of their losses is differentiated through all of
them, θ moves once, and the chunk begins anew; the state runs on, credit does not cross the boundary:

    δ_τ = ∂ℓ_τ/∂s_τ + Jᵀ_{τ+1} δ_{τ+1},   g = Σ_τ δ_τ ∂F_τ/∂θ                                          (1)

Since θ moves only at the end of a chunk, every transition in it was made with the same θ and (1) is exact.
A rolling window, one more common meaning of truncation, would cost T steps a step; this costs O(p) a step in
the mean, all of it at the end of the chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uoro.learning.reference.cells import Dynamics
from uoro.learning.reference.estimators.protocol import Update, cleared, is_finite, zeros
from uoro.learning.reference.linearization import Linearization


class Tbptt:
    """Memory, per step of the chunk: previous (T, S), x (T, I), dl_ds (T, S); and length (1,), steps so far."""

    num_noise = 0

    def __init__(self, cell: Dynamics, *, truncation: int) -> None:
        self.cell = cell
        self.truncation = truncation

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        state = (self.truncation, self.cell.state_size)
        return {"previous": state, "x": (self.truncation, self.cell.input_size), "dl_ds": state, "length": (1,)}

    def init(self, dtype: torch.dtype) -> dict[str, Tensor]:
        return zeros(self.state_shapes(), dtype)

    def update(
        self,
        state: dict[str, Tensor],
        lin: Linearization,
        dl_ds: Tensor | None,
        nu: Tensor | None,  # noqa: ARG002 - the protocol's signature
    ) -> Update:
        step = int(state["length"][0])
        state["previous"][step] = lin.previous
        state["x"][step] = lin.x
        state["dl_ds"][step] = 0.0 if dl_ds is None else dl_ds
        state["length"] += 1
        if step + 1 < self.truncation:
            return Update(None)
        grad = self._backward(state, lin)
        cleared(state)
        return Update(grad) if is_finite(grad) else cleared(state)

    def influence_norms(self, state: dict[str, Tensor]) -> dict[str, float]:  # noqa: ARG002 - the protocol's signature
        return {}

    def _backward(self, state: dict[str, Tensor], lin: Linearization) -> Tensor:
        theta = lin.theta
        grad = torch.zeros_like(theta)[None]
        delta = torch.zeros_like(lin.previous)[None]
        for step in reversed(range(self.truncation)):
            delta = delta + state["dl_ds"][step]
            previous, x = state["previous"][step], state["x"][step]
            lin = self.cell.linearize(theta, previous, x, self.cell.forward(theta, previous, x)[1])
            lin.add_theta_vjp(grad, lin.deltas(delta))
            delta = lin.vjp(delta)
        return grad[0]
