"""The compiled core is the reference core, within the rounding of float32, for every combination."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from uoro.learning import elementwise, noise
from uoro.learning.block import Block, Layout
from uoro.learning.core import Core, CoreShape
from uoro.learning.kernel import core as kernel
from uoro.learning.kernel import elementary
from uoro.learning.kernel.family import COUNT, LAMBDA
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.noise import signs
from uoro.learning.reference import core as reference
from uoro.learning.spec import StreamSpec

LEARNERS: dict[str, dict[str, Any]] = {
    "frozen": {"name": "frozen"},
    "uoro": {"name": "uoro", "rank": 1},
    "uoro of rank 3, decaying": {"name": "uoro", "rank": 3, "memory_decay": 0.9},
    "remainder": {"name": "uoro", "rank": 1, "control_variate": "snap1"},
    "remainder of rank 3, weighted": {"name": "uoro", "rank": 3, "control_variate": "snap1", "weight": 0.4},
    "behind one exact step": {"name": "uoro", "control_variate": "snap1", "weight": 0.0},
    "snap1": {"name": "snap1"},
    "rtrl": {"name": "rtrl"},
    "tbptt": {"name": "tbptt", "truncation": 4},
}
CELLS = ["linear", "rnn", "gru", "lstm", "lru"]
BATTERY = list(itertools.product(CELLS, LEARNERS, ["sgd", "rmsprop", "adam"], [None, 0.5]))
NUM_INPUTS, NUM_OUTPUTS = 3, 2


def pair(cell: str, learner: str, optimizer: str, clip: float | None) -> tuple[Core, Block, reference.Core, Block]:
    """A compiled core and a reference core at the same point."""
    spec = StreamSpec.parse(
        {
            "fields": {"v": {"type": "number"}},
            "cell": cell,
            "hidden_size": 5,
            "aggregation": "none",
            "learner": LEARNERS[learner],
            "optimizer": {"name": optimizer, "learning_rate": 0.01, "clip": clip, "decay": 0.01},
            "seed": 7,
        }
    )
    shape = CoreShape(spec, NUM_INPUTS, NUM_OUTPUTS)
    layout = Layout(shape.parts())
    block = Block(layout)
    core = Core(shape, block, shape.places(layout))
    judge_shape = reference.CoreShape(spec, NUM_INPUTS, NUM_OUTPUTS)
    judge_block = Block(Layout(judge_shape.parts()))
    judge = reference.Core(judge_shape, judge_block)
    core.init()
    judge.init()
    return core, block, judge, judge_block


def weights_of(core: Core, view: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A part without the padding of θ's rows, in the shape of the reference's."""
    if view.shape == like.shape:
        return view
    shape = core.shape
    return view.reshape(-1, shape.num_columns)[:, : shape.num_weights].reshape(like.shape)


@pytest.mark.parametrize(("cell", "learner", "optimizer", "clip"), BATTERY)
def test_kernel_is_the_reference(cell: str, learner: str, optimizer: str, clip: float | None) -> None:
    """Forty steps, some without a target: every part of the state stays equal within accumulated rounding."""
    core, block, judge, judge_block = pair(cell, learner, optimizer, clip)
    chance = np.random.default_rng(0)
    for _ in range(40):
        x = chance.standard_normal(NUM_INPUTS).astype(np.float32)
        slope = chance.standard_normal(NUM_OUTPUTS) if chance.random() < 0.8 else None
        core.x[:] = x
        core.advance()
        judge.advance(x)
        core.learn(slope)
        judge.learn(slope)
        assert_like(core, block, judge_block, cell, 1e-4)


def assert_like(core: Core, block: Block, judge: Block, cell: str, tolerance: float) -> None:
    """Every part equals the reference's, by the largest number in it."""
    for name, expected in (kept(judge) if cell == "lru" else judge.views).items():
        size = np.abs(expected).max(initial=0.0) + 1e-3
        found = weights_of(core, block[name], expected)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * size, err_msg=name)


def kept(judge: Block) -> dict[str, np.ndarray]:
    """The reference's parts as the kernel keeps them for the lru; what it does not keep is shown to say nothing more.

    Of ∂s/∂θ the kernel has ∂z/∂(Re B, ν, φ), real and imaginary. Re z and Im z of a unit depend on its own
    parameters only, ∂z/∂Im B is i ∂z/∂Re B, and the copies of a remainder that is zero have no θ̃.
    """
    views = dict(judge.views)
    influence = views.pop("estimator.influence", None)
    if influence is None:
        return views
    rows, H = 2 * (NUM_INPUTS + 1) + 2, judge["core.state"].size // 3
    if len(influence) > 3:
        dense = influence.reshape(3, H, rows, H)
        own = np.einsum("curu->cru", dense)
        assert np.count_nonzero(dense) == np.count_nonzero(own)
    else:
        own = influence.reshape(3, rows, H)
    num = NUM_INPUTS + 1
    by_re, by_im = own[1:, :num], own[1:, num : 2 * num]
    np.testing.assert_allclose(by_im, np.stack((-by_re[1], by_re[0])), rtol=0, atol=1e-5 * np.abs(own).max())
    views["estimator.influence"] = np.concatenate((by_re, own[1:, 2 * num :]), axis=1)
    views.pop("estimator.s_tilde", None)
    assert not views.pop("estimator.theta_tilde", np.zeros(1)).any()
    return views


