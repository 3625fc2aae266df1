"""Every estimator against an independent judge: autograd, a hand calculation, or another estimator."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from cell_run import Run, make_run
from torch import Tensor

from uoro.learning.reference.cells import CELLS, Cell, make_cell
from uoro.learning.reference.estimators import Estimator, Frozen, Rtrl, Snap1, Tbptt, Uoro, UoroRemainder

ALL = sorted(CELLS)


def total(estimator: Estimator, run: Run, *, nus: Tensor | None = None) -> Tensor:
    """Sum of the gradients of all steps."""
    state = estimator.init(torch.float64)
    grads = []
    for t, (lin, slope) in enumerate(zip(run.steps, run.slopes, strict=True)):
        update = estimator.update(state, lin, slope, None if nus is None else nus[t])
        assert not update.was_reset
        if update.grad is not None:
            grads.append(update.grad)
    return sum(grads)


@pytest.mark.parametrize("name", ALL)
def test_rtrl_is_backpropagation_from_the_beginning(name: str) -> None:
    """The sum of RTRL's gradients equals autograd's through all steps."""
    run = make_run(name, units=4, inputs=3, length=12)
    torch.testing.assert_close(total(Rtrl(run.cell), run), run.gradient(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_tbptt_of_the_whole_length_is_backpropagation(name: str) -> None:
    """One chunk as long as the run gives autograd's gradient, once, at its end."""
    run = make_run(name, units=4, inputs=3, length=7)
    torch.testing.assert_close(total(Tbptt(run.cell, truncation=7), run), run.gradient(), rtol=0, atol=1e-10)


def test_tbptt_moves_only_at_the_end_of_a_chunk() -> None:
    """Chunks of 3 in 7 steps give two gradients; each is autograd's of a run that begins there."""
    run = make_run("gru", units=3, length=7)
    estimator = Tbptt(run.cell, truncation=3)
    state = estimator.init(torch.float64)
    grads = [estimator.update(state, lin, slope, None).grad for lin, slope in zip(run.steps, run.slopes, strict=True)]
    assert [grad is not None for grad in grads] == [False, False, True, False, False, True, False]
    part = run._replace(xs=run.xs[3:6], slopes=run.slopes[3:6], states=run.states[3:])
    torch.testing.assert_close(grads[5], part.gradient(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"lru"}))
def test_snap1_is_exact_for_units_that_are_not_connected(name: str) -> None:
    """With diagonal recurrent weights SnAp-1 equals RTRL; with dense ones it does not."""
    run = make_run(name, units=3, inputs=2, length=8)
    dense = (total(Snap1(run.cell), run) - total(Rtrl(run.cell), run)).abs().max()
    assert dense > 1e-3
    cell = run.cell
    rows = run.theta.view(cell.num_gates, 3, -1)
    rows[:, :, 3:6] *= torch.eye(3, dtype=torch.float64)
    states, steps = [run.states[0]], []
    for x in run.xs:
        new, activations = cell.forward(run.theta, states[-1], x)
        steps.append(cell.linearize(run.theta, states[-1], x, activations))
        states.append(new)
    apart = run._replace(states=states, steps=steps)
    torch.testing.assert_close(total(Snap1(cell), apart), apart.gradient(), rtol=0, atol=1e-10)


def test_on_the_lru_snap1_and_the_family_are_exact() -> None:
    """No unit hears another: SnAp-1, and UORO behind it with any signs, rank and weight, give autograd's gradient."""
    run = make_run("lru", units=3, inputs=2, length=12)
    torch.testing.assert_close(total(Snap1(run.cell), run), run.gradient(), rtol=0, atol=1e-10)
    for rank, weight in ((0, 0.0), (1, 1.0), (3, 0.4)):
        nus = torch.randint(0, 2, (12, rank, run.cell.state_size)).double() * 2 - 1
        estimator = UoroRemainder(run.cell, rank=rank, weight=weight)
        torch.testing.assert_close(total(estimator, run, nus=nus), run.gradient(), rtol=0, atol=1e-10)


