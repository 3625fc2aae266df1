"""The recurrent core of a stream: a cell that listens, a linear readout, and how both learn online.

One observation goes through two halves. `learn` turns the slope of the loss of the pending prediction into a
step on θ: the readout's gradient is direct and exact, the cell's comes from the estimator of ∂s/∂θ, linearised
at the very point (s, x, θ) where the prediction was made (SCIENCE §2). `advance` then moves the state
with the new θ and reads the next prediction off it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from uoro.learning import noise
from uoro.learning.block import Block, Part
from uoro.learning.reference.cells import make_cell
from uoro.learning.reference.estimators import make_estimator
from uoro.learning.reference.optimizers import make_optimizer
from uoro.learning.spec import StreamSpec

MAX_PARAMETER = 1e6
"""A parameter beyond this has diverged: the core then starts afresh, which is counted as a numeric reset."""


class CoreShape:
    """What the cores of all streams of one spec share: the cell, how it learns, and where its parts lie."""

    def __init__(self, spec: StreamSpec, num_inputs: int, num_outputs: int) -> None:
        self.seed = spec.seed
        self.cell = make_cell(spec.cell, spec.hidden_size, num_inputs)
        self.estimator = make_estimator(spec.learner, self.cell)
        self.optimizer = make_optimizer(spec.optimizer)
        self.num_outputs = num_outputs
        self.has_fixed_cell = spec.learner.name == "frozen"

    def parts(self) -> list[Part]:
        """What a core takes in a block."""
        cell = self.cell
        groups = {"readout_optimizer": self.num_outputs * (cell.hidden_size + 1)}
        if not self.has_fixed_cell:
            groups["cell_optimizer"] = cell.num_parameters
        return [
            Part("core.theta", (cell.num_parameters,), "f4"),
            *(Part(f"estimator.{name}", shape, "f4") for name, shape in self.estimator.state_shapes().items()),
            Part("core.readout", (self.num_outputs, cell.hidden_size + 1), "f4"),
            *(
                Part(f"{group}.{name}", shape, "f4")
                for group, size in groups.items()
                for name, shape in self.optimizer.state_shapes(size).items()
            ),
            Part("core.state", (cell.state_size,), "f4"),
            Part("core.previous", (cell.state_size,), "f4"),
            Part("core.x", (cell.input_size,), "f4"),
            Part("core.activations", (cell.num_activations,), "f4"),
            Part("core.output", (self.num_outputs,), "f4"),
            Part("core.steps", (3,), "i8"),  # observations listened to, updates of the cell, of the readout
            Part("core.num_resets", (1,), "i8"),
        ]


class Core:
    """The core of one stream, bound to its block.

    Attributes:
        theta: (P,) parameters of the cell. readout: (O, H+1) weights and bias, zero at first.
        state, previous, x, activations: the newest transition, kept until its loss is known.
        output: (O,) the pending prediction in the loss's own units.
        steps: (3,) observations listened to, updates of the cell, updates of the readout.
    """

    def __init__(self, shape: CoreShape, block: Block) -> None:
        self.shape = shape
        self.theta = torch.from_numpy(block["core.theta"])
        self.readout = torch.from_numpy(block["core.readout"])
        self.state = torch.from_numpy(block["core.state"])
        self.previous = torch.from_numpy(block["core.previous"])
        self.x = torch.from_numpy(block["core.x"])
        self.activations = torch.from_numpy(block["core.activations"])
        self.output = block["core.output"]
        self.steps = block["core.steps"]
        self.num_resets = block["core.num_resets"]
        self.influence = _tensors(block, "estimator")
        self.cell_optimizer = _tensors(block, "cell_optimizer")
        self.readout_optimizer = _tensors(block, "readout_optimizer")
        self._output = torch.from_numpy(self.output)
        self._hidden = self.state[: shape.cell.hidden_size]
        self._flat_readout = self.readout.view(-1)
        self._weights, self._bias = self.readout[:, :-1], self.readout[:, -1]

    def init(self) -> None:
        """Draw θ from the seed; the state, the readout and all memories start at zero."""
        memories = (self.influence, self.cell_optimizer, self.readout_optimizer)
        for value in (value for memory in memories for value in memory.values()):
            value.zero_()
        for value in (self.readout, self.state, self.previous, self.x, self.activations, self._output):
            value.zero_()
        self.theta.copy_(self.shape.cell.init(self.shape.seed))

    def learn(self, slope: np.ndarray | None) -> None:
        """Learn from the slope (O,) of the pending prediction's loss; None where no target was seen."""
        shape, size = self.shape, self.shape.cell.hidden_size
        dl_ds = d_output = None
        if slope is not None:
            d_output = torch.from_numpy(slope.astype(np.float32))
            dl_ds = torch.zeros_like(self.state)
            dl_ds[:size] = d_output @ self._weights
        grad = None if shape.has_fixed_cell else self._estimate(dl_ds)
        if d_output is not None:
            self.steps[2] += 1
            by_bias = d_output[:, None]
            by_readout = torch.cat((by_bias * self._hidden, by_bias), dim=1).view(-1)
            shape.optimizer.update(by_readout, self.readout_optimizer, self._flat_readout, int(self.steps[2]))
        if grad is not None:
            self.steps[1] += 1
            shape.optimizer.update(grad, self.cell_optimizer, self.theta, int(self.steps[1]))
        if not self._is_sane():
            self.reset()

    def advance(self, x: np.ndarray) -> None:
        """Listen to the input (I,) and read the next prediction."""
        self.previous.copy_(self.state)
        self.x.copy_(torch.from_numpy(x))
        new_state, activations = self.shape.cell.forward(self.theta, self.previous, self.x)
        self.state.copy_(new_state)
        self.activations.copy_(activations)
        torch.addmv(self._bias, self._weights, self._hidden, out=self._output)
        self.steps[0] += 1
        # One NaN or infinity makes either sum one too; both stay far below float32's range otherwise.
        if not np.isfinite(float(new_state.sum()) + float(self.output.sum())):
            self.reset()

    def forget_influence(self) -> None:
        """Cut the credit to the past once; legal at any time, and needed after steps that were not learned."""
        for value in self.influence.values():
            value.zero_()

    def influence_norms(self) -> dict[str, float]:
        """Norms of the influence estimate, by part."""
        return self.shape.estimator.influence_norms(self.influence)

    def reset(self) -> None:
        """Start afresh after divergence."""
        self.init()
        self.num_resets += 1

    def _estimate(self, dl_ds: Tensor | None) -> Tensor | None:
        """The cell's gradient at the transition that made the pending prediction; the influence rolls on."""
        cell, estimator = self.shape.cell, self.shape.estimator
        nu = None
        if estimator.num_noise:
            shape = (estimator.num_noise, cell.state_size)
            nu = torch.from_numpy(noise.signs(self.shape.seed, int(self.steps[0]), shape))
        lin = cell.linearize(self.theta, self.previous, self.x, self.activations)
        update = estimator.update(self.influence, lin, dl_ds, nu)
        self.num_resets += update.was_reset
        return update.grad

    def _is_sane(self) -> bool:
        # The infinity norm is NaN when any number is: one pass tests both.
        limit = float(torch.linalg.vector_norm(self.theta, ord=torch.inf))
        largest = float(torch.linalg.vector_norm(self._flat_readout, ord=torch.inf))
        return limit <= MAX_PARAMETER and largest <= MAX_PARAMETER


def _tensors(block: Block, prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {
        name.removeprefix(start): torch.from_numpy(view) for name, view in block.views.items() if name.startswith(start)
    }
