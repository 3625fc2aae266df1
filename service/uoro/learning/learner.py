"""One stream's model: it predicts, is told what came, learns from it, and predicts again.

Everything it knows is in one block of bytes. It is deterministic: the same spec and the same observations
give the same block, bit for bit. It does no I/O and reads no clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self, cast

import numpy as np

from uoro import limits
from uoro.domain import Metrics, Observation, Prediction, Result
from uoro.errors import CorruptRecord, InvalidSpec
from uoro.learning.alone import Alone, num_outputs
from uoro.learning.anomalies import Anomalies, combined
from uoro.learning.block import Block, Layout, Part
from uoro.learning.categories import CategoryTarget, category_targets
from uoro.learning.core import Core, CoreShape
from uoro.learning.encoder import Encoder, num_one_hot
from uoro.learning.evaluation import Evaluation
from uoro.learning.fused import Fused, Path, Run, Table, can_fuse, run_each
from uoro.learning.kernel.numeric import paths
from uoro.learning.kernel.rows import NUM_HEAD
from uoro.learning.kernel.scoring import WINDOW
from uoro.learning.mixture import Mixture
from uoro.learning.numbers import num_number_targets
from uoro.learning.results import Results
from uoro.learning.ring import Ring
from uoro.learning.spec import StreamSpec

STATE_VERSION = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What all streams of one spec share: the core's shape and where each part of a block lies.

    Attributes:
        table: for compiled runs; None where there are none.
    """

    core: CoreShape
    places: np.ndarray
    layout: Layout
    table: Table | None


@lru_cache(maxsize=1024)
def plan_of(spec_json: str) -> Plan:
    """The plan of a spec, given as JSON. Raises InvalidSpec if its state would be over the limit."""
    spec = StreamSpec.model_validate_json(spec_json)
    outputs = sum(size + 1 for _, size in category_targets(spec))
    if spec.aggregation == "boa":
        numbers, inputs = Mixture.parts(spec), Mixture.num_inputs(spec, num_one_hot(spec))
    else:
        numbers, inputs = Alone.parts(spec), Alone.num_inputs(spec, num_one_hot(spec))
        outputs += num_number_targets(spec) * num_outputs(spec)
    core = CoreShape(spec, inputs, outputs)
    layout = Layout(
        [
            Part("learner.seq", (1,), "i8"),
            *core.parts(),
            *Encoder.parts(spec),
            *numbers,
            *(part for name, size in category_targets(spec) for part in CategoryTarget.parts(spec, name, size)),
            *Anomalies.parts(num_number_targets(spec)),
            *Evaluation.parts(),
            *Ring.parts(spec),
        ]
    )
    if layout.nbytes > limits.MAX_STREAM_STATE_BYTES:
        raise InvalidSpec(
            f"the state of such a stream takes {layout.nbytes} bytes, over the limit of "
            f"{limits.MAX_STREAM_STATE_BYTES}; choose a smaller hidden_size, rank, truncation or category size"
        )
    places = core.places(layout)
    return Plan(core, places, layout, Table(spec, layout, core, places) if can_fuse(spec) else None)


