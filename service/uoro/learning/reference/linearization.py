"""One step of a cell, linearised: everything a gradient estimator asks of it, in closed form.

What is asked is `Linearization`; `transition` answers it for any F. For a gated cell three small arrays say it all (c
counts the vectors of H units that make up the state: 1, or 2 for h and c of an LSTM; p = A [x; 1] and q = B [h; 1]
are a cell's two products, see `cells`):

    slope_x[c, g] = ∂s'_c/∂p_g     slope_h[c, g] = ∂s'_c/∂q_g     direct[c, c'] = ∂s'_c/∂s_c' at fixed p, q  (1)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Deltas(NamedTuple):
    """νᵀ∂s'/∂p and νᵀ∂s'/∂q for k vectors ν, each (k, G·H): outer products with [x; 1] and [h; 1] make νᵀ∂F/∂θ.

    A general F has no such factors: x is then (k, P) νᵀ∂F/∂θ itself, and h is (k, 0).
    """

    x: Tensor
    h: Tensor


class Linearization(Protocol):
    """What an estimator asks of ∂F at one step: `theta` (P,), `previous` state (S,), `x` (I,), and products with it.

    J = ∂F/∂s. The last two methods need the notion of a parameter's own unit, which only cells have.
    """

    theta: Tensor
    previous: Tensor
    x: Tensor

    def jvp(self, v: Tensor) -> Tensor:
        """J v for each row of v (k, S)."""
        ...

    def vjp(self, w: Tensor) -> Tensor:
        """Jᵀ w for each row of w (k, S)."""
        ...

    def deltas(self, w: Tensor) -> Deltas:
        """What wᵀ∂F/∂θ is made of, for each row of w (k, S); linear in w."""
        ...

    def norms(self, deltas: Deltas) -> Tensor:
        """(k,) norms of the rows of wᵀ∂F/∂θ."""
        ...

    def add_theta_vjp(self, out: Tensor, deltas: Deltas) -> Tensor:
        """Add wᵀ∂F/∂θ to out (k, P), in place; returns it."""
        ...

    def theta_vjp(self, w: Tensor) -> Tensor:
        """wᵀ∂F/∂θ (k, P) for each row of w (k, S)."""
        ...

    def jacobian(self) -> Tensor:
        """J = ∂F/∂s, dense (S, S)."""
        ...

    def dF_dtheta(self) -> Tensor:  # noqa: N802 - the mathematics' own name
        """∂F/∂θ, dense (S, P)."""
        ...

    def own_unit(self) -> Tensor:
        """(c, c, H): the blocks of J that tie each unit to itself."""
        ...

    def add_own_unit(self, out: Tensor) -> Tensor:
        """Add each parameter's immediate effect on its own unit to out (c, P), in place; returns it."""
        ...


class Unfactored(ABC):
    """The products with wᵀ∂F/∂θ where it has no smaller factors than itself."""

    @abstractmethod
    def theta_vjp(self, w: Tensor) -> Tensor:
        """wᵀ∂F/∂θ (k, P) for each row of w (k, S)."""

    def deltas(self, w: Tensor) -> Deltas:
        """wᵀ∂F/∂θ itself."""
        return Deltas(self.theta_vjp(w), w.new_zeros(len(w), 0))

    def norms(self, deltas: Deltas) -> Tensor:
        """(k,) norms of the rows of wᵀ∂F/∂θ."""
        norms: Tensor = torch.linalg.vector_norm(deltas.x, dim=1)
        return norms

    def add_theta_vjp(self, out: Tensor, deltas: Deltas) -> Tensor:
        """Add wᵀ∂F/∂θ to out (k, P), in place; returns it."""
        return out.add_(deltas.x)


