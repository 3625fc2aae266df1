"""What one step of the recurrent core costs: the compiled kernel, by cell, size and learner, against torch.

    python benchmarks/learning/steps.py [--repetitions 7]

One core, 4 inputs, 1 output, adam, hot in cache; the least and the median of the repetitions. "generic torch" is the
same
UORO step on a transition that torch differentiates by itself (`reference.transition`), "reference" the closed forms
in torch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from uoro.learning.block import Block, Layout
from uoro.learning.core import Core, CoreShape
from uoro.learning.kernel import core as kernel
from uoro.learning.kernel.jit import jit
from uoro.learning.reference import core as reference
from uoro.learning.reference.estimators import Uoro
from uoro.learning.reference.online import Online
from uoro.learning.reference.transition import Transition
from uoro.learning.spec import StreamSpec

NUM_INPUTS, NUM_STEPS = 4, 2000
LEARNERS = {
    "frozen (forward only)": {"name": "frozen"},
    "uoro, rank 1": {"name": "uoro", "rank": 1},
    "uoro, rank 8": {"name": "uoro", "rank": 8},
    "default (remainder, rank 2, λ auto)": {"name": "uoro", "rank": 2, "control_variate": "snap1", "weight": "auto"},
    "behind one exact step": {"name": "uoro", "control_variate": "snap1", "weight": 0.0},
}
ELEMENTWISE = {"exact (rtrl)": {"name": "rtrl"}, "uoro, rank 1": LEARNERS["uoro, rank 1"]}


def spec_of(cell: str, units: int, learner: dict[str, object]) -> StreamSpec:
    """A spec whose core is measured."""
    fields = {"v": {"type": "number"}}
    return StreamSpec.parse(
        {"fields": fields, "cell": cell, "hidden_size": units, "learner": learner, "aggregation": "none"}
    )


@jit
def drive(f4, places, sizes, rates, steps, weighing, slope, nothing, num):  # noqa: ANN001, ANN201 - compiled
    """So many steps, from a wave."""
    x = kernel.part(f4, places, kernel.X)
    for t in range(num):
        for j in range(x.size):
            x[j] = np.float32(((t * 7 + j * 3) % 11) * 0.1 - 0.5)
        steps[0] += 1
        kernel.advance(f4, places, sizes)
        kernel.learn(f4, places, sizes, rates, 7, steps, weighing, slope, nothing, True)


@jit
def drive_elementwise(f4, places, sizes, rates, steps, weighing, slope, nothing, num):  # noqa: ANN001, ANN201 - compiled
    """The same for the linear recurrent unit, which has entry points of its own."""
    x = kernel.part(f4, places, kernel.X)
    for t in range(num):
        for j in range(x.size):
            x[j] = np.float32(((t * 7 + j * 3) % 11) * 0.1 - 0.5)
        steps[0] += 1
        kernel.advance_elementwise(f4, places, sizes)
        kernel.learn_elementwise(f4, places, sizes, rates, 7, steps, weighing, slope, nothing, True)


def measure(once: Callable[[], None], num: int, repetitions: int) -> tuple[float, float]:
    """Least and median microseconds a step."""
    once()
    found = []
    for _ in range(repetitions):
        start = time.thread_time()
        once()
        found.append((time.thread_time() - start) / num * 1e6)
    return min(found), statistics.median(found)


def compiled(spec: StreamSpec) -> Callable[[], None]:
    """NUM_STEPS steps of the kernel."""
    shape = CoreShape(spec, NUM_INPUTS, 1)
    layout = Layout(shape.parts())
    block = Block(layout)
    core, places = Core(shape, block, shape.places(layout)), shape.places(layout)
    core.init()
    slope = np.full(1, 0.01, np.float32)
    f4 = block.bytes.view(np.float32)
    run = drive_elementwise if spec.cell == "lru" else drive
    return lambda: run(f4, places, shape.sizes, shape.rates, core.steps, core.weighing, slope, shape.nothing, NUM_STEPS)


def closed_forms(spec: StreamSpec, num: int) -> Callable[[], None]:
    """Steps of the torch reference."""
    shape = reference.CoreShape(spec, NUM_INPUTS, 1)
    core = reference.Core(shape, Block(Layout(shape.parts())))
    core.init()
    x, slope = np.full(NUM_INPUTS, 0.3, np.float32), np.full(1, 0.01)

    def once() -> None:
        for _ in range(num):
            core.advance(x)
            core.learn(slope)

    return once


def generic(units: int, num: int) -> Callable[[], None]:
    """Steps of UORO on a GRU that is just a function to torch."""
    cell = torch.nn.GRUCell(NUM_INPUTS, units)
    shapes = [(name, value.shape, value.numel()) for name, value in cell.named_parameters()]
    size = sum(count for _, _, count in shapes)

    def transition(theta: torch.Tensor, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        parts = dict(zip((n for n, _, _ in shapes), theta.split([c for _, _, c in shapes]), strict=True))
        named = {name: parts[name].view(shape) for name, shape, _ in shapes}
        return torch.func.functional_call(cell, named, (x[None], state[None]))[0]

    model = Transition(transition, num_parameters=size, state_size=units, input_size=NUM_INPUTS)
    theta = (0.1 * torch.randn(size)).requires_grad_()
    online = Online(model, Uoro(model, rank=1), theta=theta, state=torch.zeros(units), seed=1)
    optimizer = torch.optim.Adam([theta], lr=1e-3)
    x = torch.full((NUM_INPUTS,), 0.3)

    def once() -> None:
        for _ in range(num):
            step = online.step(x, lambda s: 0.01 * s.sum())
            theta.grad = step.grad
            optimizer.step()

    return once


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    repetitions = parser.parse_args().repetitions
    torch.set_num_threads(1)
    table = Table(
        "cell", "learner", *(f"{units} units" for units in (8, 16, 32, 64)), title="µs a step, least / median"
    )
    gru_32 = 0.0
    for cell in ("gru", "lstm", "rnn", "lru"):
        for name, learner in (ELEMENTWISE if cell == "lru" else LEARNERS).items():
            row = []
            for units in (8, 16, 32, 64):
                best, median = measure(compiled(spec_of(cell, units, learner)), NUM_STEPS, repetitions)
                row.append(f"{best:.1f} / {median:.1f}")
                if (cell, name, units) == ("gru", "uoro, rank 1", 32):
                    gru_32 = median
            table.add_row(cell, name, *row)
    console = Console(width=120)
    console.print(table)
    spec = spec_of("gru", 32, LEARNERS["uoro, rank 1"])
    for name, (once, num) in {
        "reference": (closed_forms(spec, 200), 200),
        "generic torch": (generic(32, 50), 50),
    }.items():
        _, median = measure(once, num, repetitions)
        console.print(
            f"GRU-32, uoro, rank 1, adam, {name}: {median:,.0f} µs a step, {median / gru_32:,.0f} × the kernel"
        )


if __name__ == "__main__":
    main()
