"""The forecast of number targets by the recurrent core alone (aggregation "none"): the change from the last value.

What a researcher compares. The core forecasts in units of the mean absolute change; the interval is `intervals`'.
`mixture` offers the learner the same calls for aggregation "boa".
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning import losses
from uoro.learning.block import Block, Part, bounded, or_zero
from uoro.learning.encoder import Encoder
from uoro.learning.intervals import Intervals
from uoro.learning.mixture import num_number_targets
from uoro.learning.scoring import MEAN_ABS_TO_STD, Score, score
from uoro.learning.seasons import Seasons
from uoro.learning.spec import StreamSpec

MAX_RESIDUAL = 20.0
MAX_TARGET = 50.0


class Alone:
    """All number targets of a stream, bound to its block.

    Attributes:
        mean, lower, upper: (T,) the pending forecast in the user's units; NaN where nothing can be said yet.
        unit: (T,) what one unit of the core's output is worth.
        outputs_each: rows of the core's readout that a target takes.
    """

    @staticmethod
    def parts(spec: StreamSpec) -> list[Part]:
        """What the number targets take in a block."""
        num = num_number_targets(spec)
        parts = [Part(f"numbers.{name}", (num,)) for name in ("mean", "lower", "upper", "unit")]
        return [*parts, *Intervals.parts(num), *Seasons.parts(num, is_kept=spec.season != "none")]

    def __init__(self, spec: StreamSpec, block: Block, encoder: Encoder) -> None:
        self.num = num_number_targets(spec)
        self.loss = loss_of(spec)
        self.outputs_each = num_outputs(spec)
        self.is_alone = sum(field.role == "target" for field in spec.fields.values()) == 1
        self.encoder = encoder
        self.mean, self.lower, self.upper, self.unit = (
            block[f"numbers.{name}"] for name in ("mean", "lower", "upper", "unit")
        )
        self.intervals = Intervals(block)
        self.seasons = Seasons(block, spec.season)

    def init(self) -> None:
        """The state before the first observation."""
        self.intervals.init()
        self.seasons.init()
        for said in (self.mean, self.lower, self.upper):
            said[:] = np.nan

    @property
    def last(self) -> np.ndarray:
        """(F,) newest known value of each number field, NaN before the first."""
        return self.encoder.last

    @property
    def next_t(self) -> float | None:
        """When the next observation is due, in epoch seconds; None without timestamps."""
        return self.seasons.next_t

    @property
    def is_calendar(self) -> bool:
        """Whether the newest timestamp was a date."""
        return self.seasons.is_calendar

    @property
    def num_resets(self) -> int:
        """None of its own: the core counts."""
        return 0

    def score(self, values: np.ndarray) -> Score:
        """Compare the pending forecast and the naive one with the values (T,) that came."""
        last, scale = self.encoder.last[: self.num], self.encoder.scale[: self.num]
        return score(self, self.loss, values, last, scale, is_alone=self.is_alone)

    def slopes(self, values: np.ndarray, output: np.ndarray) -> np.ndarray:
        """∂loss/∂output (T·outputs_each,) of the core, zero for missing values."""
        unit = np.where(self.unit > 0, self.unit, 1.0)
        target = bounded((values - or_zero(self.encoder.last[: self.num])) / unit, MAX_TARGET)
        slopes = np.zeros((self.num, self.outputs_each))
        function = getattr(losses, self.loss)
        for i, raw in enumerate(output.reshape(self.num, self.outputs_each)):
            if not math.isnan(target[i]) and self.unit[i] > 0:
                slopes[i] = function(raw.astype(np.float64), float(target[i]))[1]
        return slopes.reshape(-1)

    def learn(self, values: np.ndarray) -> None:
        """Let the intervals learn from the values (T,); NaN teaches nothing."""
        self.intervals.learn(values - self.mean)

    def advance(self, t: float | None, *, is_calendar: bool) -> np.ndarray:
        """After the encoder has advanced: take its values in. Returns the (T,) seasonal change ahead."""
        num, encoder = self.num, self.encoder
        is_present = encoder.present[:num].astype(bool)
        self.seasons.advance(or_zero(encoder.last[:num]), is_present, t, is_calendar=is_calendar)
        seasonal = self.seasons.upcoming()
        change: np.ndarray = np.where(np.isnan(seasonal[1, 0]), seasonal[1, 1], seasonal[1, 0])
        return change

    def forecast(self, output: np.ndarray) -> None:
        """Set the pending forecast from the core's output (T·outputs_each,)."""
        num, encoder = self.num, self.encoder
        values, scale = or_zero(encoder.last[:num]), encoder.scale[:num]
        raw = output.reshape(num, self.outputs_each).astype(np.float64)
        self.unit[:] = scale
        mean = values + self.unit * bounded(raw[:, 0], MAX_RESIDUAL)
        self.mean[:] = np.where(np.isfinite(mean), mean, values)
        given = None
        if self.outputs_each == 2:
            # In units of the mean absolute error, which is what the tracked quantiles multiply.
            given = self.unit * np.exp(0.5 * bounded(raw[:, 1], losses.MAX_LOG_VARIANCE)) / MEAN_ABS_TO_STD
        # Before any error is known: the mean change, else a tenth of the value.
        fallback = np.where(scale > 0, scale, 0.1 * np.abs(values))
        self.lower[:], self.upper[:] = self.intervals.bounds(self.mean, fallback, given)
        # Of a field that has not shown a value yet nothing is said.
        is_unknown = np.isnan(encoder.last[:num])
        if is_unknown.any():
            self.mean[is_unknown] = self.lower[is_unknown] = self.upper[is_unknown] = np.nan

    def widen(self, step: int) -> None:
        """Make the pending interval that of `step` steps ahead: errors of a random walk, up to the spread.

        A forecast h steps ahead errs like √h single steps at worst, and never by more than the values
        themselves are spread around their mean.
        """
        std = np.sqrt(np.maximum(self.encoder.variance[: self.num], 0.0))
        for bound, sign in ((self.lower, -1.0), (self.upper, 1.0)):
            width = np.abs(bound - self.mean)
            bound[:] = self.mean + sign * np.maximum(width, np.minimum(width * math.sqrt(step), 2 * std))

    def weights(self) -> dict[str, dict[str, float]]:
        """There is nothing to weigh."""
        return {}


def loss_of(spec: StreamSpec) -> str:
    """The loss of number targets that a spec means."""
    return "huber" if spec.loss in {"auto", "categorical"} else spec.loss


def num_outputs(spec: StreamSpec) -> int:
    """Rows of the core's readout for each number target: a normal distribution takes two."""
    return 2 if loss_of(spec) == "gaussian" else 1