class GatedLinearization:
    """The closed form for a gated cell. J = ∂F/∂s; S = c·H numbers of state; P parameters.

    Attributes:
        slope_x, slope_h: (c, G, H) as in (1). direct: (c, c, H) as in (1). inputs: (I + 1,) [x; 1].
        hidden: (H + 1,) [h; 1]. recurrent: (G·H, H) the weights W_hh. theta, previous, x: where it was taken.
    """

    __slots__ = (
        "direct", "hidden", "inputs", "previous", "recurrent", "slope_h", "slope_x", "theta", "x",
    )  # fmt: skip

    def __init__(
        self,
        theta: Tensor,
        previous: Tensor,
        x: Tensor,
        slopes: tuple[Tensor, Tensor, Tensor],
    ) -> None:
        self.theta, self.previous, self.x = theta, previous, x
        self.slope_x, self.slope_h, self.direct = slopes
        num_rows = self.slope_x.shape[1] * self.slope_x.shape[2]
        size = self.slope_x.shape[2]
        one = theta.new_ones(1)
        self.inputs = torch.cat((x, one))
        self.hidden = torch.cat((previous[:size], one))
        start = len(self.inputs)
        self.recurrent = theta.view(num_rows, -1)[:, start : start + size]

    def jvp(self, v: Tensor) -> Tensor:
        """J v for each row of v (k, S)."""
        num_parts, num_gates, size = self.slope_h.shape
        if num_parts == 1:
            q = (v @ self.recurrent.T).view(-1, num_gates, size)
            return torch.addcmul((q * self.slope_h[0]).sum(1), v, self.direct[0, 0])
        parts = v.view(-1, num_parts, size)
        q = (parts[:, 0] @ self.recurrent.T).view(-1, 1, num_gates, size)
        out = (q * self.slope_h).sum(2) + (self.direct * parts[:, None]).sum(2)
        return out.view(len(v), -1)

    def vjp(self, w: Tensor) -> Tensor:
        """Jᵀ w for each row of w (k, S)."""
        num_parts, _, size = self.slope_h.shape
        parts = w.view(-1, num_parts, size)
        out = (self.direct * parts[:, :, None]).sum(1)
        out[:, 0] += self.deltas(w).h @ self.recurrent
        return out.view(len(w), -1)

    def deltas(self, w: Tensor) -> Deltas:
        """The small factors of wᵀ∂F/∂θ for each row of w (k, S)."""
        by_x = _weighted(w, self.slope_x)
        return Deltas(by_x, by_x if self.slope_x is self.slope_h else _weighted(w, self.slope_h))

    def norms(self, deltas: Deltas) -> Tensor:
        """(k,) norms of the rows of wᵀ∂F/∂θ, without forming them: ‖u vᵀ‖ = ‖u‖‖v‖."""
        by_x = torch.linalg.vector_norm(deltas.x, dim=1) * torch.linalg.vector_norm(self.inputs)
        by_h = torch.linalg.vector_norm(deltas.h, dim=1) * torch.linalg.vector_norm(self.hidden)
        return torch.hypot(by_x, by_h)

    def add_theta_vjp(self, out: Tensor, deltas: Deltas) -> Tensor:
        """Add wᵀ∂F/∂θ to out (k, P), in place; returns it."""
        rows = out.view(deltas.x.numel(), -1)
        num_inputs = len(self.inputs)
        rows[:, :num_inputs].addmm_(deltas.x.reshape(-1, 1), self.inputs[None])
        rows[:, num_inputs:].addmm_(deltas.h.reshape(-1, 1), self.hidden[None])
        return out

    def theta_vjp(self, w: Tensor) -> Tensor:
        """wᵀ∂F/∂θ (k, P) for each row of w (k, S)."""
        return self.add_theta_vjp(w.new_zeros(len(w), self.theta.numel()), self.deltas(w))

    def jacobian(self) -> Tensor:
        """J = ∂F/∂s, dense (S, S)."""
        size = self.slope_x.shape[0] * self.slope_x.shape[2]
        return self.jvp(torch.eye(size, dtype=self.theta.dtype)).T

    def dF_dtheta(self) -> Tensor:  # noqa: N802 - the mathematics' own name
        """∂F/∂θ, dense (S, P)."""
        size = self.slope_x.shape[0] * self.slope_x.shape[2]
        return self.theta_vjp(torch.eye(size, dtype=self.theta.dtype))

    def own_unit(self) -> Tensor:
        """(c, c, H): the blocks of J that tie each unit to itself."""
        num_parts, num_gates, size = self.slope_h.shape
        own = self.recurrent.view(num_gates, size, size).diagonal(dim1=1, dim2=2)
        out = self.direct.expand(num_parts, num_parts, size).clone()
        out[:, 0] += (self.slope_h * own).sum(1)
        return out

    def add_own_unit(self, out: Tensor) -> Tensor:
        """Add each parameter's immediate effect on its own unit to out (c, P), in place; returns it."""
        num_parts = len(out)
        rows = out.view(num_parts * self.recurrent.shape[0], -1)
        num_inputs = len(self.inputs)
        rows[:, :num_inputs].addmm_(self.slope_x.reshape(-1, 1), self.inputs[None])
        rows[:, num_inputs:].addmm_(self.slope_h.reshape(-1, 1), self.hidden[None])
        return out


def _weighted(w: Tensor, slope: Tensor) -> Tensor:
    """(k, G·H): Σ_c w_c slope_c, for w (k, c·H) and slopes (c, G, H)."""
    num_parts, num_gates, size = slope.shape
    weighted = w.view(-1, num_parts, 1, size) * slope
    if num_parts > 1:
        weighted = weighted.sum(1)
    return weighted.view(-1, num_gates * size)