class Learner:
    """The model of one stream.

    Attributes:
        spec: what the stream is.
        block: its whole state.
    """

    def __init__(self, spec: StreamSpec) -> None:
        plan = plan_of(spec.model_dump_json())
        self.spec = spec
        self.layout = plan.layout
        self.block = block = Block(plan.layout)
        self.core = Core(plan.core, block, plan.places)
        self.encoder = Encoder(spec, block)
        self.numbers: Mixture | Alone
        if spec.aggregation == "boa":
            self.numbers = Mixture(spec, block)
        else:
            self.numbers = Alone(spec, block)
        self.categories = [
            CategoryTarget(spec, block, self.encoder, i) for i in range(self.encoder.num_category_targets)
        ]
        self.anomalies = Anomalies(block, self.numbers.num)
        self.evaluation = Evaluation(block)
        self.ring = Ring(block, self.encoder)
        self.fused = None if plan.table is None else Fused(block, plan.table)

    @classmethod
    def new(cls, spec: StreamSpec) -> Self:
        """A learner that has seen nothing. Raises InvalidSpec if its state would be over the limit."""
        learner = cls(spec)
        learner.core.init()
        learner.encoder.init()
        learner.numbers.init()
        for target in learner.categories:
            target.init()
        learner.anomalies.init()
        learner.evaluation.init()
        return learner

    @classmethod
    def load(cls, spec: StreamSpec, state: bytes | memoryview) -> Self:
        """The learner that `dump` wrote. Raises CorruptRecord if the bytes do not fit the spec."""
        learner = cls(spec)
        learner.block.restore(state)
        try:
            learner.encoder.reload()
        except (UnicodeDecodeError, ValueError) as error:
            raise CorruptRecord(f"the vocabulary of the state cannot be read: {error}") from error
        return learner

    @property
    def seq(self) -> int:
        """How many observations it has seen."""
        return int(self.block["learner.seq"][0])

    @property
    def nbytes(self) -> int:
        """Length of the state in bytes."""
        return self.layout.nbytes

    def dump(self) -> bytes:
        """A copy of the whole state."""
        return self.block.dump()

    def observe(self, observation: Observation, *, learn: bool = True) -> Result:
        """`observe_all` of a single one."""
        return self.observe_all([observation], learn=learn)[0]

    def observe_all(self, observations: Sequence[Observation], *, learn: bool = True) -> Results:
        """One after the other: judge the pending prediction by what came, learn from it, and predict the next.

        Args:
            observations: each fits the spec (`StreamSpec.check`).
            learn: False leaves everything that was learned as it is; the state still advances.
        """
        (results,) = observe_each([(self, observations, learn)])
        if isinstance(results, Exception):
            raise results
        return results

    def observe_one_by_one(self, observations: Sequence[Observation], *, learn: bool) -> np.ndarray:
        """`observe_all` call by call, for streams that no compiled run takes; returns the rows."""
        rows = np.full((len(observations) + 1, self.ring.rows.shape[1]), np.nan)
        for row, observation in zip(rows, observations, strict=False):
            row[:] = self._observe(observation, learn=learn)
        rows[-1, NUM_HEAD:] = self.ring.pending
        return rows

    def _observe(self, observation: Observation, *, learn: bool) -> np.ndarray:
        numbers, categories = self.encoder.read(observation)
        seq = self.seq + 1
        has_prediction = seq > 1
        scores = self._judge(observation, numbers, categories, has_prediction=has_prediction)
        if learn and has_prediction:
            self._learn(numbers, categories)
        row = self.ring.record(
            seq,
            observation.t,
            is_calendar=observation.is_calendar,
            scores=scores,
            has_prediction=has_prediction,
        )
        self.block["learner.seq"][0] = seq
        self.advance(observation, numbers, learn=learn)
        self.ring.propose(self.numbers, self.categories)
        if learn:
            self._follow_path()
        return row

    def predict(self, horizon: int) -> list[Prediction] | None:
        """Predictions of the next `horizon` observations; changes nothing. None before the first observation.

        Beyond the next step the model is fed its own forecasts, on a copy of its state.
        """
        if self.seq == 0:
            return None
        if horizon == 1:
            return [self.ring.prediction()]
        ahead = self._copy()
        if ahead.fused is not None:
            return ahead.fused_ahead(ahead.fused.look_ahead(horizon))
        steps = [self.ring.prediction()]
        for step in range(2, horizon + 1):
            observation = ahead.imagine()
            values, _ = ahead.encoder.read(observation)
            ahead.advance(observation, values, learn=False)
            steps.append(ahead.said(step))
        return steps

    def said(self, step: int) -> Prediction:
        """The pending prediction as that of `step` steps ahead."""
        self.numbers.widen(step)
        self.ring.propose(self.numbers, self.categories)
        return self.ring.prediction()

    def fused_ahead(self, path: Path) -> list[Prediction]:
        """The predictions that a path stands for."""
        steps = [self.ring.prediction()]
        for step, said in enumerate(zip(*(part[1:] for part in path), strict=True), 2):
            self.numbers.mean[:], self.numbers.lower[:], self.numbers.upper[:] = said
            steps.append(self.said(step))
        return steps

    def _copy(self) -> Self:
        """The same state once more, which goes on by the same way."""
        copy = type(self).load(self.spec, self.block.bytes.data)
        if self.fused is None:
            copy.fused = None
        return copy

    def result(self, seq: int) -> Result | None:
        """The kept result of one observation, or None if it is not among the recent ones."""
        return self.ring.result(seq, self.seq)

    def results(self, limit: int) -> list[Result]:
        """At most `limit` recent results, newest last."""
        newest = self.seq
        first = newest - min(limit, limits.MAX_RECENT_RESULTS) + 1
        kept = (self.ring.result(seq, newest) for seq in range(first, newest + 1))
        return [result for result in kept if result is not None]

    def metrics(self) -> Metrics:
        """How well the stream is predicted, recently and since its beginning."""
        evaluation = self.evaluation
        loss, baseline_loss, skill = evaluation.means(0)
        total_loss, total_baseline_loss, total_skill = evaluation.means(1)
        anomaly = float(evaluation.anomaly[0])
        return Metrics(
            observations=self.seq,
            window=WINDOW,
            loss=loss,
            baseline_loss=baseline_loss,
            skill=skill,
            total_loss=total_loss,
            total_baseline_loss=total_baseline_loss,
            total_skill=total_skill,
            coverage=evaluation.coverage(),
            anomaly=None if math.isnan(anomaly) else anomaly,
            influence_norm=self.core.influence_norms(self.block),
            expert_weights=self._expert_weights(),
            numeric_resets=int(self.core.num_resets[0]) + self.numbers.num_resets,
            estimate_noise=self.core.noise,
            estimate_weight=self.core.weight,
        )

    def _expert_weights(self) -> dict[str, dict[str, float]]:
        """Weight of each expert, by target field; empty without aggregation."""
        if self.spec.aggregation == "none":
            return {}
        weights = self.numbers.weights()
        for target in self.categories:
            weights[self.encoder.category_fields[target.field]] = target.weights()
        return weights

    def unfreeze(self) -> None:
        """Learning resumes: what was known of the state's dependence on θ is stale, so it is dropped."""
        self.core.forget_influence()

    def _judge(
        self, observation: Observation, numbers: np.ndarray, categories: list[int | None], *, has_prediction: bool
    ) -> tuple[float, float, float] | None:
        """Loss, baseline loss and anomaly of the pending prediction; None if there was none or no target came."""
        losses: list[float] = []
        baselines: list[float] = []
        anomalies: list[float] = []
        pending = self.numbers
        if pending.num:
            values = numbers[: pending.num]
            t = observation.t if observation.is_calendar else None
            anomalies = self.anomalies.score(values, pending.mean, pending.lower, pending.upper, t)
            score = pending.score(values)
            is_scored = ~np.isnan(score.loss)
            losses += score.loss[is_scored].tolist()
            baselines += score.baseline_loss[is_scored].tolist()
            if losses:
                self.evaluation.cover(score.num_covered, len(losses))
        if not has_prediction:
            return None
        of_categories: list[float] = []
        for target, index in zip(self.categories, categories, strict=False):
            if index is not None:
                loss, baseline = target.score(index)
                of_categories.append(loss)
                baselines.append(baseline)
        losses += of_categories
        if not losses:
            return None
        if of_categories:
            anomalies.append(self.evaluation.rank(sum(of_categories) / len(of_categories)))
        num = len(losses)
        scores = sum(losses) / num, sum(baselines) / num, combined(anomalies)
        self.evaluation.add(*scores)
        return scores

    def _learn(self, numbers: np.ndarray, categories: list[int | None]) -> None:
        """Learn from what came: the readouts, then the core at the point where it predicted, then the rest."""
        direct = None
        slopes: list[np.ndarray] = []
        num_present = sum(index is not None for index in categories[: len(self.categories)])
        if isinstance(self.numbers, Mixture):
            direct = self.numbers.learn(numbers, self.core.hidden)
        else:
            targets = numbers[: self.numbers.num]
            slopes.append(
                self.numbers.slopes(targets, self.core.output[: self.numbers.num * self.numbers.outputs_each])
            )
            num_present += int((~np.isnan(targets)).sum())
        for target, index in zip(self.categories, categories, strict=False):
            slopes.append(np.zeros(target.size + 1) if index is None else target.slopes(index))
        has_loss = num_present > 0 or direct is not None
        slope = np.concatenate(slopes) / max(num_present, 1) if slopes else self.core.output
        self.core.learn(slope if has_loss else None, direct)
        if isinstance(self.numbers, Alone):
            self.numbers.learn(numbers[: self.numbers.num])
        for target, index in zip(self.categories, categories, strict=False):
            if index is not None:
                target.learn(index)

    def advance(self, observation: Observation, numbers: np.ndarray, *, learn: bool) -> None:
        """Take the observation in and predict the next."""
        t, is_calendar = observation.t, observation.is_calendar
        core = self.core
        self.encoder.advance(observation, learn=learn)
        self.numbers.advance(numbers, t, core.x, is_calendar=is_calendar, learn=learn)
        self.encoder.write_one_hot(core.x)
        core.advance()
        if isinstance(self.numbers, Mixture):
            self.numbers.forecast(core.hidden)
            end = 0
        else:
            end = self.numbers.num * self.numbers.outputs_each
            self.numbers.forecast(core.output[:end])
        for target in self.categories:
            target.advance(core.output[end : end + target.size + 1])
            end += target.size + 1

    def _follow_path(self) -> None:
        """Now and then: forecasts of many steps, to be held against what comes, so that intervals ahead are honest."""
        if isinstance(self.numbers, Mixture) and self.numbers.num and self.seq % paths.EVERY == 0:
            ahead = self._copy()
            means = [self.numbers.mean.copy()]
            for _ in range(1, paths.LENGTH):
                observation = ahead.imagine()
                ahead.advance(observation, ahead.encoder.read(observation)[0], learn=False)
                means.append(ahead.numbers.mean.copy())
            self.numbers.follow(np.array(means))

    def imagine(self) -> Observation:
        """The observation that the pending prediction expects; inputs keep their last value."""
        encoder, pending = self.encoder, self.numbers
        values: dict[str, float | str | None] = {}
        for i, name in enumerate(encoder.number_fields):
            value = float(pending.mean[i] if i < pending.num else pending.last[i])
            values[name] = None if math.isnan(value) else value
        for i, name in enumerate(encoder.category_fields):
            words = encoder.vocabularies[i]
            if i < len(self.categories) and words:
                values[name] = words[int(self.categories[i].probabilities[: len(words)].argmax())]
            elif encoder.category[i] < len(words):
                values[name] = words[encoder.category[i]]
        return Observation(values, t=pending.next_t, is_calendar=pending.is_calendar)


