"""The compiled forecast by the core alone is the one said in numpy: to the bit, but for exp, erf, sin and cos."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from alone_oracle import Oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from uoro.learning.alone import Alone
from uoro.learning.block import Block, Layout
from uoro.learning.kernel.alone import intervals, seasons
from uoro.learning.kernel.numeric import statistics as columns
from uoro.learning.spec import StreamSpec

FIELDS = {
    "one": {"a": "target"},
    "two": {"a": "target", "b": "target"},
    "two and an input": {"a": "target", "u": "input", "b": "target"},
    "four and two": {"a": "target", "b": "target", "u": "input", "c": "target", "v": "input", "d": "target"},
}
KINDS = ("huber", "squared", "gaussian")
RELATIVE = 1e-12


class Moment(NamedTuple):
    """What comes in one step: numbers (F,), the time, and whether the learner learns."""

    numbers: np.ndarray
    t: float | None
    is_calendar: bool
    is_learning: bool


def values_of(kind: str, chance: np.random.Generator, num: int, num_fields: int) -> np.ndarray:
    """(num, num_fields) without gaps."""
    shape = num, num_fields
    walk = np.cumsum(chance.normal(size=shape), axis=0)
    wave = np.sin(np.arange(num)[:, None] / 24 * 2 * math.pi)
    return {
        "constant": np.full(shape, 7.25),
        "quantised": np.round(walk / 3) * 3,
        "heavy-tailed": chance.standard_t(1.2, size=shape) + 10 * wave,
        "tiny": 1e-9 * (walk + 5 * wave),
        "large": 1e12 * (1 + 0.01 * wave + 0.001 * chance.normal(size=shape)),
        "of many scales": walk * 10.0 ** np.linspace(-9, 12, num_fields),
        "a step": walk + np.where(np.arange(num)[:, None] > num // 2, 1e6, 0.0),
        "mostly zero": np.where(chance.random(shape) < 0.9, 0.0, walk),
        "falling silent": np.where(np.arange(num)[:, None] < num // 10, walk, 1.0),
        "huge and least": np.where(chance.random(shape) < 0.5, 1e30, 5e-324),
    }[kind]


VALUES = (
    "constant", "quantised", "heavy-tailed", "tiny", "large", "of many scales", "a step", "mostly zero",
    "falling silent", "huge and least",
)  # fmt: skip


def no_times(chance: np.random.Generator, num: int) -> list[tuple[float | None, bool]]:
    """None at all."""
    return [(None, False)] * num


def dates(chance: np.random.Generator, num: int) -> list[tuple[float | None, bool]]:
    """Half-hourly, later hourly, then at a step that divides no day; with gaps, and some that do not come."""
    steps = np.repeat([1800.0, 3600.0, 1700.0], -(-num // 3))[:num] * chance.choice([1, 1, 1, 1, 1, 1, 3], num)
    t = 1.6e9 + np.cumsum(steps)
    return [(float(at), True) if chance.random() > 0.05 else (None, False) for at in t]


def epoch_seconds(chance: np.random.Generator, num: int) -> list[tuple[float | None, bool]]:
    """Numbers of seconds, now and then a date, and times that are none."""
    t = np.cumsum(chance.choice([600.0, 600.0, 600.0, -50.0, 0.0, 2e15], num, p=[0.5, 0.2, 0.2, 0.04, 0.04, 0.02]))
    return [(float(at), chance.random() < 0.3) for at in t]


TIMES: dict[str, Callable[[np.random.Generator, int], list[tuple[float | None, bool]]]] = {
    "undated": no_times,
    "dated": dates,
    "epoch seconds": epoch_seconds,
}


def stream(values: str, times: str, num_fields: int, num: int, seed: int) -> Iterator[Moment]:
    """A random stream with gaps, fields that begin late, and two frozen stretches, one at the very beginning."""
    chance = np.random.default_rng(seed)
    numbers = values_of(values, chance, num, num_fields)
    numbers[chance.random(numbers.shape) < 0.1] = np.nan
    numbers[:20, -1] = np.nan
    for i, (t, is_calendar) in enumerate(TIMES[times](chance, num)):
        yield Moment(numbers[i].copy(), t, is_calendar, is_learning=i >= 5 and not num // 3 <= i < num // 2)


def pair(fields: str, loss: str, season: str | int) -> tuple[Alone, Oracle]:
    """A compiled one and its judge, before the first observation."""
    roles = FIELDS[fields]
    spec = StreamSpec.parse(
        {
            "fields": {name: {"type": "number", "role": role} for name, role in roles.items()},
            "aggregation": "none", "loss": loss, "season": season, "hidden_size": 2,
        }
    )  # fmt: skip
    block = Block(Layout(Alone.parts(spec)))
    compiled = Alone(spec, block)
    compiled.init()
    return compiled, Oracle(len(roles), compiled.num, loss, season)


def assert_same(got: Any, wanted: Any, loss: str, unit: Any = 0.0) -> None:
    """To the bit, or, where exp and erf had a part in it, within RELATIVE of the value or of its unit."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    if loss != "gaussian":
        assert np.array_equal(got, wanted, equal_nan=True), (got, wanted)
        return
    assert np.array_equal(np.isnan(got), np.isnan(wanted))
    assert (np.abs(got - wanted)[~np.isnan(wanted)] <= (RELATIVE * (np.abs(wanted) + unit))[~np.isnan(wanted)]).all()


