"""Any transition written in torch is learned like a cell: the same numbers, exact or unbiased, or a clear refusal."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cell_run import Run, make_run
from torch import Tensor

from uoro.learning.reference.cells import CELLS
from uoro.learning.reference.estimators import Estimator, Rtrl, Snap1, Tbptt, Uoro, UoroRemainder
from uoro.learning.reference.online import Online
from uoro.learning.reference.optimizers import make_optimizer
from uoro.learning.reference.transition import RecordedLinearization, Transition
from uoro.learning.spec import OptimizerSpec

ESTIMATORS: dict[str, Callable[..., Estimator]] = {
    "uoro": Uoro,
    "uoro rank 3": lambda f: Uoro(f, rank=3),
    "uoro fading": lambda f: Uoro(f, rank=2, memory_decay=0.8),
    "rtrl": Rtrl,
    "tbptt": lambda f: Tbptt(f, truncation=3),
}


def linear(gates: Tensor, h: Tensor, c: Tensor) -> Tensor:
    return gates.sum(0)[0]


def rnn(gates: Tensor, h: Tensor, c: Tensor) -> Tensor:
    return torch.tanh(gates.sum(0)[0])


def gru(gates: Tensor, h: Tensor, c: Tensor) -> Tensor:
    p, q = gates
    r, z = torch.sigmoid(p[0] + q[0]), torch.sigmoid(p[1] + q[1])
    return (1 - z) * torch.tanh(p[2] + r * q[2]) + z * h


def lstm(gates: Tensor, h: Tensor, c: Tensor) -> Tensor:
    i, f, g, o = gates.sum(0)
    new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.cat((torch.sigmoid(o) * torch.tanh(new), new))


PLAIN = {"linear": linear, "rnn": rnn, "gru": gru, "lstm": lstm}


def plain_cell(name: str, run: Run) -> Transition:
    """The cell of a run, written down as anybody would."""
    cell = run.cell

    def complex_unit(theta: Tensor, state: Tensor, x: Tensor) -> Tensor:
        rows = theta.view(-1, cell.hidden_size)
        B, nu, phase = torch.complex(*rows[:-2].unflatten(0, (2, -1)).unbind()), rows[-2], rows[-1]
        by = torch.exp(torch.complex(-nu.clamp(max=3).exp() - 2.0**-12, phase))
        z = by * torch.complex(*state.view(3, -1)[1:]) + (1 - by.abs() ** 2).sqrt() * (
            B.T @ torch.cat((x, x.new_ones(1))).to(B.dtype)
        )
        return torch.cat((z.real.tanh(), z.real, z.imag))

    def function(theta: Tensor, state: Tensor, x: Tensor) -> Tensor:
        W = theta.view(cell.num_gates, cell.hidden_size, -1)
        h, c = state[: cell.hidden_size], state[cell.hidden_size :]
        one = theta.new_ones(1)
        by_x, by_h = torch.cat((x, one)), torch.cat((h, one))
        gates = torch.stack((W[..., : len(by_x)] @ by_x, W[..., len(by_x) :] @ by_h))
        return PLAIN[name](gates, h, c)

    return Transition(
        complex_unit if name == "lru" else function,
        num_parameters=cell.num_parameters,
        state_size=cell.state_size,
        input_size=cell.input_size,
    )


def spiral(theta: Tensor, state: Tensor, x: Tensor) -> Tensor:
    """A driven oscillator of Van der Pol's kind: two numbers of state, and no recurrent net."""
    position, speed = state.unbind()
    force = theta[0] * (1 - position.square()) * speed - theta[1] * torch.sin(position) + x[0]
    return torch.stack((position + 0.3 * speed, speed + 0.3 * force))


def products(theta: Tensor, state: Tensor, x: Tensor) -> Tensor:
    """Parameters that act on several numbers of the state at once, the state on itself multiplicatively."""
    return torch.stack((theta[0] * state[1] * state[0] + theta[1].exp() * x[0], torch.sin(theta.sum() * state).sum()))


SYSTEMS = {"spiral": spiral, "products": products}


class WrongJacobian:
    """A linearization whose products from the right go through Jᵀ."""

    def __init__(self, lin: RecordedLinearization) -> None:
        self.lin = lin

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lin, name)

    def jvp(self, v: Tensor) -> Tensor:
        return self.lin.vjp(v)