@pytest.mark.parametrize("cell", ["gru", "lru"])
@pytest.mark.parametrize("learner", LEARNERS)
def test_one_step_is_the_reference_to_the_last_bits(cell: str, learner: str) -> None:
    """Before rounding accumulates the two agree to a few units in the last place."""
    core, block, judge, judge_block = pair(cell, learner, "sgd", None)
    x = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    for given, slope in ((x, np.array([0.3, -0.2])), (-x, np.array([0.1, 0.7]))):
        core.x[:] = given
        core.advance()
        core.learn(slope)
        judge.advance(given)
        judge.learn(slope)
    assert_like(core, block, judge_block, cell, 1e-6)


def assert_same_course(*cores: Core) -> None:
    """Thirty steps, some without a target: the same θ, readout, traces and prediction, bit for bit."""
    chance = np.random.default_rng(1)
    for _ in range(30):
        x, slope = chance.standard_normal(NUM_INPUTS).astype(np.float32), chance.standard_normal(NUM_OUTPUTS)
        is_known = chance.random() < 0.8
        for core in cores:
            core.x[:] = x
            core.advance()
            core.learn(slope if is_known else None)
    for core in cores[1:]:
        for name in ("theta", "readout", "hidden", "output"):
            np.testing.assert_array_equal(getattr(core, name), getattr(cores[0], name))
    assert not np.array_equal(cores[0].theta, elementwise.draw(7, NUM_INPUTS, 5))


EXACT = ["snap1", "rtrl", "remainder", "remainder of rank 3, weighted", "behind one exact step"]


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_all_that_is_exact_on_the_lru_is_one_thing(optimizer: str) -> None:
    """RTRL, SnAp-1 and UORO behind SnAp-1, of any rank and weight, differ in no bit and keep no copies."""
    pairs = [pair("lru", learner, optimizer, None) for learner in EXACT]
    assert_same_course(*(core for core, *_ in pairs))
    for _, block, *_ in pairs:
        assert [name for name in block.views if name.startswith("estimator.")] == ["estimator.influence"]
        np.testing.assert_array_equal(block["estimator.influence"], pairs[0][1]["estimator.influence"])
        assert block["estimator.influence"].any()


def test_weight_from_the_data_on_the_lru() -> None:
    """Behind SnAp-1 there is nothing to weigh; plain UORO takes λ in [0, 1] from its copies."""
    auto = {"name": "uoro", "rank": 4, "weight": "auto"}
    cores = []
    for learner in ({**auto, "control_variate": "snap1"}, auto):
        document = {"fields": {"v": {"type": "number"}}, "cell": "lru", "hidden_size": 5, "learner": learner, "seed": 7}
        shape = CoreShape(StreamSpec.parse(document), NUM_INPUTS, NUM_OUTPUTS)
        layout = Layout(shape.parts())
        core = Core(shape, Block(layout), shape.places(layout))
        core.init()
        cores.append(core)
    assert_same_course(cores[0])
    assert not cores[0].weighing.any()
    assert_same_course(cores[1])
    assert cores[1].weighing[COUNT] > 0
    assert 0.0 <= cores[1].weighing[LAMBDA] <= 1.0


@pytest.mark.parametrize("learner", ["rtrl", "uoro", "tbptt"])
def test_the_lru_stays_finite_and_inside_the_circle(learner: str) -> None:
    """100,000 steps of inputs up to 100 and slopes up to 10 at a learning rate of .1: no reset, and |λ| < 1 always."""
    core, block, _, _ = pair("lru", learner, "adam", None)
    core.shape.rates[kernel.LEARNING_RATE] = 0.1
    chance = np.random.default_rng(2)
    size, where = 5, (block.bytes.view(np.float32), core.shape.places(Layout(core.shape.parts())))
    xs = (100.0 * chance.uniform(-1, 1, (1000, NUM_INPUTS))).astype(np.float32)
    slopes = (10.0 * chance.uniform(-1, 1, (1000, NUM_OUTPUTS))).astype(np.float32)
    largest = np.zeros(1, np.float32)
    for _ in range(100):
        resets = run(*where, core.shape.sizes, core.shape.rates, core.steps, core.weighing, xs, slopes, size, largest)
        assert resets == 0
    assert core.steps[0] == 100_000
    assert 0.5 < largest[0] < 1.0
    assert all(np.isfinite(view).all() for view in block.views.values())


