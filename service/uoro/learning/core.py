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
from uoro.learning.cells import make_cell
from uoro.learning.estimators import make_estimator
from uoro.learning.optimizers import make_optimizer
from uoro.learning.spec import StreamSpec

MAX_PARAMETER = 1e6
"""A parameter beyond this has diverged: the core then starts afresh, which is counted as a numeric reset."""


class Core:
    """Cell and readout of one stream, bound to its block.

    Attributes:
        theta: (P,) parameters of the cell. readout: (O, H+1) weights and bias, zero at first.
        state, previous, x, activations: the newest transition, kept until its loss is known.
        output: (O,) the pending prediction in the loss's own units.
    """

    def __init__(self, spec: StreamSpec, num_inputs: int, num_outputs: int) -> None:
        self.seed = spec.seed
        self.cell = make_cell(spec.cell, spec.hidden_size, num_inputs)
        self.estimator = make_estimator(spec.learner, self.cell)
        self.optimizer = make_optimizer(spec.optimizer)
        self.num_outputs = num_outputs

    def parts(self) -> list[Part]:
        """What the core takes in a block."""
        cell = self.cell
        num_readout = self.num_outputs * (cell.hidden_size + 1)
        optimizer_parts = [
            Part(f"{group}.{name}", shape, "f4")
            for group, size in (("cell_optimizer", cell.num_parameters), ("readout_optimizer", num_readout))
            for name, shape in self.optimizer.state_shapes(size).items()
        ]
        return [
            Part("core.theta", (cell.num_parameters,), "f4"),
            *(Part(f"estimator.{name}", shape, "f4") for name, shape in self.estimator.state_shapes().items()),
            Part("core.readout", (self.num_outputs, cell.hidden_size + 1), "f4"),
            *optimizer_parts,
            Part("core.state", (cell.state_size,), "f4"),
            Part("core.previous", (cell.state_size,), "f4"),
            Part("core.x", (cell.input_size,), "f4"),
            Part("core.activations", (cell.num_activations,), "f4"),
            Part("core.output", (self.num_outputs,), "f4"),
            Part("core.steps", (3,), "i8"),  # observations listened to, updates of the cell, of the readout
            Part("core.num_resets", (1,), "i8"),
        ]

    def init(self, block: Block) -> None:
        """Draw θ from the seed; the state, the readout and all memories start at zero."""
        for part in self.parts():
            if part.name not in {"core.steps", "core.num_resets"}:
                block[part.name][...] = 0
        _tensor(block, "core.theta").copy_(self.cell.init(self.seed))
        self._write(block, "estimator", self.estimator.init(torch.float32))

    def learn(self, block: Block, slope: np.ndarray | None) -> None:
        """Learn from the slope (O,) of the pending prediction's loss; None where no target was seen."""
        theta, readout = _tensor(block, "core.theta"), _tensor(block, "core.readout")
        state = _tensor(block, "core.state")
        steps = block["core.steps"]
        size = self.cell.hidden_size
        dl_ds = d_output = None
        if slope is not None:
            d_output = torch.from_numpy(slope.astype(np.float32))
            dl_ds = torch.zeros(self.cell.state_size)
            dl_ds[:size] = d_output @ readout[:, :size]
        nu = None
        if self.estimator.num_noise:
            shape = (self.estimator.num_noise, self.cell.state_size)
            nu = torch.from_numpy(noise.signs(self.seed, int(steps[0]), shape))
        lin = self.cell.linearize(
            theta, _tensor(block, "core.previous"), _tensor(block, "core.x"), _tensor(block, "core.activations")
        )
        update = self.estimator.update(self._read(block, "estimator"), lin, dl_ds, nu)
        self._write(block, "estimator", update.state)
        if update.was_reset:
            block["core.num_resets"] += 1
        if update.grad is not None:
            steps[1] += 1
            self._step(block, "cell_optimizer", "core.theta", update.grad, int(steps[1]))
        if d_output is not None:
            steps[2] += 1
            bias = torch.ones(1)
            grad = torch.outer(d_output, torch.cat((state[:size], bias))).reshape(-1)
            self._step(block, "readout_optimizer", "core.readout", grad, int(steps[2]))
        if not self._is_sane(block):
            self.reset(block)

    def advance(self, block: Block, x: np.ndarray) -> None:
        """Listen to the input (I,) and read the next prediction."""
        theta, readout = _tensor(block, "core.theta"), _tensor(block, "core.readout")
        state = _tensor(block, "core.state")
        x_tensor = torch.from_numpy(x)
        new_state, activations = self.cell.forward(theta, state, x_tensor)
        _tensor(block, "core.previous").copy_(state)
        state.copy_(new_state)
        _tensor(block, "core.x").copy_(x_tensor)
        _tensor(block, "core.activations").copy_(activations)
        size = self.cell.hidden_size
        _tensor(block, "core.output").copy_(torch.mv(readout[:, :size], state[:size]) + readout[:, size])
        block["core.steps"][0] += 1
        if not (np.isfinite(block["core.state"]).all() and np.isfinite(block["core.output"]).all()):
            self.reset(block)

    def forget_influence(self, block: Block) -> None:
        """Cut the credit to the past once; legal at any time, and needed after steps that were not learned."""
        self._write(block, "estimator", self.estimator.init(torch.float32))

    def influence_norms(self, block: Block) -> dict[str, float]:
        """Norms of the influence estimate, by part."""
        return self.estimator.influence_norms(self._read(block, "estimator"))

    def reset(self, block: Block) -> None:
        """Start afresh after divergence."""
        self.init(block)
        block["core.num_resets"] += 1

    def _is_sane(self, block: Block) -> bool:
        # max() of |θ| is NaN when any is: one pass tests both.
        largest = max(
            (float(np.abs(block[name]).max()) for name in ("core.theta", "core.readout") if block[name].size),
            default=0.0,
        )
        return largest <= MAX_PARAMETER

    def _step(self, block: Block, group: str, name: str, grad: Tensor, step: int) -> None:
        theta = _tensor(block, name)
        new_theta, new_state = self.optimizer.update(grad, self._read(block, group), theta.reshape(-1), step)
        theta.copy_(new_theta.reshape(theta.shape))
        self._write(block, group, new_state)

    @staticmethod
    def _read(block: Block, prefix: str) -> dict[str, Tensor]:
        start = f"{prefix}."
        return {name.removeprefix(start): _tensor(block, name) for name in block.views if name.startswith(start)}

    @staticmethod
    def _write(block: Block, prefix: str, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            _tensor(block, f"{prefix}.{name}").copy_(value)


def _tensor(block: Block, name: str) -> Tensor:
    return torch.from_numpy(block[name])