def transition(name: str) -> Transition:
    return Transition(SYSTEMS[name], num_parameters=2, state_size=2, input_size=1)


def course(name: str, length: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """θ, the first state, inputs (T, 1) and slopes (T, 2) of a course at fixed θ."""
    torch.manual_seed(11)
    theta = torch.tensor([0.7, 0.4], dtype=dtype)
    return (
        theta,
        torch.tensor([0.5, -0.3], dtype=dtype),
        torch.randn(length, 1, dtype=dtype),
        torch.randn(length, 2, dtype=dtype),
    )


def backpropagated(name: str, length: int, *, last_only: bool = False) -> Tensor:
    """Autograd's gradient of Σ slope · s over the whole course."""
    theta, state, xs, slopes = course(name, length)
    theta.requires_grad_()
    total = theta.new_zeros(())
    for t, (x, slope) in enumerate(zip(xs, slopes, strict=True)):
        state = SYSTEMS[name](theta, state, x)
        if not last_only or t == length - 1:
            total = total + slope @ state
    return torch.autograd.grad(total, theta)[0]


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
@pytest.mark.parametrize("name", sorted(CELLS))
def test_a_cell_written_down_plainly_learns_as_its_closed_form(name: str, estimator: str) -> None:
    """Every estimator's gradients and memory at every step are those of the closed form, to 1e-10."""
    run = make_run(name, units=3, length=6)
    written = plain_cell(name, run)
    ours, theirs = ESTIMATORS[estimator](run.cell), ESTIMATORS[estimator](written)
    memory, other = ours.init(torch.float64), theirs.init(torch.float64)
    for t, lin in enumerate(run.steps):
        nu = torch.randint(0, 2, (ours.num_noise, run.cell.state_size)).double() * 2 - 1
        recorded = written.linearize(run.theta, run.states[t], run.xs[t])
        torch.testing.assert_close(recorded.new_state, run.states[t + 1], rtol=0, atol=1e-12)
        wanted = ours.update(memory, lin, run.slopes[t], nu).grad
        got = theirs.update(other, recorded, run.slopes[t], nu).grad
        assert (wanted is None) == (got is None)
        if wanted is not None:
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
        for key, value in memory.items():
            torch.testing.assert_close(other[key], value, rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # torch's own forward mode calls it
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_products_are_those_of_torch_func(name: str, rows: int) -> None:
    """J v, Jᵀ w and wᵀ∂F/∂θ equal torch.func's forward and reverse mode."""
    theta, state, xs, _ = course(name, 1)
    lin = transition(name).linearize(theta, state, xs[0])
    v = torch.randn(rows, 2, dtype=torch.float64)
    J = torch.func.jacfwd(SYSTEMS[name], argnums=1)(theta, state, xs[0])
    dF = torch.func.jacfwd(SYSTEMS[name], argnums=0)(theta, state, xs[0])
    for got, wanted in (
        (lin.jvp(v), v @ J.T),
        (lin.vjp(v), v @ J),
        (lin.theta_vjp(v), v @ dF),
        (lin.jacobian(), J),
        (lin.dF_dtheta(), dF),
        (lin.norms(lin.deltas(v)), (v @ dF).norm(dim=1)),
    ):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_rtrl_of_any_system_is_backpropagation(name: str) -> None:
    """The sum of the online gradients equals autograd's through the whole course."""
    theta, state, xs, slopes = course(name, 9)
    system = transition(name)
    online = Online(system, Rtrl(system), theta=theta, state=state)
    grads = [online.step(x, lambda s, w=slope: w @ s).grad for x, slope in zip(xs, slopes, strict=True)]
    torch.testing.assert_close(sum(grads), backpropagated(name, 9), rtol=0, atol=1e-10)


def last_gradients(
    name: str, *, wrap: Callable[[Any], Any] = lambda lin: lin, values: tuple[float, float] = (-1.0, 1.0)
) -> Tensor:
    """UORO's gradient at the fourth step, for every pattern of signs before."""
    theta, state, xs, slopes = course(name, 4)
    system, steps = transition(name), []
    for x in xs:
        steps.append(system.linearize(theta, state, x))
        state = steps[-1].new_state
    gradients = []
    for flat in itertools.product(values, repeat=6):
        nus = torch.tensor([*flat, 1.0, 1.0], dtype=torch.float64).view(4, 1, 2)
        estimator = Uoro(system)
        memory = estimator.init(torch.float64)
        for lin, slope, nu in zip(steps, slopes, nus, strict=True):
            gradient = estimator.update(memory, wrap(lin), slope, nu).grad
        gradients.append(gradient)
    return torch.stack(gradients)


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_uoro_of_any_system_is_unbiased(name: str) -> None:
    """The mean over all sign patterns is autograd's gradient, to 1e-10; no single pattern's is."""
    gradients, exact = last_gradients(name), backpropagated(name, 4, last_only=True)
    torch.testing.assert_close(gradients.mean(0), exact, rtol=0, atol=1e-10)
    assert (gradients - exact).abs().amax(dim=1).min() > 1e-6


@pytest.mark.parametrize("name", sorted(SYSTEMS))
@pytest.mark.parametrize(
    "mistake",
    [{"wrap": WrongJacobian}, {"values": (0.0, 1.0)}],
    ids=["wrong Jacobian", "noise that is not centred"],
)
def test_a_wrong_step_is_biased(name: str, mistake: dict[str, Any]) -> None:
    """Negative controls: each mistake moves the mean far beyond rounding."""
    exact = backpropagated(name, 4, last_only=True)
    assert (last_gradients(name, **mistake).mean(0) - exact).abs().max() > 1e-3 * exact.abs().max()


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_float32_runs_in_float32(estimator: str) -> None:
    """State, memory and gradients keep θ's dtype and are near those of float64."""
    grads = {}
    for dtype in (torch.float32, torch.float64):
        theta, state, xs, slopes = course("spiral", 6)
        system = transition("spiral")
        online = Online(system, ESTIMATORS[estimator](system), theta=theta.to(dtype), state=state.to(dtype), seed=4)
        for x, slope in zip(xs.to(dtype), slopes.to(dtype), strict=True):
            step = online.step(x, lambda s, w=slope: w @ s)
        assert {online.state.dtype, step.grad.dtype, *(m.dtype for m in online.memory.values())} == {dtype}
        grads[dtype] = step.grad.double()
    torch.testing.assert_close(grads[torch.float32], grads[torch.float64], rtol=1e-4, atol=1e-5)


def test_a_readout_in_the_loss_learns_exactly_and_torch_moves_both() -> None:
    """The loss's own parameters get autograd's gradient, and one torch optimizer moves them and θ."""
    theta, state, xs, _ = course("spiral", 3)
    system = transition("spiral")
    readout = torch.ones(2, dtype=torch.float64, requires_grad=True)
    theta.requires_grad_()
    optimizer = torch.optim.SGD([theta, readout], lr=0.1)
    online = Online(system, Rtrl(system), theta=theta, state=state)
    for x in xs:
        before = readout.detach().clone(), theta.detach().clone()
        optimizer.zero_grad()
        step = online.step(x, lambda s: (readout @ s - 1).square())
        theta.grad = step.grad
        torch.testing.assert_close(readout.grad, 2 * (before[0] @ online.state - 1) * online.state)
        optimizer.step()
        torch.testing.assert_close(theta.detach(), before[1] - 0.1 * step.grad)


def test_without_a_loss_only_the_memory_rolls() -> None:
    """A step without a loss has no gradient, and is part of the gradients that follow."""
    theta, state, xs, slopes = course("spiral", 4)
    system = transition("spiral")
    online = Online(system, Rtrl(system), theta=theta, state=state)
    steps = [online.step(x, (lambda s: slopes[3] @ s) if t == 3 else None) for t, x in enumerate(xs)]
    assert [(step.loss, step.grad) for step in steps[:3]] == [(None, None)] * 3
    torch.testing.assert_close(steps[3].grad, backpropagated("spiral", 4, last_only=True), rtol=0, atol=1e-10)


def test_a_state_that_does_not_remember_has_no_past() -> None:
    """F without s in it: J is zero, and the gradient is that of the step."""
    system = Transition(lambda theta, s, x: theta * x, num_parameters=2, state_size=2, input_size=1)
    online = Online(system, Uoro(system), theta=torch.ones(2), state=torch.zeros(2))
    for x in (torch.tensor([3.0]), torch.tensor([5.0])):
        assert torch.equal(online.step(x, lambda s: s[0]).grad, torch.cat((x, torch.zeros(1))))


def test_the_example_of_the_documentation_runs() -> None:
    """The block in docs/library.md runs as it stands, and θ moves."""
    page = (Path(__file__).parents[2] / "docs" / "library.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own page
    assert names["step"].loss.item() > 0
    assert torch.isfinite(names["theta"]).all()
    assert not torch.equal(names["theta"], torch.full((2,), 0.5))


@pytest.mark.parametrize("make", [Snap1, UoroRemainder])
def test_what_needs_units_is_refused(make: Callable[..., Estimator]) -> None:
    """SnAp-1 and the control variate say that a general transition has no units."""
    with pytest.raises(TypeError, match="own unit"):
        make(transition("spiral"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda theta, s, x: s[:1] * theta[0], "F returned"),
        (lambda theta, s, x: (s * theta).float(), "F returned"),
        (lambda theta, s, x: (s * theta).detach(), "sees no way"),
    ],
    ids=["shape", "dtype", "cut off"],
)
def test_a_function_that_does_not_fit_is_refused(function: Callable[..., Tensor], message: str) -> None:
    """A wrong shape, another dtype or a cut graph raise ValueError, and nothing has moved."""
    system = Transition(function, num_parameters=2, state_size=2, input_size=1)
    start = torch.ones(2, dtype=torch.float64)
    online = Online(system, Rtrl(system), theta=start, state=start)
    with pytest.raises(ValueError, match=message):
        online.step(torch.ones(1, dtype=torch.float64))
    assert online.num_steps == 0
    assert not online.memory["influence"].any()


def test_an_input_of_another_size_is_refused() -> None:
    """X of two numbers where one was announced raises ValueError."""
    theta, state, _, _ = course("spiral", 1)
    with pytest.raises(ValueError, match=r"x has the shape \(2,\), not \(1,\)"):
        transition("spiral").linearize(theta, state, torch.ones(2, dtype=torch.float64))


SIZE, POSITIVE = 23, 10


def balance() -> Transition:
    """Influence balancing (SCIENCE §5): s' = A s + θ (1, …, 1, -1, …, -1)."""
    A = 0.5 * (torch.eye(SIZE) + torch.diag(torch.ones(SIZE - 1), 1)).double()
    signs = torch.where(torch.arange(SIZE) < POSITIVE, 1.0, -1.0).double()
    return Transition(lambda theta, s, x: A @ s + theta * signs, num_parameters=1, state_size=SIZE, input_size=0)


def balanced(make: Callable[..., Estimator], num_steps: int, rate: float = 0.0) -> tuple[Tensor, Tensor]:
    """θ at the end and all gradients (T, 1), from θ = ½ with s = 1, by plain descent with η = rate."""
    system = balance()
    theta = torch.tensor([0.5], dtype=torch.float64)
    online = Online(system, make(system), theta=theta, state=torch.ones(SIZE, dtype=torch.float64), seed=1)
    grads = []
    optimizer = make_optimizer(OptimizerSpec(name="sgd", learning_rate=rate)) if rate else None
    for t in range(num_steps):
        grad = online.step(theta.new_empty(0), lambda s: 0.5 * (s[0] - 1).square()).grad
        if grad is not None:
            grads.append(grad)
            if optimizer is not None:
                optimizer.update(grad, {}, theta, t + 1)
    return theta, torch.stack(grads)


def test_influence_balancing_has_the_right_sign_without_truncation_only() -> None:
    """At θ = ½ the exact gradient is +24 and UORO's mean near it; truncated to 1 and 10 steps the sign is wrong."""
    _, exact = balanced(Rtrl, 300)
    assert exact[-1].item() == pytest.approx(24.0, abs=1e-6)
    _, noisy = balanced(lambda f: Uoro(f, rank=64), 600)
    settled = noisy[300:]
    assert settled.mean().item() == pytest.approx(24.0, rel=0.5)
    for truncation in (1, 10):
        _, truncated = balanced(lambda f, T=truncation: Tbptt(f, truncation=T), 300)
        assert truncated[-1].item() < 0


def test_influence_balancing_is_solved_without_truncation_only() -> None:
    """RTRL and UORO end at θ* = -1/6, TBPTT(10) runs the other way."""
    for make in (Rtrl, lambda f: Uoro(f, rank=64)):
        theta, _ = balanced(make, 3000, rate=1e-4)
        assert theta.item() == pytest.approx(-1 / 6, abs=1e-6)
    theta, _ = balanced(lambda f: Tbptt(f, truncation=10), 3000, rate=1e-4)
    assert theta.item() > 0.5
