"""The optimizers against torch's own, the schedule and the bound against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from uoro.learning.reference.optimizers import make_optimizer
from uoro.learning.spec import OptimizerSpec

TORCH = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
}


def run(spec: OptimizerSpec, grads: list[torch.Tensor]) -> torch.Tensor:
    """θ after these gradients, from zero."""
    optimizer = make_optimizer(spec)
    theta = torch.zeros_like(grads[0])
    state = {name: theta.new_zeros(shape) for name, shape in optimizer.state_shapes(len(theta)).items()}
    for step, grad in enumerate(grads, start=1):
        optimizer.update(grad, state, theta, step)
    return theta


@pytest.mark.parametrize("name", sorted(TORCH))
def test_optimizer_is_torchs(name: str) -> None:
    """Twenty steps lead where torch's optimizer of that name leads."""
    torch.manual_seed(0)
    grads = list(torch.randn(20, 5, dtype=torch.float64))
    theirs = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = TORCH[name]([theirs], lr=0.1)
    for grad in grads:
        theirs.grad = grad.clone()
        optimizer.step()
    ours = run(OptimizerSpec(name=name, learning_rate=0.1), grads)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-10, atol=1e-12)


def test_learning_rate_decays_with_the_root_of_the_step() -> None:
    """η / (1 + decay·√t), t from 1."""
    grads = [torch.ones(1, dtype=torch.float64)] * 3
    expected = -sum(0.5 / (1 + 0.2 * math.sqrt(t)) for t in (1, 2, 3))
    assert float(run(OptimizerSpec(name="sgd", learning_rate=0.5, decay=0.2), grads)) == pytest.approx(expected)


@pytest.mark.parametrize(("length", "expected"), [(5.0, 1.0), (0.5, 0.5)])
def test_clip_bounds_the_norm(length: int, expected: float) -> None:
    """A longer gradient is scaled to the bound, a shorter one left alone."""
    grad = torch.tensor([0.6, 0.8], dtype=torch.float64) * length
    theta = run(OptimizerSpec(name="sgd", learning_rate=1.0, clip=1.0), [grad])
    assert float(theta.norm()) == pytest.approx(expected)
