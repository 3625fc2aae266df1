"""UORO behind a control variate: SnAp-1 carries what it can of the influence, UORO estimates the remainder (SCIENCE
§3).

With G = ∂s/∂θ, SnAp-1's S (deterministic) and D the blocks of J that tie a unit to itself, R = G - S obeys

    R_{t+1} = J R_t + (J - D) S_t,   R_t = E[s̃_t θ̃_tᵀ]                                                      (1)

    a = J s̃_t,   d = νᵀ (J - D) S_t                                                                         (2)
    g = ∂ℓ_{t+1}/∂s_{t+1} ∂F/∂θ + (Jᵀ ∂ℓ_{t+1}/∂s_{t+1}) S_t + λ (∂ℓ_{t+1}/∂s_{t+1} · a) θ̃_t                 (3)
    s̃_{t+1} = ρ₀ γ a + ρ₁ ν,   θ̃_{t+1} = θ̃_t/ρ₀ + d/ρ₁,   S_{t+1} = D S_t + own part of ∂F/∂θ              (4)

with ρ as in `uoro`. λ = γ = 1 is unbiased. λ = 0 needs no copies and is deterministic: the step just made is exact,
what
lies behind it is SnAp-1's, seen through the whole of J.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uoro.learning.reference.cells import Cell
from uoro.learning.reference.estimators.protocol import Update, cleared, is_finite
from uoro.learning.reference.estimators.uoro import Uoro
from uoro.learning.reference.linearization import Linearization


class UoroRemainder(Uoro):
    """Memory: influence (c, P), S of each parameter on its own unit; s_tilde (k, S), theta_tilde (k, P)."""

    def __init__(self, cell: Cell, *, rank: int = 1, memory_decay: float = 1.0, weight: float = 1.0) -> None:
        super().__init__(cell, rank=rank, memory_decay=memory_decay)
        self.weight = weight
        self._shapes |= {"influence": (cell.num_states, cell.num_parameters)}
        self._by_unit = (cell.num_states, cell.num_gates, cell.hidden_size, -1)

    def update(self, state: dict[str, Tensor], lin: Linearization, dl_ds: Tensor | None, nu: Tensor | None) -> Update:
        s_tilde, theta_tilde, influence = state["s_tilde"], state["theta_tilde"], state["influence"]
        own = lin.own_unit()
        a = lin.jvp(s_tilde) if self.num_noise else s_tilde
        grad = None
        if dl_ds is not None:
            grad = lin.theta_vjp(dl_ds[None])[0] + self._through(lin.vjp(dl_ds[None]), influence)[0]  # (3)
            if self.num_noise:
                grad += self.weight / self.num_noise * torch.mv(a, dl_ds) @ theta_tilde
        if self.num_noise:
            assert nu is not None  # noqa: S101 - num_noise asks for it
            d = self._through(lin.vjp(nu) - self._own(own, nu), influence)  # (2)
            rho_0, rho_1 = self.rho(a, nu, theta_tilde, torch.linalg.vector_norm(d, dim=1))
            s_tilde.copy_(a * (self.memory_decay * rho_0)[:, None] + nu * rho_1[:, None])  # (4)
            theta_tilde.copy_(theta_tilde / rho_0[:, None] + d / rho_1[:, None])
        parts = influence.view(self._by_unit)
        influence.copy_((own[:, :, None, :, None] * parts).sum(1).view(influence.shape))
        lin.add_own_unit(influence)
        is_sound = is_finite(s_tilde) and is_finite(influence) and (grad is None or is_finite(grad))
        return Update(grad) if is_sound else cleared(state)

    def _through(self, w: Tensor, influence: Tensor) -> Tensor:
        """W S (k, P) for rows w (k, S)."""
        c, _, H, _ = self._by_unit
        factors = w.view(len(w), c, 1, H, 1)
        return (factors * influence.view(self._by_unit)).sum(1).reshape(len(w), -1)

    @staticmethod
    def _own(own: Tensor, nu: Tensor) -> Tensor:
        """νᵀ D (k, S)."""
        parts = nu.view(len(nu), len(own), 1, -1)
        return (parts * own).sum(1).reshape(len(nu), -1)
