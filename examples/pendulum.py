"""Learn the damping of a pendulum while it swings, from noisy readings of its angle.

    python examples/pendulum.py --learner uoro

The pendulum is simulated: damped, driven by a motor whose torque is known, jolted a little by what is not known. The
model is the same step of the same equation with the damping to be learned; it runs beside the pendulum, never sees its
speed and is never set right, so that what the damping did long ago still shows in the angle of now. Every 50 ms the
estimator turns the error of the model's angle into a gradient, and the damping moves. Nothing is stored or replayed.

`rtrl` is exact and `uoro` a random estimate with the exact mean. `tbptt` looks ten steps (half a second) back: here
its gradient has the right sign and is far too short, so with plain descent it is still on its way at the end. With
`--optimizer adam`, which knows no lengths, it arrives, and the noisy estimate of `uoro` suffers instead: see
docs/library.md.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from uoro.learning.reference.estimators import Estimator, Rtrl, Tbptt, Uoro
from uoro.learning.reference.online import Online
from uoro.learning.reference.optimizers import make_optimizer
from uoro.learning.reference.transition import Transition
from uoro.learning.spec import OptimizerSpec

DT = 0.05
"""Seconds a step."""
GRAVITY_BY_LENGTH = 9.81 / 1.2
DAMPING, FIRST_GUESS = 0.3, 1.0
READING_NOISE, JOLTS = 0.05, 0.02
"""Standard deviations: radians of a reading, radians/s² of what the motor does not know."""
OPTIMIZERS = {
    "sgd": OptimizerSpec(name="sgd", learning_rate=0.1, decay=0.05),
    "adam": OptimizerSpec(name="adam", learning_rate=0.01, decay=0.03),
}


class Moment(NamedTuple):
    """What is known after a step: seconds, the damping as learned, and the error of the model's angle in radians."""

    seconds: float
    damping: float
    error: float


def swing(theta: Tensor, state: Tensor, torque: Tensor) -> Tensor:
    """One step of DT for the state (angle, speed); θ is the logarithm of the damping, so that it stays positive."""
    angle, speed = state.unbind()
    force = torque[0] - GRAVITY_BY_LENGTH * torch.sin(angle) - theta[0].exp() * speed
    speed = speed + DT * force
    return torch.stack((angle + DT * speed, speed))


def make_estimator(name: str, model: Transition) -> Estimator:
    """The estimator by its name on the command line."""
    match name:
        case "uoro":
            return Uoro(model, rank=16)
        case "rtrl":
            return Rtrl(model)
        case _:
            return Tbptt(model, truncation=10)


def learn(learner: str, *, num_steps: int = 4000, seed: int = 0, optimizer: str = "sgd") -> Iterator[Moment]:
    """Swing and learn; a moment after each step."""
    chance = torch.Generator().manual_seed(seed)
    phases = 2 * math.pi * torch.rand(3, generator=chance, dtype=torch.float64)
    frequencies = torch.tensor([1.3, 2.6, 4.1], dtype=torch.float64)
    truth = torch.tensor([DAMPING], dtype=torch.float64).log()
    pendulum = torch.zeros(2, dtype=torch.float64)

    model = Transition(swing, num_parameters=1, state_size=2, input_size=1)
    theta = torch.tensor([FIRST_GUESS], dtype=torch.float64).log()
    online = Online(model, make_estimator(learner, model), theta=theta, state=pendulum, seed=seed)
    descent = make_optimizer(OPTIMIZERS[optimizer])
    memory = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in descent.state_shapes(1).items()}

    num_updates = 0
    for step in range(num_steps):
        torque = 0.8 * torch.sin(frequencies * step * DT + phases).sum()[None]
        jolt, noise = torch.randn(2, generator=chance, dtype=torch.float64)
        pendulum = swing(truth, pendulum, torque + JOLTS * jolt)
        reading = pendulum[0] + READING_NOISE * noise
        made = online.step(torque, lambda state, seen=reading: 0.5 * (state[0] - seen).square())  # type: ignore[misc]
        if made.grad is not None:
            num_updates += 1
            descent.update(made.grad, memory, theta, num_updates)
        yield Moment((step + 1) * DT, float(theta.exp()), float((online.state[0] - pendulum[0]).abs()))


def main() -> None:
    """Learn, and say how it goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learner", choices=("uoro", "rtrl", "tbptt"), default="uoro")
    parser.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default="sgd")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.steps < 1:
        parser.error("--steps must be at least 1")
    torch.set_num_threads(1)
    console, began = Console(highlight=False), time.monotonic()
    console.print(f"[bold]{asked.learner}[/], first guess {FIRST_GUESS}, truth {DAMPING}")
    row_steps = max(1, asked.steps // 20)
    moments: list[Moment] = []
    for moment in learn(asked.learner, num_steps=asked.steps, seed=asked.seed, optimizer=asked.optimizer):
        moments.append(moment)
        if len(moments) % row_steps == 0:
            error = sum(m.error for m in moments[-row_steps:]) / row_steps
            width = round(40 * min(1.5, moment.damping))
            line = f"{moment.seconds:6.0f} s   damping {moment.damping:6.3f}   angle off by {error:.3f} rad"
            console.print(f"{line}   [cyan]{'█' * width}[/]")
    last = moments[-1]
    off = 100 * (last.damping / DAMPING - 1)
    verdict = "[green]found[/]" if abs(off) < 5 else "[red]not found[/]"
    console.print(f"{verdict}: damping {last.damping:.4f}, truth {DAMPING}, {off:+.1f} %")
    console.print(f"{last.seconds:.0f} s of swinging learned in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