def step(compiled: Alone, oracle: Oracle, moment: Moment, outputs: np.ndarray) -> None:
    """One observation through both; outputs (2, T·outputs_each): the core's before and after it."""
    loss, num = oracle.loss, oracle.num
    targets, spread = moment.numbers[:num], np.nan_to_num(oracle.upper - oracle.lower)
    stats = oracle.statistics
    score, (losses, baselines, is_covered) = compiled.score(targets), oracle.score(targets)
    for got, wanted in ((score.loss, losses), (score.baseline_loss, baselines)):
        assert_same(got, wanted, loss, spread + stats.scale[:num])
    assert score.num_covered == is_covered.sum()
    if moment.is_learning:
        assert_same(compiled.slopes(targets, outputs[0]), oracle.slopes(targets, outputs[0]), loss, 1.0)
        compiled.learn(targets)
        oracle.learn(targets)
    x = np.full(3 * len(moment.numbers) + num + 4, np.nan, np.float32)
    when = {"is_calendar": moment.is_calendar, "learn": moment.is_learning}
    compiled.advance(moment.numbers, moment.t, x, **when)
    wanted = oracle.advance(moment.numbers, moment.t, **when)
    assert np.array_equal(x[:-4], wanted[:-4])
    assert x[-4:] == pytest.approx(wanted[-4:], rel=1e-6, abs=1e-6)
    compiled.forecast(outputs[1])
    oracle.forecast(outputs[1])
    unit = np.abs(oracle.lower - oracle.mean)
    assert_same(compiled.mean, oracle.mean, "huber")
    assert_same(compiled.lower, oracle.lower, loss, unit)
    assert_same(compiled.upper, oracle.upper, loss, unit)
    assert compiled.next_t == oracle.seasons.next_t
    assert compiled.is_calendar == oracle.seasons.is_calendar
    # The naive forecast, and what else is kept, is held to the judge too: what differs there shows late elsewhere.
    for column, name in ((columns.LAST, "last"), (columns.MEAN, "mean"), (columns.SCALE, "scale")):
        assert np.array_equal(compiled.state.stats[:, column], getattr(stats, name), equal_nan=True)
    assert np.array_equal(compiled.state.stats[:, columns.VARIANCE], stats.variance)
    assert np.array_equal(compiled.state.errors[:, intervals.ERROR], oracle.intervals.scale)
    assert compiled.state.sizes.tolist() == oracle.seasons.sizes


def outputs_of(oracle: Oracle, *, is_quiet: bool) -> Iterator[np.ndarray]:
    """(2, T·outputs_each) of a core that says nothing, or anything: moderate things mostly, sometimes absurd ones."""
    chance, size = np.random.default_rng(0), oracle.num * oracle.outputs_each
    newest = np.zeros(size, np.float32)
    while True:
        said = chance.normal(size=size) * 10.0 ** chance.integers(-2, 3) * (not is_quiet)
        before, newest = newest, said.astype(np.float32)
        yield np.stack((before, newest))


