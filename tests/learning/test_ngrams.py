"""The n-grams against counting by hand, their bounds, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from uoro.domain import Observation
from uoro.learning.block import Block, Layout
from uoro.learning.learner import Learner
from uoro.learning.ngrams import DISCOUNT, MAX_COUNT, MAX_ORDER, MAX_PLACES, Ngrams
from uoro.learning.spec import StreamSpec


def fresh(size: int) -> Ngrams:
    ngrams = Ngrams(Block(Layout(Ngrams.parts("n", size))), "n", size)
    ngrams.init()
    return ngrams


def feed(ngrams: Ngrams, values: list[int]) -> None:
    for value in values:
        ngrams.learn(value)
        ngrams.advance(value)


def test_orders_interpolate_by_absolute_discounting() -> None:
    """Order one after `a`: counts 2 and 1, discounted, the rest from the frequencies."""
    ngrams = fresh(3)
    feed(ngrams, [0, 1, 0, 1, 0, 2, 0])
    frequencies = np.array([0.4, 0.3, 0.2, 0.1])
    got = ngrams.probabilities(frequencies)
    expected = (np.array([0, 2 - DISCOUNT, 1 - DISCOUNT, 0]) + 2 * DISCOUNT * frequencies) / 3
    assert got[1] == pytest.approx(expected)
    assert got.sum(axis=1) == pytest.approx(np.ones(MAX_ORDER + 1))


def test_counts_are_bounded_and_forget() -> None:
    """A full count halves its context's counts and goes on."""
    ngrams = fresh(2)
    feed(ngrams, [0] * (MAX_COUNT + 100))
    feed(ngrams, [1, 0] * 3)
    assert ngrams.probabilities(np.full(3, 1 / 3))[1, 0] > 0.9


def test_tables_are_bounded() -> None:
    """The largest vocabulary takes no more places than the limit and one window."""
    ngrams = fresh(1024)
    assert max(len(table) for table in ngrams.tables) == MAX_PLACES + 1025
    random = np.random.default_rng(0)
    feed(ngrams, random.integers(0, 1025, 3000).tolist())
    got = ngrams.probabilities(np.full(1025, 1 / 1025))
    assert got.sum(axis=1) == pytest.approx(np.ones(MAX_ORDER + 1))
    assert got.min() >= 0


@pytest.mark.parametrize("learner", ["uoro", "frozen"])
def test_a_second_order_source_is_learned(learner: Learner) -> None:
    """Where each value is decided by the two before it, the stream soon beats the frequencies by far."""
    spec = StreamSpec.parse(
        {
            "fields": {"kind": {"type": "category", "size": 16}},
            "hidden_size": 4,
            "learner": {"name": learner, "rank": 1},
        }
    )
    stream = Learner.new(spec)
    random = np.random.default_rng(0)
    table = random.integers(0, 8, (8, 8))
    first, second = 0, 1
    for _ in range(1500):
        value = int(table[first, second]) if random.random() < 0.9 else int(random.integers(8))
        first, second = second, value
        stream.observe(Observation({"kind": f"v{value}"}))
    assert stream.metrics().skill > 0.4
    weights = stream.metrics().expert_weights["kind"]
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights["frequencies"] < 0.05
