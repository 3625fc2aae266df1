"""Unbiased Online Recurrent Optimization (Tallec & Ollivier 2017, arXiv 1702.05043), k copies averaged.

G_t = ∂s_t/∂θ is carried as E[s̃_t θ̃_tᵀ], one column and one row. A step, in this order (§3.1, Algorithm 1):

    a  = J s̃_t                                              exact Jacobian-vector product              (1)
    g  = (∂ℓ_{t+1}/∂s_{t+1} · a) θ̃_t + ∂ℓ_{t+1}/∂s_{t+1} ∂F/∂θ      old s̃, θ̃: ∂ℓ/∂s_t · s̃ = ∂ℓ/∂s_{t+1} · a   (2)
    d  = νᵀ ∂F/∂θ,   ν ∈ {-1, +1}^S                                                                    (3)
    ρ₀ = √((‖θ̃_t‖+ε)/(γ‖a‖+ε)),   ρ₁ = √((‖d‖+ε)/(‖ν‖+ε))                                            (4)
    s̃_{t+1} = ρ₀ γ a + ρ₁ ν,   θ̃_{t+1} = θ̃_t/ρ₀ + d/ρ₁                                               (5)

With the memory decay γ = 1 the mean of (2) over ν is the gradient of real-time recurrent learning. Below 1 the
past fades by γ a step: less noise, and a stated bias towards the recent past (SCIENCE §5). ‖d‖ has a
closed form, so the weights' rows are passed over only in (2), (5) and the norm of θ̃.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uoro.learning.reference.cells import Dynamics
from uoro.learning.reference.estimators.protocol import Update, cleared, is_finite, zeros
from uoro.learning.reference.linearization import Deltas, Linearization

EPSILON = 1e-7


class Uoro:
    """Memory: s_tilde (k, S), theta_tilde (k, P)."""

    def __init__(self, cell: Dynamics, *, rank: int = 1, memory_decay: float = 1.0) -> None:
        self.num_noise = rank
        self.memory_decay = memory_decay
        self._shapes: dict[str, tuple[int, ...]] = {
            "s_tilde": (rank, cell.state_size),
            "theta_tilde": (rank, cell.num_parameters),
        }

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return dict(self._shapes)

    def init(self, dtype: torch.dtype) -> dict[str, Tensor]:
        return zeros(self._shapes, dtype)

    def update(self, state: dict[str, Tensor], lin: Linearization, dl_ds: Tensor | None, nu: Tensor | None) -> Update:
        assert nu is not None  # noqa: S101 - num_noise asks for it
        s_tilde, theta_tilde = state["s_tilde"], state["theta_tilde"]
        a = lin.jvp(s_tilde)  # (1)
        grad = None
        if dl_ds is not None:
            weights = torch.mv(a, dl_ds) / self.num_noise
            grad = lin.add_theta_vjp((weights @ theta_tilde)[None], lin.deltas(dl_ds[None]))[0]  # (2)
        d = lin.deltas(nu)  # (3)
        rho_0, rho_1 = self.rho(a, nu, theta_tilde, lin.norms(d))
        torch.add(a * (self.memory_decay * rho_0)[:, None], nu * rho_1[:, None], out=s_tilde)  # (5)
        theta_tilde.div_(rho_0[:, None])
        lin.add_theta_vjp(theta_tilde, Deltas(d.x / rho_1[:, None], d.h / rho_1[:, None]))
        # θ̃ is finite whenever its norm was and ρ are: ‖θ̃_{t+1}‖ ≤ ‖θ̃_t‖/ρ₀ + ‖d‖/ρ₁. s̃ and g are looked at.
        known = torch.cat((rho_0, rho_1, s_tilde.view(-1)))
        if not is_finite(known) or (grad is not None and not is_finite(grad)):
            return cleared(state)
        return Update(grad)

    def rho(self, a: Tensor, nu: Tensor, theta_tilde: Tensor, norm_d: Tensor) -> tuple[Tensor, Tensor]:
        """ρ₀ and ρ₁ (k,) of equation (4)."""
        norm_a = torch.linalg.vector_norm(a, dim=1) * self.memory_decay
        norm_theta = torch.linalg.vector_norm(theta_tilde, dim=1)
        norm_nu = math.sqrt(nu.shape[1])
        rho_0 = ((norm_theta + EPSILON) / (norm_a + EPSILON)).sqrt()
        rho_1 = ((norm_d + EPSILON) / (norm_nu + EPSILON)).sqrt()
        return rho_0, rho_1

    def influence_norms(self, state: dict[str, Tensor]) -> dict[str, float]:
        return {name: float(torch.linalg.vector_norm(value)) for name, value in state.items()}