def observe_each(runs: Sequence[tuple[Learner, Sequence[Observation], bool]]) -> list[Results | Exception]:
    """`Learner.observe_all` for many learners, in one compiled call as far as they take such.

    Args:
        runs: learner, observations, and whether it learns from them; no learner twice.

    Returns:
        Of each its results, or what it raised: no learner notices what becomes of another.
    """
    found: list[Results | Exception | None] = [None] * len(runs)
    fused: list[tuple[int, Run]] = []
    for place, (learner, observations, learn) in enumerate(runs):
        if learner.fused is not None:
            fused.append((place, Run(learner.fused, observations, learn)))
            continue
        try:
            rows = learner.observe_one_by_one(observations, learn=learn)
        except Exception as error:  # noqa: BLE001 - returned
            found[place] = error
        else:
            found[place] = Results(learner.ring.reader, rows)
    for (place, _), told in zip(fused, _run_each([run for _, run in fused]), strict=True):
        found[place] = told if isinstance(told, Exception) else Results(runs[place][0].ring.reader, told)
    return cast("list[Results | Exception]", found)


def _run_each(runs: list[Run]) -> list[np.ndarray | Exception]:
    """`run_each`; where one of several has what cannot be read, which moves nothing, each is tried by itself."""
    try:
        return run_each(runs) if runs else []
    except Exception as error:  # noqa: BLE001 - returned
        return [error] if len(runs) == 1 else [told for run in runs for told in _run_each([run])]