def run(compiled: Alone, oracle: Oracle, moments: Iterator[Moment], *, is_quiet: bool = False) -> None:
    """A whole stream through both, then twenty steps ahead that both widen."""
    outputs = outputs_of(oracle, is_quiet=is_quiet)
    for moment in moments:
        step(compiled, oracle, moment, next(outputs))
    for ahead in (1, 2, 20):
        compiled.widen(ahead)
        oracle.widen(ahead)
        unit = np.abs(oracle.lower - oracle.mean)
        assert_same(compiled.lower, oracle.lower, oracle.loss, unit)
        assert_same(compiled.upper, oracle.upper, oracle.loss, unit)


BATTERY = [
    (values, times, kind, fields, season)
    for (values, times, kind), fields, season in zip(
        itertools.product(VALUES, TIMES, KINDS),
        itertools.cycle(FIELDS),
        itertools.cycle(["auto", "auto", 5, "auto", "none", "auto", 512]),
        strict=False,
    )
]


@pytest.mark.parametrize(("values", "times", "loss", "fields", "season"), BATTERY)
def test_compiled_is_the_oracle(values: str, times: str, loss: str, fields: str, season: str | int) -> None:
    """Scores, slopes, inputs, forecasts and what is kept, at each of 400 steps."""
    compiled, oracle = pair(fields, loss, season)
    run(compiled, oracle, stream(values, times, len(FIELDS[fields]), 400, seed=len(values)))


@pytest.mark.parametrize(
    ("values", "loss", "is_quiet"),
    [("falling silent", "huber", True), ("quantised", "squared", False), ("heavy-tailed", "gaussian", False)],
)
def test_no_drift_over_a_long_stream(values: str, loss: str, *, is_quiet: bool) -> None:
    """6,000 steps of a dated stream; where one falls silent the intervals shrink to their least width."""
    compiled, oracle = pair("two and an input", loss, "auto")
    run(compiled, oracle, stream(values, "dated", 3, 6000, seed=1), is_quiet=is_quiet)


number = st.one_of(st.just(math.nan), st.floats(-1e30, 1e30), st.sampled_from([0.0, 5e-324, 1e-30, 1.0, 1e30, -1e30]))
moment = st.tuples(
    st.lists(number, min_size=3, max_size=3),
    st.one_of(st.none(), st.floats(-1e16, 1e16), st.integers(0, 50).map(lambda i: 1e9 + 1800.0 * i)),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(moment, max_size=30),
    loss=st.sampled_from(KINDS),
    season=st.sampled_from(["auto", "none", 2, 7]),
)
def test_any_finite_stream_agrees(rows: list[tuple], loss: str, season: str | int) -> None:
    """Property: whatever finite numbers and times come in whatever order."""
    compiled, oracle = pair("two and an input", loss, season)
    run(compiled, oracle, (Moment(np.array(row[0]), row[1], row[2] and row[1] is not None, row[3]) for row in rows))


@pytest.mark.parametrize("when", [0, 40])
def test_the_judge_sees_a_small_difference(when: int) -> None:
    """Negative control: one value of sixty that differs by a billionth of itself."""
    compiled, oracle = pair("one", "huber", "auto")
    moments = list(stream("heavy-tailed", "dated", 1, 60, seed=1))
    run(compiled, oracle, iter(moments[:when]))
    oracle.advance(np.array([3.0]), None, is_calendar=False, learn=True)
    compiled.advance(np.array([3.0 * (1 + 1e-9)]), None, np.zeros(8, np.float32), is_calendar=False, learn=True)
    with pytest.raises(AssertionError):
        run(compiled, oracle, iter(moments[when:]))


@pytest.mark.parametrize(
    ("exact", "slots"), [(2.0, 2), (512.0, 512), (513.0, 0), (1.0, 0), (50.5, 50), (51.5, 52), (40.5, 0)]
)
def test_a_day_has_two_to_512_slots(exact: float, slots: int) -> None:
    """At the limits and one past them; a half is rounded to even; a step that divides no day within 1 % has none."""
    compiled, _ = pair("one", "huber", "auto")
    for i in range(3):
        t = 1.6e9 + i * seasons.DAY_S / exact
        compiled.advance(np.array([1.0]), t, np.zeros(8, np.float32), is_calendar=True, learn=True)
    assert compiled.state.sizes[0] == slots
