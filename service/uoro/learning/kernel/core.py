"""The recurrent core of a stream, compiled: `learn` and `advance` of `uoro.learning.core`, in place on the block.

The block is seen as float32, `f4`; `places[PART]` is (first element, number of elements) of each part, zero elements
for
what a spec does not have. `sizes` and `rates` are what the spec says; their places are named below.
"""

from __future__ import annotations

import numpy as np
from numba import uintp as U

from uoro.learning.kernel import elementwise
from uoro.learning.kernel.cells import forward, linearize, listen
from uoro.learning.kernel.exact import rtrl, snap1, tbptt
from uoro.learning.kernel.family import Memory, family
from uoro.learning.kernel.jacobian import Point
from uoro.learning.kernel.jit import is_finite, jit
from uoro.learning.kernel.noise import INIT_STEP, signs, uniform
from uoro.learning.kernel.optimizers import Descent, move, move_all, schedule

PARTS = (
    "core.theta", "core.readout", "core.state", "core.previous", "core.x", "core.activations", "core.output",
    "estimator.s_tilde", "estimator.theta_tilde", "estimator.square_norms", "estimator.influence",
    "estimator.influence_norms", "estimator.pairs", "estimator.previous", "estimator.x", "estimator.dl_ds",
    "estimator.length",
    "cell_optimizer.mean", "cell_optimizer.square", "readout_optimizer.mean", "readout_optimizer.square",
)  # fmt: skip
(
    THETA, READOUT, STATE, PREVIOUS, X, ACTIVATIONS, OUTPUT, S_TILDE, THETA_TILDE, SQUARE_NORMS, INFLUENCE,
    INFLUENCE_NORMS, PAIRS, CHUNK_PREVIOUS, CHUNK_X, CHUNK_W, CHUNK_LENGTH, MEAN, SQUARE, READOUT_MEAN, READOUT_SQUARE,
) = range(len(PARTS))  # fmt: skip

SIZES = (
    "cell", "estimator", "optimizer", "gates", "states", "units", "inputs", "outputs", "copies", "truncation",
    "biased_gate",
)  # fmt: skip
CELL, ESTIMATOR, OPTIMIZER, NUM_GATES, NUM_STATES = range(5)
NUM_UNITS, NUM_INPUTS, NUM_OUTPUTS, NUM_COPIES, TRUNCATION, BIASED_GATE = range(5, len(SIZES))
RATES = ("learning_rate", "decay", "epsilon", "clip", "memory_decay", "weight", "gate_bias")
LEARNING_RATE, DECAY, ADAM_EPSILON, CLIP, MEMORY_DECAY, WEIGHT, GATE_BIAS = range(len(RATES))

FROZEN, FAMILY, SNAP1, RTRL, TBPTT = range(5)
MAX_PARAMETER = np.float32(1e6)
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@jit
def part(f4, places, which):
    """A part of the block as a vector."""
    return f4[places[which, 0] : places[which, 0] + places[which, 1]]


@jit
def clear(f4, places, statistics):
    """Everything that changes is zero."""
    for which in range(len(PARTS)):
        part(f4, places, which)[:] = ZERO
    statistics[:] = 0.0


@jit
def init(f4, places, sizes, rates, seed, statistics):
    """Draw θ from the seed, uniform within ±1/√H; the state, the readout and all memories start at zero."""
    clear(f4, places, statistics)
    H, num_inputs = sizes[NUM_UNITS], sizes[NUM_INPUTS]
    num_rows, num_weights = sizes[NUM_GATES] * H, num_inputs + H + 2
    rows = part(f4, places, THETA).reshape((num_rows, -1))
    drawn = np.empty(num_rows * num_weights, np.float32)
    uniform(seed, INIT_STEP, drawn)
    root = np.float32(np.sqrt(np.float64(H)))
    for r in range(num_rows):
        for j in range(num_weights):
            rows[r, j] = drawn[r * num_weights + j] / root
    start = sizes[BIASED_GATE] * H
    for r in range(max(start, 0), start + H):  # none for a cell without such a gate, which is -1
        rows[r, num_inputs] += np.float32(rates[GATE_BIAS])


