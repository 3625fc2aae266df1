"""The compiled core is the reference core, within the rounding of float32, for every combination."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from uoro.learning import noise
from uoro.learning.block import Block, Layout
from uoro.learning.core import Core, CoreShape
from uoro.learning.kernel import elementary
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
BATTERY = list(itertools.product(["linear", "rnn", "gru", "lstm"], LEARNERS, ["sgd", "rmsprop", "adam"], [None, 0.5]))
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
        for name, expected in judge_block.views.items():
            size = np.abs(expected).max(initial=0.0) + 1e-3
            found = weights_of(core, block[name], expected)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * size, err_msg=name)


@pytest.mark.parametrize("learner", LEARNERS)
def test_one_step_is_the_reference_to_the_last_bits(learner: str) -> None:
    """Before rounding accumulates the two agree to a few units in the last place."""
    core, block, judge, judge_block = pair("gru", learner, "sgd", None)
    x = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    for given, slope in ((x, np.array([0.3, -0.2])), (-x, np.array([0.1, 0.7]))):
        core.x[:] = given
        core.advance()
        core.learn(slope)
        judge.advance(given)
        judge.learn(slope)
    for name, expected in judge_block.views.items():
        size = np.abs(expected).max(initial=0.0) + 1e-3
        found = weights_of(core, block[name], expected)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * size, err_msg=name)


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
    """Exp to 1e-5 relative at the ends of its range, tanh and σ to 3e-7 absolute over all of it."""

    @jit
    def each(x, kind, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for i in range(x.size):
            if kind == 0:
                out[i] = elementary.exp(x[i])
            elif kind == 1:
                out[i] = elementary.tanh(x[i])
            else:
                out[i] = elementary.sigmoid(x[i])

    x = np.linspace(-86, 86, 20_001).astype(np.float32)
    wide = torch.from_numpy(x.astype(np.float64))
    out = np.empty_like(x)
    each(x, 0, out)
    np.testing.assert_allclose(out, np.exp(wide.numpy()), rtol=1e-5)
    each(x, 1, out)
    np.testing.assert_allclose(out, torch.tanh(wide).numpy(), rtol=0, atol=3e-7)
    each(x, 2, out)
    np.testing.assert_allclose(out, torch.sigmoid(wide).numpy(), rtol=0, atol=3e-7)
