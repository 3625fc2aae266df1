"""Optimizers as (state_shapes, update) pairs over an explicit state; θ and the state are moved in place.

Step t = 1, 2, 3 … uses the learning rate η_t = η / (1 + decay·√t)   (SCIENCE §5; Tallec & Ollivier 2017, §5).
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from uoro.learning.spec import OptimizerSpec

BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-8
RMSPROP_DECAY = 0.99


class Optimizer(Protocol):
    """Moves θ against a gradient."""

    def state_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        """Shape of each memory for θ of this size; all start at zero."""
        ...

    def update(self, grad: Tensor, state: dict[str, Tensor], theta: Tensor, step: int) -> None:
        """Move θ (P,) and the state in place by step `step`, counted from 1."""
        ...


class Schedule:
    """The learning rate of a step, and the bound on the gradient's norm that all optimizers share."""

    __slots__ = ("clip", "decay", "learning_rate")

    def __init__(self, spec: OptimizerSpec) -> None:
        self.learning_rate, self.decay, self.clip = spec.learning_rate, spec.decay, spec.clip

    def rate(self, step: int) -> float:
        """η_t."""
        return self.learning_rate / (1.0 + self.decay * math.sqrt(step))

    def bounded(self, grad: Tensor) -> Tensor:
        """The gradient, scaled down to the norm `clip` if it is longer."""
        if self.clip is None:
            return grad
        norm = float(torch.linalg.vector_norm(grad))
        return grad * (self.clip / norm) if norm > self.clip else grad


class Sgd(Schedule):
    """θ ← θ - η_t g."""

    def state_shapes(self, size: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002 - the protocol's signature
        return {}

    def update(self, grad: Tensor, state: dict[str, Tensor], theta: Tensor, step: int) -> None:  # noqa: ARG002 - same
        theta.add_(self.bounded(grad), alpha=-self.rate(step))


class RmsProp(Schedule):
    """v ← α v + (1-α) g²,  θ ← θ - η_t g / (√v + ε) (Tieleman & Hinton 2012; torch's form)."""

    def state_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {"square": (size,)}

    def update(self, grad: Tensor, state: dict[str, Tensor], theta: Tensor, step: int) -> None:
        grad, square = self.bounded(grad), state["square"]
        square.mul_(RMSPROP_DECAY).addcmul_(grad, grad, value=1.0 - RMSPROP_DECAY)
        theta.addcdiv_(grad, square.sqrt().add_(EPSILON), value=-self.rate(step))


class Adam(Schedule):
    """m ← β₁ m + (1-β₁) g,  v ← β₂ v + (1-β₂) g²,  θ ← θ - η_t m̂ / (√v̂ + ε) (Kingma & Ba 2015)."""

    def state_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {"mean": (size,), "square": (size,)}

    def update(self, grad: Tensor, state: dict[str, Tensor], theta: Tensor, step: int) -> None:
        grad, mean, square = self.bounded(grad), state["mean"], state["square"]
        mean.lerp_(grad, 1.0 - BETA_1)
        square.mul_(BETA_2).addcmul_(grad, grad, value=1.0 - BETA_2)
        root = math.sqrt(1.0 - BETA_2**step)
        # θ - (η/(1-β₁ᵗ)) m / (√v/root + ε), with the numerator and denominator multiplied by root.
        rate = self.rate(step) * root / (1.0 - BETA_1**step)
        theta.addcdiv_(mean, square.sqrt().add_(EPSILON * root), value=-rate)


OPTIMIZERS: dict[str, type[Sgd | RmsProp | Adam]] = {"sgd": Sgd, "rmsprop": RmsProp, "adam": Adam}


def make_optimizer(spec: OptimizerSpec) -> Optimizer:
    """The optimizer of a spec."""
    return OPTIMIZERS[spec.name](spec)