@jit
def learn(f4, places, sizes, rates, seed, steps, statistics, slope, direct, has_loss):
    """Learn from slope (O,), ∂loss/∂output of the pending prediction, by the UORO family, or with a frozen cell.

    direct (H,) is what else of the loss depends on h, by readouts that are not the core's own; without a loss the
    influence only rolls. steps (3,): observations, updates of the cell, updates of the readout. Returns how many
    numeric
    resets it took: a memory that was not finite is emptied and the cell's step skipped.
    """
    w = _slope_of_state(f4, places, sizes, slope, direct, has_loss)
    num_resets = 0
    if sizes[ESTIMATOR] == FAMILY:
        c, H, k = sizes[NUM_STATES], sizes[NUM_UNITS], sizes[NUM_COPIES]
        theta, influence = part(f4, places, THETA), part(f4, places, INFLUENCE)
        num_kept = influence.size // theta.size
        memory = Memory(
            part(f4, places, S_TILDE).reshape((k, c, H)), part(f4, places, THETA_TILDE),
            part(f4, places, SQUARE_NORMS), part(f4, places, PAIRS),
            influence, part(f4, places, INFLUENCE_NORMS).reshape((num_kept, num_kept, H)), statistics,
        )  # fmt: skip
        rate, epsilon = schedule(
            sizes[OPTIMIZER], rates[LEARNING_RATE], rates[DECAY], rates[ADAM_EPSILON], steps[1] + 1
        )
        mean, square = part(f4, places, MEAN), part(f4, places, SQUARE)
        descent = Descent(sizes[OPTIMIZER], mean, square, rate, epsilon, rates[CLIP])
        nu = np.empty((k, c, H), np.float32)
        signs(seed, steps[0], nu)
        gamma, weight = np.float32(rates[MEMORY_DECAY]), np.float32(rates[WEIGHT])
        is_sound = family(_point(f4, places, sizes), memory, nu, w, has_loss, gamma, weight, descent)
        if not is_sound:
            forget_influence(f4, places)
            num_resets = 1
        elif has_loss:
            steps[1] += 1
    if has_loss:
        _learn_readout(f4, places, sizes, rates, steps, slope)
    return num_resets


@jit
def learn_exactly(f4, places, sizes, rates, steps, slope, direct, has_loss):
    """The same by SnAp-1, exact RTRL or chunked backpropagation, compiled apart since few streams ask for them."""
    w = _slope_of_state(f4, places, sizes, slope, direct, has_loss)
    point = _point(f4, places, sizes)
    theta, influence = part(f4, places, THETA), part(f4, places, INFLUENCE)
    rate, epsilon = schedule(sizes[OPTIMIZER], rates[LEARNING_RATE], rates[DECAY], rates[ADAM_EPSILON], steps[1] + 1)
    gradient = np.empty(theta.size, np.float32)
    is_sound = True
    has_gradient = has_loss
    if sizes[ESTIMATOR] == SNAP1:
        is_sound = snap1(point, w, influence, gradient)
    elif sizes[ESTIMATOR] == RTRL:
        is_sound = rtrl(point, w, influence, gradient)
    else:
        T, size, num_rows = sizes[TRUNCATION], w.size, sizes[NUM_GATES] * sizes[NUM_UNITS]
        workspace = (
            np.empty(size, np.float32), np.empty(part(f4, places, ACTIVATIONS).size, np.float32),
            np.empty(num_rows, np.float32), np.empty(num_rows, np.float32),
        )  # fmt: skip
        has_gradient = tbptt(
            sizes[CELL], point, part(f4, places, PREVIOUS), part(f4, places, X), w,
            part(f4, places, CHUNK_PREVIOUS).reshape((T, size)),
            part(f4, places, CHUNK_X).reshape((T, sizes[NUM_INPUTS])),
            part(f4, places, CHUNK_W).reshape((T, size)), part(f4, places, CHUNK_LENGTH), workspace, gradient,
        )  # fmt: skip
    if is_sound and has_gradient:
        mean, square = part(f4, places, MEAN), part(f4, places, SQUARE)
        descent = Descent(sizes[OPTIMIZER], mean, square, rate, epsilon, rates[CLIP])
        is_sound = _apply(theta, gradient, descent)
    if not is_sound:
        forget_influence(f4, places)
    elif has_gradient:
        steps[1] += 1
    if has_loss:
        _learn_readout(f4, places, sizes, rates, steps, slope)
    return 0 if is_sound else 1


