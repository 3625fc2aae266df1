"""A learner at a glance, for lists of many streams: a few numbers of the block are read, and no result is built."""

from __future__ import annotations

import math

import numpy as np

from uoro import limits
from uoro.domain import Glance, KnownValues
from uoro.learning.kernel.numeric import history
from uoro.learning.kernel.rows import LOSS, NUM_HEAD
from uoro.learning.learner import Learner
from uoro.learning.mixture import Mixture


def glance(learner: Learner) -> Glance:
    """Losses, newest values and the recent trend."""
    loss, baseline_loss, skill = learner.evaluation.means(0)
    num = min(learner.seq, limits.TREND_STEPS)
    rows = learner.ring.rows[np.arange(learner.seq - num + 1, learner.seq + 1) % limits.MAX_RECENT_RESULTS]
    predicted: list[float | None] = []
    if learner.numbers.num:
        trend = _past(learner, 0, num)
        predicted = _numbers(rows[:, NUM_HEAD])
    else:
        trend = _numbers(np.exp(-rows[:, LOSS]))
    return Glance(
        loss,
        baseline_loss,
        skill,
        _number(float(learner.evaluation.anomaly[0])),
        _newest(learner),
        learner.ring.prediction() if learner.seq else None,
        trend,
        predicted,
    )


def known_values(learner: Learner, limit: int) -> KnownValues:
    """The newest known value of each number target at the recent places; None where the model keeps none."""
    num = min(learner.seq, limit, limits.MAX_RECENT_RESULTS)
    names = learner.encoder.number_fields[: learner.numbers.num]
    return KnownValues(learner.seq, {name: _past(learner, i, num) for i, name in enumerate(names)})


def _past(learner: Learner, target: int, num: int) -> list[float | None]:
    numbers = learner.numbers
    if not isinstance(numbers, Mixture):
        return [None] * num
    at = int(numbers.state.place[history.POSITION])
    return _numbers(numbers.state.past[target, at : at + num][::-1])


def _newest(learner: Learner) -> dict[str, float | str]:
    encoder = learner.encoder
    last = learner.numbers.last
    names = encoder.number_fields[: learner.numbers.num]
    newest: dict[str, float | str] = {
        name: value for name, value in zip(names, last.tolist(), strict=False) if not math.isnan(value)
    }
    for target in learner.categories:
        words, index = encoder.vocabularies[target.field], int(encoder.category[target.field])
        if index < len(words):
            newest[encoder.category_fields[target.field]] = words[index]
    return newest


def _numbers(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
