"""The forecast of number targets by aggregation: simple, linear and recurrent forecasters, mixed online.

A thin binding of a stream's block to `kernel.numeric`, which has the mathematics: `numbers` there tells the order of
an observation. With aggregation "none" it is `alone` that forecasts instead; both offer the learner the same calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from uoro.learning.block import Block, Part
from uoro.learning.encoder import fields_of
from uoro.learning.kernel import grid, scoring
from uoro.learning.kernel.numeric import numbers, paths, recurrent, run
from uoro.learning.kernel.numeric.aggregation import WEIGHT
from uoro.learning.kernel.numeric.statistics import LAST, SCALE
from uoro.learning.kernel.views import Place
from uoro.learning.numbers import NumberTargets, loss_of, num_number_targets, season_of
from uoro.learning.scoring import Score
from uoro.learning.spec import StreamSpec

EXPERTS = numbers.NAMES
SAID = ("forecast.mean", "forecast.lower", "forecast.upper", "grid.decimals", "grid.gain", "grid.plain")
"""Parts of a block, in the order of `run.Said`."""


class Mixture(NumberTargets):
    """All number targets of a stream, bound to its block.

    Attributes:
        mean, lower, upper: (T,) the pending forecast in the user's units; NaN where nothing can be said yet.
        outputs_each: rows of the core's readout that a target takes; its readouts here are its own.
    """

    state: numbers.State
    outputs_each = 0

    @staticmethod
    def parts(spec: StreamSpec) -> list[Part]:
        """What the number targets take in a block."""
        num_fields, num_targets = len(fields_of(spec, "number")), num_number_targets(spec)
        shapes = numbers.shapes(num_fields, num_targets, spec.hidden_size, season_of(spec))
        parts = [Part(f"numbers.{name}", shape, dtype) for name, (shape, dtype) in shapes.items()]
        said = [Part(name, (num_targets,), "i8" if name == "grid.decimals" else "f8") for name in SAID]
        return [*parts, *said]

    @staticmethod
    def words(spec: StreamSpec, place_of: Callable[[str], Place]) -> list[int]:
        """What a compiled run asks a spec's table for, beside the core and the account."""
        said = dict(zip(run.Said._fields, SAID, strict=True))
        kind = _kind_of(spec)
        return [
            *run.STATE.words(lambda name: place_of(f"numbers.{name}")),
            *run.SAID.words(lambda name: place_of(said[name])),
            kind.loss,
            kind.is_alone,
            kind.is_rounding,
        ]

    @staticmethod
    def num_inputs(spec: StreamSpec, num_one_hot: int) -> int:
        """Length I of the core's input; the last `num_one_hot` are for category fields."""
        return recurrent.num_inputs(len(fields_of(spec, "number")), num_number_targets(spec), num_one_hot)

    def __init__(self, spec: StreamSpec, block: Block) -> None:
        self.num = num_number_targets(spec)
        self.fields = fields_of(spec, "number")
        self.season = season_of(spec)
        self.state = numbers.State(*(block[f"numbers.{name}"] for name in numbers.State._fields))
        self.said = run.Said(*(block[name] for name in SAID))
        self.mean, self.lower, self.upper = self.said[:3]
        self.kind = _kind_of(spec)
        self.is_alone = self.kind.is_alone
        self.slopes = np.zeros(spec.hidden_size, np.float32)

    def init(self) -> None:
        """The state before the first observation."""
        numbers.init(self.state, self.season)
        for said in (self.mean, self.lower, self.upper):
            said[:] = np.nan

    def score(self, values: np.ndarray) -> Score:
        """Compare the pending forecast and the naive one with the values (T,) that came."""
        stats, loss, baseline = self.state.stats[: self.num], np.empty(self.num), np.empty(self.num)
        num_covered = scoring.score(
            self.kind.loss, self.is_alone, values, *self.said[:3], stats[:, LAST], stats[:, SCALE], loss, baseline
        )
        return Score(loss, baseline, num_covered)

    def learn(self, values: np.ndarray, hidden: np.ndarray) -> np.ndarray | None:
        """Learn from the values (F,), the core's state h (H,) being what it forecast from.

        Returns ∂loss/∂h (H,) float32 for the core; None where there was nothing to learn.
        """
        if self.kind.is_rounding:
            said, scale = self.said, self.state.stats[: self.num, SCALE]
            grid.learn(said.decimals, said.gain, said.plain, values[: self.num], scale)
        return self.slopes if numbers.learn(self.state, values, hidden, self.slopes) else None

    def advance(self, values: np.ndarray, t: float | None, x: np.ndarray, *, is_calendar: bool, learn: bool) -> None:
        """Take the values (F,) in and fill the core's input x (I,) but for its one-hot part."""
        numbers.advance(self.state, values, math.nan if t is None else t, is_calendar, learn, x)

    def forecast(self, hidden: np.ndarray) -> None:
        """Set the pending forecast, with the core's new state h (H,)."""
        run.forecast(self.state, self.said, self.kind, hidden)

    def widen(self, step: int) -> None:
        """Make the pending interval that of `step` steps ahead, as the stream's own errors ahead have grown."""
        for i in range(self.num):
            below, above = self.mean[i] - self.lower[i], self.upper[i] - self.mean[i]
            total = max(below + above, 1e-300)
            wide = 2.0 * numbers.widen(self.state, 0.5 * total, i, step)
            self.lower[i] = self.mean[i] - wide * below / total
            self.upper[i] = self.mean[i] + wide * above / total

    def follow(self, means: np.ndarray) -> None:
        """Hold a path of forecasts (LENGTH, T) against what comes, to learn how errors grow with the horizon."""
        state = self.state
        half = 0.5 * (state.bounds[:, 1] - state.bounds[:, 0])
        paths.start(state.path, state.path_width, state.path_age, means, half)

    def weights(self) -> dict[str, dict[str, float]]:
        """Weight of each expert in the pending forecast, by target field; those that do not speak have none."""
        is_awake = np.empty(len(EXPERTS), np.bool_)
        told = {}
        for i, name in enumerate(self.fields[: self.num]):
            numbers.wake(self.state, i, is_awake)
            weights = np.where(is_awake, self.state.experts[i, WEIGHT], 0.0)
            told[name] = dict(zip(EXPERTS, (weights / max(weights.sum(), 1e-300)).tolist(), strict=True))
        return told

    @property
    def num_resets(self) -> int:
        """How many models had to begin anew because they were not finite."""
        return int(self.state.counts[numbers.RESETS])


def _kind_of(spec: StreamSpec) -> run.Kind:
    loss = loss_of(spec)
    is_alone = sum(field.role == "target" for field in spec.fields.values()) == 1
    # The mean squared error is least at the mean, which need not lie on the values' grid.
    return run.Kind(scoring.KINDS[loss], is_alone, loss == "huber")
