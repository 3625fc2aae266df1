"""A cell's course over a few inputs, with autograd as its judge."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from uoro.learning.reference.cells import Cell, make_cell
from uoro.learning.reference.linearization import Linearization


class Run(NamedTuple):
    """A cell's course over T inputs at fixed θ, with a random slope of the loss at every step."""

    cell: Cell
    theta: Tensor
    xs: Tensor
    states: list[Tensor]
    slopes: Tensor
    steps: list[Linearization]

    def loss(self, theta: Tensor, *, last_only: bool = False) -> Tensor:
        """Σ_t slope_t · s_t as torch's autograd sees it, from the same first state."""
        state, total = self.states[0], theta.new_zeros(())
        for t, (x, slope) in enumerate(zip(self.xs, self.slopes, strict=True)):
            state, _ = self.cell.forward(theta, state, x)
            if not last_only or t == len(self.xs) - 1:
                total = total + slope @ state
        return total

    def gradient(self, *, last_only: bool = False) -> Tensor:
        """The same loss differentiated by backpropagation through all steps."""
        theta = self.theta.clone().requires_grad_()
        (grad,) = torch.autograd.grad(self.loss(theta, last_only=last_only), theta)
        return grad


def make_run(name: str, *, units: int, inputs: int = 2, length: int = 5, seed: int = 0) -> Run:
    """A run of random inputs, states and slopes at a random θ, in float64."""
    torch.manual_seed(seed)
    cell = make_cell(name, units, inputs)
    theta = 0.6 * torch.randn(cell.num_parameters, dtype=torch.float64)
    xs = torch.randn(length, inputs, dtype=torch.float64)
    slopes = torch.randn(length, cell.state_size, dtype=torch.float64)
    states, steps = [0.5 * torch.randn(cell.state_size, dtype=torch.float64)], []
    for x in xs:
        new, activations = cell.forward(theta, states[-1], x)
        steps.append(cell.linearize(theta, states[-1], x, activations))
        states.append(new)
    return Run(cell, theta, xs, states, slopes, steps)
