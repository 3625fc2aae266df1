"""A transition that runs and is learned while it runs.

One step at time t, at the θ of the moment: s' = F(θ, s, x), ℓ(s'), the slope ∂ℓ/∂s' by autograd, and from it the
estimator's gradient of ℓ with respect to θ through the whole past. Moving θ is the caller's, in place, by whatever
optimizer; the next step sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from uoro.learning import noise
from uoro.learning.reference.estimators.protocol import Estimator
from uoro.learning.reference.transition import Transition


class Step(NamedTuple):
    """What a step led to.

    Attributes:
        loss: () of the new state, or None where none was given.
        grad: (P,) the gradient to move θ against, or None where there is none at this step.
        was_reset: whether something was not finite: the estimator's memory is then empty.
    """

    loss: Tensor | None
    grad: Tensor | None
    was_reset: bool


class Online:
    """One run.

    Attributes:
        theta: (P,) the caller's own tensor, read at every step and never written here. state: (S,).
        memory: the estimator's. num_steps: steps made; ν is a function of the seed and of this number.
    """

    def __init__(
        self, transition: Transition, estimator: Estimator, *, theta: Tensor, state: Tensor, seed: int = 0
    ) -> None:
        self.transition = transition
        self.estimator = estimator
        self.theta = theta
        self.state = state.detach().clone()
        self.seed = seed
        self.memory = estimator.init(theta.dtype)
        self.num_steps = 0

    def step(self, x: Tensor, loss_of_state: Callable[[Tensor], Tensor] | None = None) -> Step:
        """Advance over x (I,) and differentiate the loss of the new state; without a loss only the memory rolls.

        The loss may have parameters of its own, a readout's say: their gradients are direct and exact, and are added
        to their `.grad` as `backward` does. On θ it depends through the state only.
        """
        lin = self.transition.linearize(self.theta, self.state, x)
        loss, slope = None, None
        if loss_of_state is not None:
            leaf = lin.new_state.clone().requires_grad_()
            with torch.enable_grad():
                loss = loss_of_state(leaf)
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
            slope = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        update = self.estimator.update(self.memory, lin, slope, self._signs())
        self.state = lin.new_state
        self.num_steps += 1
        return Step(loss, update.grad, update.was_reset)

    def _signs(self) -> Tensor | None:
        if not self.estimator.num_noise:
            return None
        shape = (self.estimator.num_noise, self.transition.state_size)
        return torch.from_numpy(noise.signs(self.seed, self.num_steps, shape)).to(self.theta.dtype)
