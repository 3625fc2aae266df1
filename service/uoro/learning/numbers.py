"""The forecast of number targets: simple and linear forecasters, the recurrent core on their residual, mixed.

With aggregation "boa" the core forecasts what the short autoregression leaves over, in units of that
forecaster's own error, and is one more expert in the mixture. With aggregation "none" it forecasts the change
from the last value and is the whole forecast.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning import losses
from uoro.learning.aggregation import Aggregation
from uoro.learning.block import Block, Part, bounded, or_zero
from uoro.learning.encoder import Encoder, fields_of
from uoro.learning.forecasters import MAX_CROSS, NAMES, NUM_FORECASTERS, Forecasters
from uoro.learning.grid import Grid
from uoro.learning.intervals import Intervals
from uoro.learning.seasons import Seasons
from uoro.learning.spec import StreamSpec

EXPERTS = (*NAMES, "recurrent")
BASE = NAMES.index("ar_short")
NUM_FIXED_UNIT = 20
UNIT_RANGE = (0.05, 2.0)
"""The residual's unit in mean absolute changes: fixed to 1 for the first observations, then kept in here.
Estimated from the first three errors it once gave errors of hundreds of times the naive ones."""
MAX_RESIDUAL = 20.0
MAX_TARGET = 50.0
MAX_SCALED_LOSS = 20.0
"""One broken value of one field must not drown a whole recording of all fields; naive losses are bounded alike."""
NORMAL_90 = 1.6448536269514722
MEAN_ABS_TO_STD = math.sqrt(math.pi / 2)


class Score(NamedTuple):
    """What the pending forecast was worth, per target (T,); NaN where the value is missing."""

    loss: np.ndarray
    baseline_loss: np.ndarray
    relative_loss: np.ndarray
    is_covered: np.ndarray


class NumberTargets:
    """All number targets of a stream, bound to its block.

    Attributes:
        mean, lower, upper: (T,) the pending forecast in the user's units.
        experts: (K, T) pending forecasts of every expert, rows in the order of EXPERTS.
        unit: (T,) what one unit of the core's output is worth.
    """

    @staticmethod
    def parts(spec: StreamSpec) -> list[Part]:
        """What the number targets take in a block."""
        num = num_targets(spec)
        parts = [Part(f"numbers.{name}", (num,)) for name in ("mean", "lower", "upper", "unit")]
        parts += [Part("numbers.experts", (len(EXPERTS), num)), *Intervals.parts(num)]
        parts += Seasons.parts(num, is_kept=spec.season != "none")
        if spec.aggregation == "boa":
            parts += [*Forecasters.parts(num, num_cross(spec)), *Aggregation.parts(len(EXPERTS), num), *Grid.parts(num)]
        return parts

    def __init__(self, spec: StreamSpec, block: Block, encoder: Encoder) -> None:
        self.num = num_targets(spec)
        self.loss = "huber" if spec.loss in {"auto", "categorical"} else spec.loss
        self.outputs_each = 2 if self.loss == "gaussian" else 1
        self.is_alone = sum(field.role == "target" for field in spec.fields.values()) == 1
        self.encoder = encoder
        self.mean, self.lower, self.upper, self.unit = (
            block[f"numbers.{name}"] for name in ("mean", "lower", "upper", "unit")
        )
        self.experts = block["numbers.experts"]
        self.intervals = Intervals(block)
        self.seasons = Seasons(block, spec.season)
        self.forecasters = self.aggregation = None
        self.grid: Grid | None = None
        self.num_cross = num_cross(spec)
        if spec.aggregation == "boa":
            self.forecasters, self.aggregation = Forecasters(block), Aggregation(block)
            # The mean squared error is least at the mean, which need not lie on the values' grid.
            self.grid = Grid(block, is_rounding=self.loss == "huber")

    def init(self) -> None:
        """The state before the first observation."""
        self.intervals.init()
        self.seasons.init()
        if self.forecasters is not None and self.aggregation is not None:
            self.forecasters.init()
            self.aggregation.init()

    def score(self, values: np.ndarray) -> Score:
        """Compare the pending forecast and the naive one with the values (T,) that came.

        The loss is the absolute error, for the loss "squared" the squared error, for "gaussian" the CRPS of
        the normal distribution that the interval stands for. It is in the user's units when the target is the
        stream's only one; several targets are each measured in their mean absolute change, to weigh alike, and
        no single value counts for more than MAX_SCALED_LOSS of these.
        """
        last, scale = self.encoder.last[: self.num], self.encoder.scale[: self.num]
        error, naive_error = values - self.mean, values - last
        if self.loss == "squared":
            loss, baseline = error**2, naive_error**2
        elif self.loss == "gaussian":
            std = (self.upper - self.lower) / (2 * NORMAL_90)
            loss = losses.gaussian_crps(self.mean, std, values)
            baseline = losses.gaussian_crps(last, scale * MEAN_ABS_TO_STD, values)
        else:
            loss, baseline = np.abs(error), np.abs(naive_error)
        if not self.is_alone:
            unit, most = np.where(scale > 0, scale, 1.0), MAX_SCALED_LOSS
            if self.loss == "squared":
                unit, most = unit**2, most**2
            loss, baseline = np.minimum(loss / unit, most), np.minimum(baseline / unit, most)
        width = self.intervals.unit
        relative = np.abs(error) / np.where(width > 0, width, np.where(scale > 0, scale, 1.0))
        return Score(loss, baseline, relative, (values >= self.lower) & (values <= self.upper))

    def slopes(self, values: np.ndarray, output: np.ndarray) -> np.ndarray:
        """∂loss/∂output (T·outputs_each,) of the core, zero for missing values."""
        target = bounded((values - self.experts[self._base_row]) / self._safe_unit(), MAX_TARGET)
        slopes = np.zeros((self.num, self.outputs_each))
        function = getattr(losses, self.loss)
        for i, raw in enumerate(output.reshape(self.num, self.outputs_each)):
            if not math.isnan(target[i]) and self.unit[i] > 0:
                slopes[i] = function(raw.astype(np.float64), float(target[i]))[1]
        return slopes.reshape(-1)

    def learn(self, values: np.ndarray) -> None:
        """Let forecasters, weights and intervals learn from the values (T,); NaN teaches nothing."""
        self.intervals.learn(values - self.mean)
        if self.forecasters is None or self.aggregation is None or self.grid is None:
            return
        last, scale = self.encoder.last[: self.num], self.encoder.scale[: self.num]
        self.aggregation.learn(self.experts, self.grid.plain, values, scale)
        self.grid.learn(values, scale)
        is_present = ~np.isnan(values)
        self.forecasters.learn(np.where(is_present, values, last), last, scale, is_present)

    def advance(self, t: float | None, *, is_calendar: bool) -> np.ndarray:
        """After the encoder has advanced: take its values in. Returns the (T,) seasonal change ahead."""
        num, encoder = self.num, self.encoder
        values = or_zero(encoder.last[:num])
        is_present = encoder.present[:num].astype(bool)
        self.seasons.advance(values, is_present, t, is_calendar=is_calendar)
        seasonal = self.seasons.upcoming()
        if self.forecasters is not None:
            previous = np.where(np.isnan(encoder.previous[:num]), values, encoder.previous[:num])
            cross = encoder.changes()[: self.num_cross]
            self.forecasters.advance(values, previous, seasonal, encoder.scale[:num], encoder.count[:num], cross)
        change: np.ndarray = np.where(np.isnan(seasonal[1, 0]), seasonal[1, 1], seasonal[1, 0])
        return change

    def forecast(self, output: np.ndarray) -> None:
        """Set the pending forecast from the forecasters and the core's output (T·outputs_each,)."""
        num, encoder = self.num, self.encoder
        values = or_zero(encoder.last[:num])
        scale = encoder.scale[:num]
        raw = output.reshape(num, self.outputs_each).astype(np.float64)
        if self.forecasters is None or self.aggregation is None:
            self.experts[:] = values
            self.unit[:] = scale
        else:
            self.experts[:NUM_FORECASTERS] = self.forecasters.forecasts
            error = np.minimum(np.maximum(self.forecasters.short.error, UNIT_RANGE[0]), UNIT_RANGE[1])
            self.unit[:] = scale * np.where(encoder.count[:num] <= NUM_FIXED_UNIT, 1.0, error)
        residual = bounded(raw[:, 0], MAX_RESIDUAL)
        self.experts[-1] = self.experts[self._base_row] + self.unit * residual
        self.experts[:] = np.where(np.isfinite(self.experts), self.experts, values)
        given = None
        if self.aggregation is None or self.grid is None:
            self.mean[:] = self.experts[-1]
            if self.outputs_each == 2:
                # In units of the mean absolute error, which is what the tracked quantiles multiply.
                given = self.unit * np.exp(0.5 * bounded(raw[:, 1], losses.MAX_LOG_VARIANCE)) / MEAN_ABS_TO_STD
        else:
            mixed = self.aggregation.mix(self.experts)
            self.mean[:] = self.grid.forecast(mixed)
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

    def weights(self, spec: StreamSpec) -> dict[str, dict[str, float]]:
        """Weight of each expert, by target field."""
        if self.aggregation is None:
            return {}
        names = fields_of(spec, "number")[: self.num]
        columns = self.aggregation.weights.T
        return {
            name: dict(zip(EXPERTS, map(float, column), strict=True))
            for name, column in zip(names, columns, strict=True)
        }

    @property
    def _base_row(self) -> int:
        return 0 if self.forecasters is None else BASE

    def _safe_unit(self) -> np.ndarray:
        unit: np.ndarray = np.where(self.unit > 0, self.unit, 1.0)
        return unit


def num_targets(spec: StreamSpec) -> int:
    """T, how many number fields are predicted."""
    return sum(field.type == "number" and field.role == "target" for field in spec.fields.values())


def num_cross(spec: StreamSpec) -> int:
    """How many number fields' newest changes the short autoregression listens to; none if there is one field."""
    num = sum(field.type == "number" for field in spec.fields.values())
    return min(num, MAX_CROSS) if num > 1 else 0
