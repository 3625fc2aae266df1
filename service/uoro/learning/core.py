"""The recurrent core of a stream: a cell that listens, a linear readout, and how both learn online.

One observation goes through two halves. `learn` turns the slope of the loss of the pending prediction into a
step on θ: the readout's gradient is direct and exact, the cell's comes from the estimator of ∂s/∂θ, linearised
at the very point (s, x, θ) where the prediction was made (SCIENCE §2). `advance` then moves the state
with the new θ and reads the next prediction off it. The arithmetic is `kernel.core`'s, compiled; `reference.core`
says the same in torch and is its judge.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning import elementwise
from uoro.learning.block import Block, Layout, Part
from uoro.learning.kernel import core as kernel
from uoro.learning.kernel.cells import GRU, LINEAR, LSTM, RNN
from uoro.learning.kernel.elementwise import LRU
from uoro.learning.kernel.family import COUNT, LAMBDA, NUM_STATISTICS, SIGNAL, TOTAL
from uoro.learning.kernel.lanes import padded
from uoro.learning.kernel.optimizers import ADAM, RMSPROP, SGD
from uoro.learning.spec import LearnerSpec, StreamSpec

EPSILON = 1e-8


class CellShape(NamedTuple):
    """What a cell is made of.

    Attributes:
        code: its number in the kernel. num_gates: G. num_states: c, vectors of H numbers in the state; the first is
        the one that is read out. num_activations: vectors of H that a step leaves for its slopes.
        biased_gate: the gate that keeps the state, whose bias is not drawn around 0; -1 for none.
    """

    code: int
    num_gates: int
    num_states: int
    num_activations: int
    biased_gate: int


CELLS = {
    "linear": CellShape(LINEAR, 1, 1, 0, -1),
    "rnn": CellShape(RNN, 1, 1, 1, -1),
    "gru": CellShape(GRU, 3, 1, 4, 1),
    "lstm": CellShape(LSTM, 4, 2, 5, 1),
    "lru": CellShape(LRU, 1, 3, 6, -1),
}
ESTIMATORS = {
    "frozen": kernel.FROZEN,
    "uoro": kernel.FAMILY,
    "snap1": kernel.SNAP1,
    "rtrl": kernel.RTRL,
    "tbptt": kernel.TBPTT,
}
OPTIMIZERS = {"sgd": SGD, "rmsprop": RMSPROP, "adam": ADAM}
MOMENTS = {"sgd": (), "rmsprop": ("square",), "adam": ("mean", "square")}


class CoreShape:
    """What the cores of all streams of one spec share: sizes, rates, and where their parts lie.

    Attributes:
        num_weights: parameters in a row of θ. num_columns: C, with the padding that vector code wants.
        num_parameters: P, padding included; it stays 0 to a rounding and changes nothing.
    """

    def __init__(self, spec: StreamSpec, num_inputs: int, num_outputs: int) -> None:
        self.seed = spec.seed
        self.cell = CELLS[spec.cell]
        self.num_units = spec.hidden_size
        self.num_inputs = num_inputs
        self.num_outputs = num_outputs
        self.is_elementwise = spec.cell == "lru"
        if self.is_elementwise:
            self.num_weights = self.num_columns = elementwise.num_rows(num_inputs)
        else:
            self.num_weights = num_inputs + spec.hidden_size + 2
            self.num_columns = padded(self.num_weights)
        self.num_parameters = self.cell.num_gates * spec.hidden_size * self.num_columns
        self.learner, self.optimizer = spec.learner, spec.optimizer
        has_no_noise = self.is_elementwise and elementwise.is_exact(spec.learner)
        self.num_copies = 0 if has_no_noise else num_copies(spec.learner)
        self.nothing = np.zeros(spec.hidden_size, np.float32)
        self.sizes = np.array(
            [
                self.cell.code,
                ESTIMATORS[spec.learner.name],
                OPTIMIZERS[spec.optimizer.name],
                self.cell.num_gates,
                self.cell.num_states,
                spec.hidden_size,
                num_inputs,
                num_outputs,
                self.num_copies,
                spec.learner.truncation,
                self.cell.biased_gate,
            ],
            dtype=np.int64,
        )
        self.rates = np.array(
            [
                spec.optimizer.learning_rate,
                spec.optimizer.decay,
                EPSILON,
                spec.optimizer.clip or 0.0,
                spec.learner.memory_decay,
                -1.0 if spec.learner.weight == "auto" else spec.learner.weight,
                gate_bias(spec),
            ]
        )

    def parts(self) -> list[Part]:
        """What a core takes in a block."""
        state = self.cell.num_states * self.num_units
        groups = {"readout_optimizer": self.num_outputs * (self.num_units + 1)}
        if self.learner.name != "frozen":
            groups["cell_optimizer"] = self.num_parameters
        return [
            Part("core.theta", (self.num_parameters,), "f4"),
            *(Part(f"estimator.{name}", shape, "f4") for name, shape in self._memories(state).items()),
            Part("core.readout", (self.num_outputs, self.num_units + 1), "f4"),
            *(
                Part(f"{group}.{name}", (size,), "f4")
                for group, size in groups.items()
                for name in MOMENTS[self.optimizer.name]
            ),
            Part("core.state", (state,), "f4"),
            Part("core.previous", (state,), "f4"),
            Part("core.x", (self.num_inputs,), "f4"),
            Part("core.activations", (self.cell.num_activations * self.num_units,), "f4"),
            Part("core.output", (self.num_outputs,), "f4"),
            Part("core.weighing", (NUM_STATISTICS,)),
            Part("core.steps", (3,), "i8"),  # observations listened to, updates of the cell, of the readout
            Part("core.num_resets", (1,), "i8"),
        ]

    def places(self, layout: Layout) -> np.ndarray:
        """(parts, 2): first float32 and number of float32 of each part that the kernel names."""
        found = {part.name: (offset // 4, math.prod(part.shape)) for part, offset in layout.offsets}
        return np.array([found.get(name, (0, 0)) for name in kernel.PARTS], dtype=np.int64)

    def _memories(self, state: int) -> dict[str, tuple[int, ...]]:
        """Shapes of what the estimator remembers; the names are those of `kernel.core`."""
        P, c, k = self.num_parameters, self.cell.num_states, self.num_copies
        match self.learner.name:
            case "uoro" | "snap1" | "rtrl" if self.is_elementwise:
                return elementwise.memories(self.num_inputs, self.num_units, k)
            case "uoro":
                shapes: dict[str, tuple[int, ...]] = {
                    "s_tilde": (k, state),
                    "theta_tilde": (k, P),
                    "square_norms": (k,),
                    "pairs": (k // 2,),
                }
                if self.learner.control_variate == "snap1":
                    shapes |= {"influence": (c, P), "influence_norms": (c, c, self.num_units)}
                return shapes
            case "snap1":
                return {"influence": (c, P)}
            case "rtrl":
                return {"influence": (state, P)}
            case "tbptt":
                T = self.learner.truncation
                return {"previous": (T, state), "x": (T, self.num_inputs), "dl_ds": (T, state), "length": (1,)}
            case _:
                return {}


class Core:
    """The core of one stream, bound to its block.

    Attributes:
        theta: (P,) parameters of the cell, rows of [W_ih | b_ih | W_hh | b_hh] and padding, or as in `elementwise`.
        readout: (O, H+1) weights and bias. x: (I,) the newest input. hidden: (H,) what of the state is read out.
        output: (O,) the pending prediction in the loss's own units.
        steps: (3,) observations listened to, updates of the cell, updates of the readout.
    """

    __slots__ = (
        "_f4",
        "_places",
        "hidden",
        "num_resets",
        "output",
        "readout",
        "shape",
        "steps",
        "theta",
        "weighing",
        "x",
    )

    def __init__(self, shape: CoreShape, block: Block, places: np.ndarray) -> None:
        self.shape = shape
        self.theta = block["core.theta"]
        self.readout = block["core.readout"]
        self.x = block["core.x"]
        self.hidden = block["core.state"][: shape.num_units]
        self.output = block["core.output"]
        self.steps = block["core.steps"]
        self.num_resets = block["core.num_resets"]
        self.weighing = block["core.weighing"]
        self._f4 = block.bytes.view(np.float32)
        self._places = places

    def init(self) -> None:
        """Draw θ from the seed; the state, the readout and all memories start at zero."""
        shape = self.shape
        if shape.is_elementwise:
            kernel.clear(self._f4, self._places, self.weighing)
            self.theta[:] = elementwise.draw(shape.seed, shape.num_inputs, shape.num_units)
        else:
            kernel.init(self._f4, self._places, shape.sizes, shape.rates, shape.seed, self.weighing)

    def learn(self, slope: np.ndarray | None, direct: np.ndarray | None = None) -> None:
        """Learn from the slope (O,) of the pending prediction's loss; None where no target was seen.

        direct (H,) float32 is ∂loss/∂h by readouts that are not the core's own.
        """
        shape = self.shape
        where = (self._f4, self._places, shape.sizes, shape.rates)
        given = self.output if slope is None else slope.astype(np.float32)
        also = shape.nothing if direct is None else direct
        also_known = (shape.seed, self.steps, self.weighing, given, also, slope is not None)
        if shape.is_elementwise:
            num_resets = kernel.learn_elementwise(*where, *also_known)
        elif shape.learner.name in {"uoro", "frozen"}:
            num_resets = kernel.learn(*where, *also_known)
        else:
            num_resets = kernel.learn_exactly(*where, self.steps, given, also, slope is not None)
        self.num_resets += num_resets
        if not kernel.is_sane(self._f4, self._places):
            self.reset()

    def advance(self) -> None:
        """Listen to the input that stands in `x` and read the next prediction."""
        self.steps[0] += 1
        advance = kernel.advance_elementwise if self.shape.is_elementwise else kernel.advance
        if not advance(self._f4, self._places, self.shape.sizes):
            self.reset()

    def forget_influence(self) -> None:
        """Cut the credit to the past once; legal at any time, and needed after steps that were not learned."""
        kernel.forget_influence(self._f4, self._places)

    @property
    def noise(self) -> float | None:
        """Share of noise in the mean square of the stochastic part, 1 - E[r_i · r_j] / E‖r̄‖²; None if not measured."""
        signal, total = self.weighing[SIGNAL], self.weighing[TOTAL]
        return float(min(max(1.0 - signal / total, 0.0), 1.0)) if total > 0.0 else None

    @property
    def weight(self) -> float | None:
        """The weight λ of the stochastic part; None where there is none, or it is not known yet."""
        if self.shape.num_copies == 0:
            return None
        given = self.shape.learner.weight
        if given != "auto":
            return given
        return float(self.weighing[LAMBDA]) if self.weighing[COUNT] > 0.0 else None

    def influence_norms(self, block: Block) -> dict[str, float]:
        """Norms of the influence estimate, by part."""
        names = ("s_tilde", "theta_tilde", "influence")
        found = {name: block.views.get(f"estimator.{name}") for name in names}
        return {name: float(np.linalg.norm(view)) for name, view in found.items() if view is not None}

    def reset(self) -> None:
        """Start afresh after divergence."""
        self.init()
        self.num_resets += 1


def num_copies(spec: LearnerSpec) -> int:
    """How many copies of the rank-one estimate a learner keeps; none where their weight is 0."""
    if spec.name != "uoro" or (spec.control_variate == "snap1" and spec.weight == 0.0):
        return 0
    return spec.rank


def gate_bias(spec: StreamSpec) -> float:
    """What is added to the bias of the gate that keeps the state: above 0 the cell remembers at first.

    Alone, the core must find out by itself what matters for long. As one expert among those that have lags and seasons
    it does better with a short memory first (docs/learning.md).
    """
    has_numbers = any(field.type == "number" and field.role == "target" for field in spec.fields.values())
    return -1.0 if spec.aggregation == "boa" and has_numbers else 1.0