@jit
def run(f4, places, sizes, rates, steps, weighing, xs, slopes, size, largest):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """So many steps; `largest` is the largest |λ|² met. Returns the resets."""
    nothing, resets = np.zeros(size, np.float32), 0
    activations = kernel.part(f4, places, kernel.ACTIVATIONS)
    for t in range(len(xs)):
        kernel.part(f4, places, kernel.X)[:] = xs[t]
        steps[0] += 1
        resets += 0 if kernel.advance_elementwise(f4, places, sizes) else 1
        for u in range(size):
            largest[0] = max(largest[0], activations[u] ** 2 + activations[size + u] ** 2)
        resets += kernel.learn_elementwise(
            f4,
            places,
            sizes,
            rates,
            7,
            steps,
            weighing,
            slopes[t],
            nothing,
            True,
        )
    return resets


@pytest.mark.parametrize("nu", [-1e6, -20.0, 2.999, 3.0, 1e6])
def test_the_lru_takes_any_parameter(nu: float) -> None:
    """However far ν and φ have run, |λ| < 1 and γ > 0 in float32, nothing resets, and a held ν is not moved."""
    core, block, _, _ = pair("lru", "rtrl", "sgd", None)
    rows = core.theta.reshape(-1, 5)
    rows[-2], rows[-1] = nu, [-1e6, -1e4, 0.0, 3e3, 1e6]
    before = rows[-2].copy()
    for _ in range(50):
        core.x[:] = 1.0
        core.advance()
        by_re, by_im, gamma = block["core.activations"].reshape(6, 5)[:3]
        assert (by_re**2 + by_im**2 < 1.0).all()
        assert (gamma > 0.0).all()
        core.learn(np.ones(NUM_OUTPUTS))
    assert core.num_resets[0] == 0
    assert np.isfinite(block["estimator.influence"]).all()
    assert (rows[-2] == before).all() or nu < 3.0


def test_a_memory_that_is_not_finite_is_emptied_and_counted() -> None:
    """θ̃ poisoned with infinity: the cell's step is skipped, the memory is zero, the count rises by one, θ stays."""
    core, block, _, _ = pair("gru", "uoro", "adam", None)
    core.x[:] = 1.0
    core.advance()
    core.learn(np.ones(NUM_OUTPUTS))
    core.advance()
    block["estimator.s_tilde"][:] = np.inf
    theta = core.theta.copy()
    core.learn(np.ones(NUM_OUTPUTS))
    assert core.num_resets[0] == 1
    assert np.array_equal(core.theta, theta)
    assert not block["estimator.theta_tilde"].any()


@pytest.mark.parametrize(("seed", "step"), [(0, 0), (7, 1), (2**62, 123_456_789)])
def test_signs_are_those_of_the_reference_bit_for_bit(seed: int, step: int) -> None:
    """Any shape, also beyond one word of 64."""
    out = np.empty((3, 50), np.float32)
    signs(seed, step, out)
    assert np.array_equal(out, noise.signs(seed, step, (3, 50)))


def test_elementary_functions_are_exact_to_float32() -> None:
    """Exp to 1e-5 relative at the ends of its range, tanh, σ, cosine and sine to 3e-7 absolute over all of it."""

    @jit
    def each(x, kind, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for i in range(x.size):
            if kind == 0:
                out[i] = elementary.exp(x[i])
            elif kind == 1:
                out[i] = elementary.tanh(x[i])
            elif kind == 2:
                out[i] = elementary.sigmoid(x[i])
            else:
                out[i] = elementary.cosine_and_sine(x[i])[kind - 3]

    x = np.linspace(-86, 86, 20_001).astype(np.float32)
    wide = torch.from_numpy(x.astype(np.float64))
    out = np.empty_like(x)
    each(x, 0, out)
    np.testing.assert_allclose(out, np.exp(wide.numpy()), rtol=1e-5)
    each(x, 1, out)
    np.testing.assert_allclose(out, torch.tanh(wide).numpy(), rtol=0, atol=3e-7)
    each(x, 2, out)
    np.testing.assert_allclose(out, torch.sigmoid(wide).numpy(), rtol=0, atol=3e-7)
    for angles in (x, np.linspace(-1e4, 1e4, 20_001).astype(np.float32)):
        for kind, exact in ((3, np.cos), (4, np.sin)):
            each(angles, kind, out)
            np.testing.assert_allclose(out, exact(angles.astype(np.float64)), rtol=0, atol=3e-7)