def test_uoro_by_hand_over_two_steps() -> None:
    """ρ, s̃, θ̃ and the gradient of two steps equal the paper's formulas written out with dense matrices."""
    run = make_run("rnn", units=2, inputs=1, length=3)
    estimator, epsilon = Uoro(run.cell), 1e-7
    state = estimator.init(torch.float64)
    s, th = torch.zeros(2, dtype=torch.float64), torch.zeros(run.cell.num_parameters, dtype=torch.float64)
    signs = torch.tensor([[1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    rhos = []
    for t in range(2):
        lin, slope, nu = run.steps[t], run.slopes[t], signs[t]
        J, dF = lin.jacobian(), lin.dF_dtheta()
        expected = (slope @ J @ s) * th + slope @ dF
        a, d = J @ s, nu @ dF
        rho_0 = math.sqrt((th.norm() + epsilon) / (a.norm() + epsilon))
        rho_1 = math.sqrt((d.norm() + epsilon) / (math.sqrt(2) + epsilon))
        s, th = rho_0 * a + rho_1 * nu, th / rho_0 + d / rho_1
        rhos.append(rho_0)
        grad = estimator.update(state, lin, slope, nu[None]).grad
        torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(state["s_tilde"][0], s, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(state["theta_tilde"][0], th, rtol=1e-12, atol=1e-14)
    assert rhos[0] == 1.0
    assert abs(rhos[1] - 1.0) > 1e-3


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rank", [1, 3])
def test_flipping_all_signs_changes_no_gradient(name: str, rank: int) -> None:
    """ν and -ν give the same gradients, bit for bit, and opposite s̃ and θ̃."""
    run = make_run(name, units=3, length=6)
    nus = torch.randint(0, 2, (6, rank, run.cell.state_size)).double() * 2 - 1
    estimator = Uoro(run.cell, rank=rank)
    plus, minus = estimator.init(torch.float64), estimator.init(torch.float64)
    for lin, slope, nu in zip(run.steps, run.slopes, nus, strict=True):
        one = estimator.update(plus, lin, slope, nu)
        other = estimator.update(minus, lin, slope, -nu)
        assert torch.equal(one.grad, other.grad)
    assert torch.equal(plus["s_tilde"], -minus["s_tilde"])
    assert plus["theta_tilde"].abs().max() > 0


def test_rank_is_the_mean_of_independent_copies() -> None:
    """The gradient at rank 3 is the mean of those of three rank-one estimators with the same signs."""
    run = make_run("gru", units=3, length=5)
    nus = torch.randint(0, 2, (5, 3, 3)).double() * 2 - 1
    together = total(Uoro(run.cell, rank=3), run, nus=nus)
    apart = [total(Uoro(run.cell), run, nus=nus[:, i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, sum(apart) / 3)


def test_memory_decay_fades_the_past() -> None:
    """γ → 0 leaves only the last transition's influence, so the mean over signs is exact two steps deep only."""
    run = make_run("rnn", units=1, inputs=1, length=3)
    estimator = Uoro(run.cell, memory_decay=1e-9)
    grads = []
    for first in (-1.0, 1.0):
        for second in (-1.0, 1.0):
            nus = torch.tensor([[[first]], [[second]], [[1.0]]], dtype=torch.float64)
            state = estimator.init(torch.float64)
            for lin, slope, nu in zip(run.steps, run.slopes, nus, strict=True):
                grad = estimator.update(state, lin, slope, nu).grad
            grads.append(grad)
    lin, before, slope = run.steps[2], run.steps[1], run.slopes[2]
    expected = slope @ (lin.jacobian() @ before.dF_dtheta() + lin.dF_dtheta())
    torch.testing.assert_close(sum(grads) / 4, expected, rtol=1e-5, atol=1e-8)
    assert (expected - run.gradient(last_only=True)).abs().max() > 1e-3


@pytest.mark.parametrize("make", [lambda c: Uoro(c, rank=2), Rtrl, Snap1, lambda c: Tbptt(c, truncation=1)])
@pytest.mark.parametrize("where", ["slope", "theta"])
def test_what_is_not_finite_empties_the_memory(make: Callable[[Cell], Estimator], where: str) -> None:
    """A NaN in the slope or in θ gives no gradient, is counted, and is gone at the next step."""
    run = make_run("gru", units=3, length=3)
    estimator = make(run.cell)
    state = estimator.init(torch.float64)
    nu = torch.ones(2, 3, dtype=torch.float64)
    estimator.update(state, run.steps[0], run.slopes[0], nu)
    lin, slope = run.steps[1], run.slopes[1]
    if where == "slope":
        slope = slope * math.nan
    else:
        theta = run.theta * math.nan
        _, activations = run.cell.forward(theta, run.states[1], run.xs[1])
        lin = run.cell.linearize(theta, run.states[1], run.xs[1], activations)
    update = estimator.update(state, lin, slope, nu)
    assert update.was_reset
    assert update.grad is None
    update = estimator.update(state, run.steps[2], run.slopes[2], nu)
    assert not update.was_reset
    assert torch.isfinite(update.grad).all()


@pytest.mark.parametrize("make", [lambda c: Uoro(c, rank=2), Rtrl, Snap1, lambda c: Tbptt(c, truncation=4)])
def test_a_step_without_a_target_still_rolls_the_memory(make: Callable[[Cell], Estimator]) -> None:
    """No slope gives no gradient now, but the transition counts in the gradients to come."""
    run = make_run("gru", units=3, length=4)
    nus = torch.ones(4, 2, 3, dtype=torch.float64)
    results = []
    for is_listening in (True, False):
        estimator = make(run.cell)
        state = estimator.init(torch.float64)
        for t in range(4):
            if t == 1 and not is_listening:
                continue
            slope = None if t == 1 else run.slopes[t]
            update = estimator.update(state, run.steps[t], slope, nus[t])
            assert t != 1 or update.grad is None
        results.append(update.grad)
    assert results[1] is None or (results[0] - results[1]).abs().max() > 1e-6


def test_frozen_gives_nothing() -> None:
    """The control has no memory and no gradient."""
    frozen = Frozen()
    assert frozen.state_shapes() == {}
    assert frozen.update({}, None, torch.ones(2), None).grad is None


def test_states_are_what_the_shapes_say() -> None:
    """Each memory has the shape that is promised to the block."""
    cell = make_cell("lstm", 3, 2)
    for estimator in (Uoro(cell, rank=2), Rtrl(cell), Snap1(cell), Tbptt(cell, truncation=4), Frozen()):
        state = estimator.init(torch.float32)
        assert {name: tuple(value.shape) for name, value in state.items()} == estimator.state_shapes()