@jit
def learn_elementwise(f4, places, sizes, rates, seed, steps, statistics, slope, direct, has_loss):
    """The same for the linear recurrent unit, whatever its learner."""
    is_sound = True
    if sizes[ESTIMATOR] != FROZEN:
        gradient = np.empty(places[THETA, 1], np.float32)
        w = _slope_of_state(f4, places, sizes, slope, direct, has_loss)
        is_sound, has_gradient = _estimate_elementwise(
            f4, places, sizes, rates, seed, steps, statistics, w, has_loss, gradient
        )
        if is_sound and has_gradient:
            is_sound = elementwise.clipped(gradient, rates[CLIP])
        if not is_sound:
            forget_influence(f4, places)
        elif has_gradient:
            steps[1] += 1
            rate, epsilon = schedule(
                sizes[OPTIMIZER], rates[LEARNING_RATE], rates[DECAY], rates[ADAM_EPSILON], steps[1]
            )
            mean, square = part(f4, places, MEAN), part(f4, places, SQUARE)
            move(sizes[OPTIMIZER], part(f4, places, THETA), U(0), gradient, mean, square, rate, epsilon)
    if has_loss:
        _learn_readout(f4, places, sizes, rates, steps, slope)
    return 0 if is_sound else 1


@jit
def _estimate_elementwise(f4, places, sizes, rates, seed, steps, statistics, w, has_loss, gradient):
    """gradient (P,) for w (3, H) = ∂loss/∂s, by the exact influence, plain UORO or chunked backpropagation.

    Returns whether the memory and the gradient are finite, and whether there is a gradient.
    """
    x, previous = part(f4, places, X), part(f4, places, PREVIOUS)
    k, c, H = sizes[NUM_COPIES], sizes[NUM_STATES], sizes[NUM_UNITS]
    if sizes[ESTIMATOR] == TBPTT:
        T = sizes[TRUNCATION]
        is_over = elementwise.tbptt(
            part(f4, places, THETA), previous, x, w.reshape(c * H),
            part(f4, places, CHUNK_PREVIOUS).reshape((T, c * H)), part(f4, places, CHUNK_X).reshape((T, x.size)),
            part(f4, places, CHUNK_W).reshape((T, c * H)), part(f4, places, CHUNK_LENGTH), gradient,
        )  # fmt: skip
        return not is_over or elementwise.is_all_finite(gradient), is_over
    activations = part(f4, places, ACTIVATIONS)
    slopes = np.empty((elementwise.NUM_SLOPES, H), np.float32)
    elementwise.linearize(previous, part(f4, places, STATE)[:H], activations, slopes)
    if k == 0:
        return elementwise.exact(activations, x, slopes, w[0], part(f4, places, INFLUENCE), gradient), has_loss
    nu = np.empty((k, c, H), np.float32)
    signs(seed, steps[0], nu)
    is_sound = elementwise.uoro(
        activations, x, slopes, w[0], has_loss,
        part(f4, places, S_TILDE).reshape((k, c, H)), part(f4, places, THETA_TILDE).reshape((k, gradient.size)), nu,
        np.float32(rates[MEMORY_DECAY]), np.float32(rates[WEIGHT]), statistics, gradient,
    )  # fmt: skip
    return is_sound, has_loss


