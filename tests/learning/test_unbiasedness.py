"""UORO's mean over all sign patterns is exactly RTRL's; each way of getting it wrong is shown to fail."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from cell_run import Run, make_run
from torch import Tensor

from uoro.learning.reference.cells import CELLS
from uoro.learning.reference.estimators import Estimator, Rtrl, Uoro, UoroRemainder

CASES = {"linear": 2, "rnn": 2, "gru": 2, "lstm": 1, "lru": 1}
"""Units by cell; the state has two numbers in every case but that of the lru, which has three."""


class WrongJacobian:
    """A linearization whose tangent goes through Jᵀ."""

    def __init__(self, lin: Any) -> None:
        self.lin = lin

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lin, name)

    def jvp(self, v: Tensor) -> Tensor:
        return self.lin.vjp(v)


class OddRho(Uoro):
    """ρ₁ looks at the sign of ν."""

    def rho(self, a: Tensor, nu: Tensor, theta_tilde: Tensor, norm_d: Tensor) -> tuple[Tensor, Tensor]:
        rho_0, rho_1 = super().rho(a, nu, theta_tilde, norm_d)
        return rho_0, rho_1 * torch.where(nu[:, 0] > 0, 2.0, 1.0)


def patterns(length: int, rank: int, size: int, values: tuple[float, float] = (-1.0, 1.0)) -> Iterator[Tensor]:
    """All sequences of `length` noise matrices (rank, size)."""
    for flat in itertools.product(values, repeat=length * rank * size):
        yield torch.tensor(flat, dtype=torch.float64).view(length, rank, size)


def estimates(
    make_estimator: Callable[..., Estimator],
    run: Run,
    rank: int,
    *,
    values: tuple[float, float] = (-1.0, 1.0),
    wrap: Callable[[Any], Any] = lambda lin: lin,
) -> tuple[Tensor, Tensor]:
    """Per pattern, the estimate of G after all steps but the last, and the last step's gradient."""
    length = len(run.steps)
    influences, gradients = [], []
    last = torch.ones(rank, run.cell.state_size, dtype=torch.float64)
    for nus in patterns(length - 1, rank, run.cell.state_size, values):
        estimator = make_estimator(run.cell, rank=rank)
        state = estimator.init(torch.float64)
        for t in range(length - 1):
            estimator.update(state, wrap(run.steps[t]), run.slopes[t], nus[t])
        influence = torch.einsum("ks,kp->sp", state["s_tilde"], state["theta_tilde"]) / rank
        influences.append(influence + own_part(run, state))
        gradients.append(estimator.update(state, wrap(run.steps[-1]), run.slopes[-1], last).grad)
    return torch.stack(influences), torch.stack(gradients)


def own_part(run: Run, state: dict[str, Tensor]) -> Tensor:
    """The control variate's S as a dense (S, P) matrix; zero without one."""
    cell = run.cell
    dense = torch.zeros(cell.state_size, cell.num_parameters, dtype=torch.float64)
    if "influence" in state:
        unit_of = torch.arange(cell.num_parameters) // (cell.num_parameters // (cell.num_gates * cell.hidden_size))
        for part, row in enumerate(state["influence"]):
            dense[part * cell.hidden_size + unit_of % cell.hidden_size, torch.arange(cell.num_parameters)] = row
    return dense


def exact(run: Run) -> tuple[Tensor, Tensor]:
    """RTRL's G after all steps but the last, and the last step's gradient."""
    estimator = Rtrl(run.cell)
    state = estimator.init(torch.float64)
    for lin, slope in zip(run.steps[:-1], run.slopes[:-1], strict=True):
        estimator.update(state, lin, slope, None)
    return state["influence"].clone(), estimator.update(state, run.steps[-1], run.slopes[-1], None).grad


EXACT_CASES = [
    *((Uoro, name, CASES[name], rank, length) for name in sorted(CASES) for rank, length in ((1, 4), (2, 3))),
    # Behind a control variate noise enters one step later, and a unit alone has no remainder.
    *((UoroRemainder, name, 2, rank, 4) for name in ("linear", "rnn", "gru") for rank in (1, 2)),
    (UoroRemainder, "lstm", 2, 1, 4),
    # No remainder is left to an lru; two units of it have six numbers of state.
    (Uoro, "lru", 2, 1, 3),
]


@pytest.mark.parametrize(("estimator", "name", "units", "rank", "length"), EXACT_CASES)
def test_mean_over_all_signs_is_exact(estimator: Any, name: str, units: int, rank: int, length: int) -> None:
    """The mean of (S +) s̃ θ̃ᵀ and of the gradient over every sign pattern is RTRL's; no single pattern's is."""
    run = make_run(name, units=units, inputs=1, length=length, seed=3)
    influences, gradients = estimates(estimator, run, rank)
    G, gradient = exact(run)
    torch.testing.assert_close(influences.mean(0), G, rtol=0, atol=1e-10)
    torch.testing.assert_close(gradients.mean(0), gradient, rtol=0, atol=1e-10)
    assert (influences - G).abs().amax(dim=(1, 2)).min() > 1e-4
    assert (gradients - gradient).abs().amax(dim=1).min() > 1e-6


@pytest.mark.parametrize("name", sorted(CELLS))
@pytest.mark.parametrize(
    ("estimator", "options"),
    [(Uoro, {"wrap": WrongJacobian}), (Uoro, {"values": (0.0, 1.0)}), (OddRho, {})],
    ids=["wrong Jacobian", "noise that is not centred", "rho that looks at the signs"],
)
def test_a_wrong_step_is_biased(name: str, estimator: Any, options: dict[str, Any]) -> None:
    """Each negative control misses RTRL by far more than rounding."""
    # Three steps: ρ₀ takes back what an odd ρ₁ did to the scale of a single step before.
    run = make_run(name, units=CASES[name], inputs=1, length=4, seed=3)
    influences, _ = estimates(estimator, run, 1, **options)
    G, _ = exact(run)
    assert (influences.mean(0) - G).abs().max() > 1e-4 * G.abs().max()


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "lru"])
def test_error_of_the_mean_falls_like_one_over_root_n(name: str) -> None:
    """Relative error of the mean of N draws shrinks about tenfold from N = 200 to N = 20,000."""
    run = make_run(name, units=6, inputs=2, length=12)
    _, gradient = exact(run)
    torch.manual_seed(5)
    errors = []
    for num in (200, 20_000):
        # A rank of N is N independent draws, and their mean is the gradient returned.
        estimator = Uoro(run.cell, rank=num)
        state = estimator.init(torch.float64)
        for lin, slope in zip(run.steps, run.slopes, strict=True):
            nu = torch.randint(0, 2, (num, run.cell.state_size)).double() * 2 - 1
            grad = estimator.update(state, lin, slope, nu).grad
        errors.append(float((grad - gradient).norm() / gradient.norm()))
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.6)
    assert errors[1] < 0.1
