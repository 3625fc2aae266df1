"""The cells against torch's own, and their products with Jacobians against torch.func."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from cell_run import make_run
from torch import Tensor
from torch.func import jacrev, jvp, vjp

from uoro.learning import elementwise
from uoro.learning.reference.cells import CELLS, make_cell

TORCH_CELLS = {"rnn": torch.nn.RNNCell, "gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}
ALL = sorted(CELLS)


@pytest.mark.parametrize("name", sorted(TORCH_CELLS))
def test_cell_is_torchs_own(name: str) -> None:
    """With the same weights the new state equals that of torch's cell."""
    torch.manual_seed(1)
    theirs = TORCH_CELLS[name](3, 5).double()
    cell = make_cell(name, 5, 3)
    theta = torch.cat(
        (theirs.weight_ih, theirs.bias_ih[:, None], theirs.weight_hh, theirs.bias_hh[:, None]), dim=1
    ).detach()
    x, state = torch.randn(3).double(), torch.randn(cell.state_size).double()
    ours, _ = cell.forward(theta.reshape(-1), state, x)
    if name == "lstm":
        expected = torch.cat(theirs(x[None], (state[None, :5], state[None, 5:])), dim=1)[0]
    else:
        expected = theirs(x[None], state[None])[0]
    torch.testing.assert_close(ours, expected.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_lru_is_the_paper_in_complex_numbers(seed: int) -> None:
    """A course of twenty steps equals z' = λ z + γ B [x; 1] of Orvieto et al. in numpy's complex128."""
    chance = np.random.default_rng(seed)
    H, I, cell = 5, 3, make_cell("lru", 5, 3)  # noqa: E741 - the mathematics' own names
    B = chance.normal(size=(H, I + 1)) + 1j * chance.normal(size=(H, I + 1))
    nu, phase = chance.normal(size=H) - 1.0, chance.uniform(-7, 7, H)
    eigenvalue = np.exp(-(np.exp(nu) + 2.0**-12) + 1j * phase)
    theta = torch.from_numpy(np.concatenate((B.real.T, B.imag.T, nu[None], phase[None])).reshape(-1))
    z = chance.normal(size=H) + 1j * chance.normal(size=H)
    state = torch.from_numpy(np.concatenate((np.zeros(H), z.real, z.imag)))
    for x in chance.normal(size=(20, I)):
        z = eigenvalue * z + np.sqrt(1 - np.abs(eigenvalue) ** 2) * (B @ np.append(x, 1.0))
        state, _ = cell.forward(theta, state, torch.from_numpy(x))
        np.testing.assert_allclose(state, np.concatenate((np.tanh(z.real), z.real, z.imag)), rtol=1e-12, atol=1e-13)


def test_lru_is_drawn_on_a_ring() -> None:
    """Memories from 1 to 100 steps, as many in each decade; half of the phases below π/4; B of variance 1/(I + 1)."""
    cell = make_cell("lru", 4000, 3)
    theta = cell.init(7)
    assert torch.equal(theta, cell.init(7))
    assert not torch.equal(theta, cell.init(8))
    assert theta.dtype == torch.float32
    assert np.array_equal(theta.numpy(), elementwise.draw(7, 3, 4000))
    rows = theta.view(10, 4000)
    memory = (-rows[8]).exp()
    assert 1.0 <= memory.min() < 1.01
    assert 99.0 < memory.max() <= 100.001
    assert (memory < 10).float().mean() == pytest.approx(0.5, abs=0.03)
    assert 0.0 <= rows[9].min() < 0.01
    assert (rows[9] < math.pi / 4).float().mean() == pytest.approx(0.5, abs=0.03)
    assert 3.13 < rows[9].max() <= 3.1416
    assert rows[:8].square().mean() == pytest.approx(0.5 / 4, rel=0.03)


# torch's own forward mode loads a deprecated part of torch.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.parametrize("name", ALL)
def test_products_with_jacobians_are_torch_funcs(name: str) -> None:
    """J v, Jᵀ w and wᵀ∂F/∂θ equal torch.func's, for several vectors at once."""
    run = make_run(name, units=4, inputs=3, length=1)
    cell, lin, x = run.cell, run.steps[0], run.xs[0]
    v, w = torch.randn(2, 3, cell.state_size, dtype=torch.float64)

    def of_state(state: Tensor) -> Tensor:
        return cell.forward(run.theta, state, x)[0]

    def of_theta(theta: Tensor) -> Tensor:
        return cell.forward(theta, run.states[0], x)[0]

    for i in range(3):
        torch.testing.assert_close(lin.jvp(v)[i], jvp(of_state, (run.states[0],), (v[i],))[1])
        torch.testing.assert_close(lin.vjp(w)[i], vjp(of_state, run.states[0])[1](w[i])[0])
        torch.testing.assert_close(lin.theta_vjp(w)[i], vjp(of_theta, run.theta)[1](w[i])[0])
    torch.testing.assert_close(lin.norms(lin.deltas(w)), lin.theta_vjp(w).norm(dim=1))


@pytest.mark.parametrize("name", ALL)
def test_dense_jacobians_are_torch_funcs(name: str) -> None:
    """J and ∂F/∂θ equal torch.func's, and the own-unit parts are their diagonals by unit."""
    run = make_run(name, units=3, inputs=2, length=1)
    cell, lin, x = run.cell, run.steps[0], run.xs[0]
    J = jacrev(lambda state: cell.forward(run.theta, state, x)[0])(run.states[0])
    dF_dtheta = jacrev(lambda theta: cell.forward(theta, run.states[0], x)[0])(run.theta)
    torch.testing.assert_close(lin.jacobian(), J)
    torch.testing.assert_close(lin.dF_dtheta(), dF_dtheta)
    c, H = cell.num_states, cell.hidden_size
    torch.testing.assert_close(lin.own_unit(), J.view(c, H, c, H).diagonal(dim1=1, dim2=3))
    own = dF_dtheta.view(c, H, cell.num_gates, H, -1).diagonal(dim1=1, dim2=3).permute(0, 1, 3, 2)
    zero = torch.zeros(c, cell.num_parameters, dtype=torch.float64)
    torch.testing.assert_close(lin.add_own_unit(zero), own.reshape(c, -1))


def test_finite_differences_in_float32_would_not_do() -> None:
    """A negative control for exactness: the customary float32 finite difference misses J v by far."""
    run = make_run("gru", units=8, inputs=3, length=1)
    lin, theta = run.steps[0], run.theta.float()
    v = torch.randn(1, 8, dtype=torch.float64)
    step = 1e-7
    moved, _ = run.cell.forward(theta, (run.states[0] + step * v[0]).float(), run.xs[0].float())
    still, _ = run.cell.forward(theta, run.states[0].float(), run.xs[0].float())
    exact = lin.jvp(v)[0]
    assert ((moved - still) / step - exact).norm() > 0.05 * exact.norm()


@pytest.mark.parametrize("name", sorted(set(CELLS) - {"lru"}))
def test_parameters_are_drawn_from_the_seed(name: str) -> None:
    """The same seed gives the same bits, another seed others, within ±1/√H but for the one biased gate."""
    cell = make_cell(name, 16, 3)
    theta = cell.init(7)
    assert torch.equal(theta, cell.init(7))
    assert not torch.equal(theta, cell.init(8))
    assert theta.dtype == torch.float32
    rows = theta.view(-1, 3 + 16 + 2).clone()
    if name in {"gru", "lstm"}:
        assert rows[16:32, 3].min() >= 0.75
        rows[16:32, 3] -= 1.0
    assert rows.abs().max() <= 0.25 + 1e-6
    assert rows.std() > 0.1
