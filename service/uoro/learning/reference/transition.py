"""Any differentiable transition s' = F(θ, s, x) written in torch, so that the estimators train it like a cell.

The step is recorded by autograd once. Backward through the record gives products from the left, and backward through
that backward, which is linear in its argument u, gives products from the right:

    (u ↦ (uᵀ ∂F/∂θ, uᵀ J))        v ↦ J v, the transpose of u ↦ uᵀ J                                      (1)

Both are exact, as torch.func.jvp is, and faster than forward mode, which takes the long way in Python at each scalar.

F must be a function: what it returns depends on θ, s and x alone (randomness comes in through x), and torch sees all
of it (no .item(), .detach() or numpy on the way).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

from uoro.learning.reference.linearization import Unfactored

TransitionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(θ (P,), s (S,), x (I,)) → s' (S,)."""


class Transition:
    """F with its sizes: what `Uoro`, `Rtrl` and `Tbptt` take where they take a cell.

    SnAp-1 and the control variate made from it raise TypeError: they keep each parameter's effect on its own unit,
    and in a general F no parameter has one.
    """

    def __init__(self, function: TransitionFunction, *, num_parameters: int, state_size: int, input_size: int) -> None:
        self.function = function
        self.num_parameters = num_parameters
        self.state_size = state_size
        self.input_size = input_size

    @property
    def num_states(self) -> NoReturn:
        _refuse_units()

    def forward(self, theta: Tensor, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The new state (S,), and no activations."""
        with torch.no_grad():
            return self._checked(theta, state, x), theta.new_empty(0)

    def linearize(
        self,
        theta: Tensor,
        previous: Tensor,
        x: Tensor,
        activations: Tensor | None = None,  # noqa: ARG002 - cells keep them; autograd has its own
    ) -> RecordedLinearization:
        """The step from `previous`, recorded. Raises ValueError where a shape or dtype misfits or F is cut off."""
        theta, previous = theta.detach().requires_grad_(), previous.detach().requires_grad_()
        with torch.enable_grad():
            new_state = self._checked(theta, previous, x)
        if not new_state.requires_grad:
            raise ValueError(
                "torch sees no way from theta or the state to what F returned (.item(), .detach(), numpy?)"
            )
        return RecordedLinearization(theta, previous, x, new_state)

    def _checked(self, theta: Tensor, state: Tensor, x: Tensor) -> Tensor:
        for name, value, size in (
            ("theta", theta, self.num_parameters),
            ("the state", state, self.state_size),
            ("x", x, self.input_size),
        ):
            if value.shape != (size,):
                raise ValueError(f"{name} has the shape {tuple(value.shape)}, not ({size},)")
        new_state = self.function(theta, state, x)
        if new_state.shape != state.shape or new_state.dtype != state.dtype:
            got, wanted = (f"{tuple(s.shape)} of {s.dtype}" for s in (new_state, state))
            raise ValueError(f"F returned {got} for a state {wanted}")
        return new_state


class RecordedLinearization(Unfactored):
    """∂F at one step, by autograd.

    Attributes:
        theta, previous, x: where it was taken. new_state: (S,) F there, without its history.
    """

    __slots__ = ("_dense", "_output", "_point", "_right", "new_state", "previous", "theta", "x")

    def __init__(self, theta: Tensor, previous: Tensor, x: Tensor, output: Tensor) -> None:
        self._point, self._output = (theta, previous), output
        self.theta, self.previous, self.x = theta.detach(), previous.detach(), x
        self.new_state = output.detach()
        self._right: tuple[Tensor, Tensor] | None = None
        self._dense: tuple[Tensor, Tensor] | None = None

    def jvp(self, v: Tensor) -> Tensor:
        """J v for each row of v (k, S): (1), right."""
        if self._is_dense(v):
            return v @ self.jacobian().T
        if self._right is None:
            with torch.enable_grad():
                u = torch.zeros_like(self._output, requires_grad=True)
                by_state = torch.autograd.grad(
                    self._output, self._point[1], u, create_graph=True, materialize_grads=True
                )[0]
            self._right = u, by_state
        u, by_state = self._right
        return _products(by_state, (u,), v)[0]

    def vjp(self, w: Tensor) -> Tensor:
        """Jᵀ w for each row of w (k, S)."""
        return w @ self.jacobian() if self._is_dense(w) else _products(self._output, self._point[1:], w)[0]

    def theta_vjp(self, w: Tensor) -> Tensor:
        """wᵀ∂F/∂θ (k, P) for each row of w (k, S)."""
        return w @ self.dF_dtheta() if self._is_dense(w) else _products(self._output, self._point[:1], w)[0]

    def jacobian(self) -> Tensor:
        """J = ∂F/∂s, dense (S, S)."""
        return self._matrices()[1]

    def dF_dtheta(self) -> Tensor:  # noqa: N802 - the mathematics' own name
        """∂F/∂θ, dense (S, P)."""
        return self._matrices()[0]

    def _is_dense(self, rows: Tensor) -> bool:
        # As many rows as numbers of state cost at least the whole matrices, which then serve every product.
        return self._dense is not None or 1 < len(self.new_state) <= len(rows)

    def _matrices(self) -> tuple[Tensor, Tensor]:
        if self._dense is None:
            eye = torch.eye(len(self.new_state), dtype=self.new_state.dtype)
            by_theta, by_state = _products(self._output, self._point, eye)
            self._dense = by_theta, by_state
        return self._dense

    def own_unit(self) -> NoReturn:
        _refuse_units()

    def add_own_unit(self, out: Tensor) -> NoReturn:  # noqa: ARG002 - the protocol's signature
        _refuse_units()


def _products(output: Tensor, values: tuple[Tensor, ...], w: Tensor) -> tuple[Tensor, ...]:
    """wᵀ ∂output/∂value for each value and each row of w (k, S); zeros where torch finds no dependence."""
    if not output.requires_grad:
        return tuple(value.new_zeros(len(w), len(value)) for value in values)
    if len(w) == 1:  # the same without vmap: faster, and for every operation
        rows = torch.autograd.grad(output, values, w[0], retain_graph=True, materialize_grads=True)
        return tuple(row[None] for row in rows)
    return torch.autograd.grad(output, values, w, retain_graph=True, is_grads_batched=True, materialize_grads=True)


def _refuse_units() -> NoReturn:
    raise TypeError(
        "SnAp-1 and the control variate keep each parameter's effect on its own unit, which a general transition "
        "does not have: use Uoro, Rtrl or Tbptt"
    )
