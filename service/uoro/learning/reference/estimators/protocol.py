"""What the core asks of an estimator of ∂ℓ/∂θ.

Once per step, at the point where the pending prediction was made, it is given the linearised transition
s_t → s_{t+1}, the slope ∂ℓ_{t+1}/∂s_{t+1} of the loss of that prediction, and fresh signs ν. It returns the
gradient with its *old* memory of the past, then rolls the memory over the transition, at the same θ.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from uoro.learning.reference.linearization import Linearization


class Update(NamedTuple):
    """What one step led to.

    Attributes:
        grad: (P,) the gradient to move θ against, or None where there is none at this step.
        was_reset: whether something was not finite: the memory is then empty and the step is skipped.
    """

    grad: Tensor | None
    was_reset: bool = False


class Estimator(Protocol):
    """Estimates ∂ℓ/∂θ. `num_noise` is k, the rows of signs ν that it consumes in each step."""

    num_noise: int

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each memory."""
        ...

    def init(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The memory of an empty past."""
        ...

    def update(self, state: dict[str, Tensor], lin: Linearization, dl_ds: Tensor | None, nu: Tensor | None) -> Update:
        """One step; the memory is moved in place.

        Args:
            state: the memory.
            lin: the transition, linearised.
            dl_ds: (S,) slope of the loss, or None where no target was seen: only the memory rolls then.
            nu: (k, S) signs, or None if `num_noise` is 0.
        """
        ...

    def influence_norms(self, state: dict[str, Tensor]) -> dict[str, float]:
        """Norms of the memory, by part; empty where there is nothing to show."""
        ...


def zeros(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
    """A memory of zeros."""
    return {name: torch.zeros(shape, dtype=dtype) for name, shape in shapes.items()}


def cleared(state: dict[str, Tensor]) -> Update:
    """Empty the memory after something was not finite: credit to the past is cut once, which is legal."""
    for value in state.values():
        value.zero_()
    return Update(None, was_reset=True)


def is_finite(value: Tensor) -> bool:
    """Whether every number is finite: one pass, since a sum with a NaN or an infinity in it is one too."""
    return math.isfinite(float(value.sum()))