@jit
def advance(f4, places, sizes):
    """Listen to the input that stands in the block and read the next prediction. False if it is not finite."""
    state, previous = part(f4, places, STATE), part(f4, places, PREVIOUS)
    previous[:] = state
    H = sizes[NUM_UNITS]
    num_rows, theta = sizes[NUM_GATES] * H, part(f4, places, THETA)
    p, q = np.empty(num_rows, np.float32), np.empty(num_rows, np.float32)
    z_x, z_h = np.zeros(theta.size // num_rows, np.float32), np.zeros(theta.size // num_rows, np.float32)
    listen(part(f4, places, X), previous[:H], z_x, z_h)
    forward(sizes[CELL], theta, z_x, z_h, previous, state, part(f4, places, ACTIVATIONS), p, q)
    return _read_out(f4, places, sizes)


@jit
def advance_elementwise(f4, places, sizes):
    """The same for the linear recurrent unit."""
    state, previous = part(f4, places, STATE), part(f4, places, PREVIOUS)
    previous[:] = state
    activations = part(f4, places, ACTIVATIONS)
    elementwise.forward(part(f4, places, THETA), previous, part(f4, places, X), state, activations)
    return _read_out(f4, places, sizes)


@jit
def _read_out(f4, places, sizes):
    """output ← readout [h; 1]. False if it or the state is not finite."""
    state, H, num_outputs = part(f4, places, STATE), sizes[NUM_UNITS], sizes[NUM_OUTPUTS]
    readout = part(f4, places, READOUT).reshape((num_outputs, H + 1))
    output = part(f4, places, OUTPUT)
    total = ZERO
    for o in range(num_outputs):
        row = readout[o]
        value = row[H]
        for u in range(H):
            value += row[u] * state[u]
        output[o] = value
        total += value
    for i in range(state.size):
        total += state[i]
    return is_finite(total)


@jit
def is_sane(f4, places):
    """Whether every parameter is finite and below the bound beyond which the core has diverged."""
    for which in (THETA, READOUT):
        num_beyond = np.int32(0)
        values = part(f4, places, which)
        for i in range(values.size):
            # NaN fails every comparison, so it is counted as beyond.
            num_beyond += np.int32(0 if abs(values[i]) <= MAX_PARAMETER else 1)
        if num_beyond > 0:
            return False
    return True


@jit
def forget_influence(f4, places):
    """Empty all memories of the past."""
    for which in range(S_TILDE, CHUNK_LENGTH + 1):
        part(f4, places, which)[:] = ZERO


@jit
def _slope_of_state(f4, places, sizes, slope, direct, has_loss):
    """∂loss/∂s (c, H) of the pending prediction."""
    H, num_outputs = sizes[NUM_UNITS], sizes[NUM_OUTPUTS]
    readout = part(f4, places, READOUT).reshape((num_outputs, H + 1))
    w = np.zeros((sizes[NUM_STATES], H), np.float32)
    if has_loss:
        for u in range(H):
            w[0, u] = direct[u]
        for o in range(num_outputs):
            for u in range(H):
                w[0, u] += slope[o] * readout[o, u]
    return w


@jit
def _point(f4, places, sizes):
    """The newest step, linearised."""
    c, G, H = sizes[NUM_STATES], sizes[NUM_GATES], sizes[NUM_UNITS]
    theta, previous = part(f4, places, THETA), part(f4, places, PREVIOUS)
    num_columns = theta.size // (G * H)
    slope_x, slope_h = np.empty((c, G, H), np.float32), np.empty((c, G, H), np.float32)
    direct = np.empty((c, c, H), np.float32)
    linearize(sizes[CELL], previous, part(f4, places, ACTIVATIONS), slope_x, slope_h, direct)
    z_x, z_h = np.zeros(num_columns, np.float32), np.zeros(num_columns, np.float32)
    listen(part(f4, places, X), previous[:H], z_x, z_h)
    room, dots = np.zeros(num_columns, np.float32), np.empty(G * H, np.float32)
    return Point(theta, sizes[NUM_INPUTS], z_x, z_h, room, dots, slope_x, slope_h, direct)


@jit
def _apply(theta, gradient, descent):
    total = ZERO
    for j in range(gradient.size):
        total += gradient[j] * gradient[j]
    if not is_finite(total):
        return False
    if descent.clip > 0.0 and total > descent.clip * descent.clip:
        gradient *= np.float32(descent.clip / np.sqrt(total))
    move_all(theta, gradient, descent)
    return True


@jit
def _learn_readout(f4, places, sizes, rates, steps, slope):
    """The readout's gradient is direct and exact: slope times [h; 1]."""
    H, num_outputs = sizes[NUM_UNITS], sizes[NUM_OUTPUTS]
    steps[2] += 1
    rate, epsilon = schedule(sizes[OPTIMIZER], rates[LEARNING_RATE], rates[DECAY], rates[ADAM_EPSILON], steps[2])
    mean, square = part(f4, places, READOUT_MEAN), part(f4, places, READOUT_SQUARE)
    weights = part(f4, places, READOUT)
    z = np.ones(H + 1, np.float32)
    z[:H] = part(f4, places, STATE)[:H]
    row = np.empty(H + 1, np.float32)
    scale = ONE
    if rates[CLIP] > 0.0:
        total = 0.0
        for j in range(H + 1):
            total += z[j] * z[j]
        norm = 0.0
        for o in range(num_outputs):
            norm += slope[o] * slope[o]
        norm = np.sqrt(norm * total)
        if norm > rates[CLIP]:
            scale = np.float32(rates[CLIP] / norm)
    for o in range(num_outputs):
        for j in range(H + 1):
            row[j] = scale * slope[o] * z[j]
        move(sizes[OPTIMIZER], weights, U(o * (H + 1)), row, mean, square, rate, epsilon)
