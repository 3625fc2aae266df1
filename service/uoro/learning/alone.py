"""The forecast of number targets by the recurrent core alone (aggregation "none"): the change from the last value.

What a researcher compares. A thin binding of a stream's block to `kernel.alone`, which has the mathematics: `forecast`
there tells the order of an observation. `mixture` offers the learner the same calls for aggregation "boa".
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from uoro.learning.block import Block, Part
from uoro.learning.encoder import fields_of
from uoro.learning.kernel.alone import forecast, inputs, run
from uoro.learning.kernel.scoring import KINDS
from uoro.learning.kernel.views import Place
from uoro.learning.numbers import NumberTargets, loss_of, num_number_targets, season_of
from uoro.learning.scoring import Score
from uoro.learning.spec import StreamSpec


class Alone(NumberTargets):
    """All number targets of a stream, bound to its block.

    Attributes:
        mean, lower, upper: (T,) the pending forecast in the user's units; NaN where nothing can be said yet.
        outputs_each: rows of the core's readout that a target takes.
    """

    state: forecast.State

    @staticmethod
    def parts(spec: StreamSpec) -> list[Part]:
        """What the number targets take in a block."""
        num_fields, num_targets = len(fields_of(spec, "number")), num_number_targets(spec)
        shapes = forecast.shapes(num_fields, num_targets, has_season=spec.season != "none")
        return [Part(f"numbers.{name}", shape, dtype) for name, (shape, dtype) in shapes.items()]

    @staticmethod
    def words(spec: StreamSpec, place_of: Callable[[str], Place]) -> list[int]:
        """What a compiled run asks a spec's table for, beside the core and the account."""
        kind = _kind_of(spec)
        return [*run.STATE.words(lambda name: place_of(f"numbers.{name}")), kind.loss, kind.is_alone, kind.season]

    @staticmethod
    def num_inputs(spec: StreamSpec, num_one_hot: int) -> int:
        """Length I of the core's input; the last `num_one_hot` are for category fields."""
        return inputs.num_inputs(len(fields_of(spec, "number")), num_number_targets(spec), num_one_hot)

    def __init__(self, spec: StreamSpec, block: Block) -> None:
        self.num = num_number_targets(spec)
        self.kind, self.is_alone, self.season = _kind_of(spec)
        self.outputs_each = num_outputs(spec)
        self.state = forecast.State(*(block[f"numbers.{name}"] for name in forecast.State._fields))
        self.mean, self.lower, self.upper = self.state.mean, self.state.lower, self.state.upper
        self._slopes = np.zeros(self.num * self.outputs_each)
        self._ahead = np.zeros(self.num)

    def init(self) -> None:
        """The state before the first observation."""
        forecast.init(self.state)

    @property
    def num_resets(self) -> int:
        """None of its own: the core counts."""
        return 0

    def score(self, values: np.ndarray) -> Score:
        """Compare the pending forecast and the naive one with the values (T,) that came."""
        loss, baseline = np.empty(self.num), np.empty(self.num)
        return Score(loss, baseline, forecast.score(self.state, self.kind, self.is_alone, values, loss, baseline))

    def slopes(self, values: np.ndarray, output: np.ndarray) -> np.ndarray:
        """∂loss/∂output (T·outputs_each,) of the core, zero for missing values; overwritten by the next call."""
        forecast.slopes(self.state, self.kind, values, output, self._slopes)
        return self._slopes

    def learn(self, values: np.ndarray) -> None:
        """Let the intervals learn from the values (T,); NaN teaches nothing."""
        forecast.learn(self.state, values)

    def advance(self, values: np.ndarray, t: float | None, x: np.ndarray, *, is_calendar: bool, learn: bool) -> None:
        """Take the values (F,) in and fill the core's input x (I,) but for its one-hot part."""
        time = math.nan if t is None else t
        forecast.advance(self.state, self.season, values, time, is_calendar, learn, self._ahead, x)

    def forecast(self, output: np.ndarray) -> None:
        """Set the pending forecast from the core's output (T·outputs_each,)."""
        forecast.forecast(self.state, self.kind, output)

    def widen(self, step: int) -> None:
        """Make the pending interval that of `step` steps ahead: errors of a random walk, up to the spread."""
        forecast.widen(self.state, step)

    def weights(self) -> dict[str, dict[str, float]]:
        """There is nothing to weigh."""
        return {}


def num_outputs(spec: StreamSpec) -> int:
    """Rows of the core's readout for each number target: a normal distribution takes two."""
    return 2 if loss_of(spec) == "gaussian" else 1


def _kind_of(spec: StreamSpec) -> run.Kind:
    is_alone = sum(field.role == "target" for field in spec.fields.values()) == 1
    return run.Kind(KINDS[loss_of(spec)], is_alone, season_of(spec))
