"""The compiled forecast of category targets: against Kneser & Ney by hand, what it promises, and what it is for."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest

from uoro import limits
from uoro.domain import Observation
from uoro.learning.block import Block, Layout
from uoro.learning.kernel.symbols import state as places
from uoro.learning.kernel.symbols.bounds import unsound_part
from uoro.learning.kernel.symbols.contexts import MAX_COUNT
from uoro.learning.kernel.symbols.features import DISCOUNT
from uoro.learning.kernel.symbols.learning import NOVELTY_DECAY, NUM_NOVELTY_ORDERS, learn
from uoro.learning.kernel.symbols.mixture import MIN_PROBABILITY, MISSING, listen
from uoro.learning.learner import Learner
from uoro.learning.spec import StreamSpec

LEARNED = [name for name in places.SymbolState._fields if name not in (*places.ADVANCING, *places.PENDING)]


class Target:
    """One target of `size` values with a pending forecast `p`, driven as the learner drives it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.block = Block(Layout(places.parts("s", size)))
        self.state = places.bind(self.block.views, "s")
        places.init(self.state)
        self.core = np.zeros(size + 1, np.float32)
        self.p = np.empty(size + 1)
        self.hear(MISSING)

    @property
    def known(self) -> int:
        return int(self.state.cursor[places.KNOWN])

    def hear(self, symbol: int) -> None:
        listen(self.state, symbol, self.known, self.core, self.p)

    def observe(self, symbol: int) -> tuple[float, float]:
        """Losses of the forecast and of the frequencies; then learn, and forecast the next."""
        index = symbol if symbol < self.known else self.size
        losses = -math.log(self.p[index]), -math.log(self.state.experts[places.FREQUENCIES, index])
        self.hear(learn(self.state, index))
        return losses

    def run(self, symbols: list[int]) -> np.ndarray:
        """(N, 2) losses."""
        return np.array([self.observe(symbol) for symbol in symbols])

    def assert_sound(self) -> None:
        known = self.known
        assert self.p.sum() == pytest.approx(1.0, abs=1e-12)
        assert (self.p[:known] > 0).all()
        assert not self.p[known : self.size].any()
        assert unsound_part(self.state, known) is None
        assert all(np.isfinite(view).all() for view in self.block.views.values() if view.dtype.kind == "f")


def by_appearance(symbols: np.ndarray) -> list[int]:
    """The same symbols, numbered in the order in which they appear."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(int(symbol), len(numbers)) for symbol in symbols]


def markov(num: int, order: int = 2, alphabet: int = 6, *, noise: float = 0.1, seed: int = 0) -> list[int]:
    """Symbols each of which is decided by the `order` before it, up to noise."""
    random = np.random.default_rng(seed)
    table = random.integers(0, alphabet, (alphabet,) * order)
    symbols = random.integers(0, alphabet, order).tolist()
    while len(symbols) < num:
        is_noise = random.random() < noise
        symbols.append(int(random.integers(alphabet) if is_noise else table[tuple(symbols[-order:])]))
    return by_appearance(np.array(symbols))


def kneser_ney(symbols: list[int], size: int) -> list[np.ndarray]:
    """Before each symbol, the interpolated forecast of orders 0 … 6 from dictionaries of counts."""
    counts: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    continuation: Counter[int] = Counter()
    past, known, new, seen, forecasts = [size] * places.NUM_ORDERS, 0, 0.0, 0.0, []
    for symbol in symbols:
        rate = min((new + 0.5) / (seen + 1.0), 0.5) if known else 1.0
        total = max(sum(continuation.values()), 1.0)
        classes = [*range(known), size]
        p = {v: (1 - rate) * (max(continuation[v] - DISCOUNT, 0.0) + DISCOUNT) / total for v in range(known)}
        p[size] = rate
        contexts = [tuple(past[-order:]) for order in range(1, places.NUM_ORDERS + 1)]
        for context in contexts:
            seen_here, n = counts[context], counts[context].total()
            if n:
                share = DISCOUNT * len(seen_here) / n
                p = {v: (max(seen_here[v] - DISCOUNT, 0.0) if v in seen_here else 0.0) / n + share * p[v] for v in p}
        forecast = np.zeros(size + 1)
        forecast[classes] = [p[v] / sum(p.values()) for v in classes]
        forecasts.append(forecast)
        is_new = symbol == known
        new, seen = NOVELTY_DECAY * new + is_new, NOVELTY_DECAY * seen + 1
        if is_new:
            known += 1
            for context in contexts[:NUM_NOVELTY_ORDERS]:
                counts[context][size] += 1
        for context in reversed(contexts):
            counts[context][symbol] += 1
            if counts[context][symbol] > 1:
                break
        else:
            continuation[symbol] += 1
        past.append(symbol)
    assert max(max(followers.values(), default=0) for followers in counts.values()) < MAX_COUNT
    return forecasts


def test_it_starts_from_kneser_ney() -> None:
    """With its first weights and no repeat, the mixture is the interpolated forecast of orders 0 … 6.

    In a pool so large that no two contexts meet; in a small one a few counts are lost.
    """
    target, symbols = Target(128), markov(250, noise=0.3)
    state = target.state
    for symbol, expected in zip(symbols, kneser_ney(symbols, 128), strict=True):
        for learned in (state.by_confidence, state.by_order, state.by_symbol, state.biases):
            learned[:] = 0.0
        state.cursor[places.LENGTH :] = 0
        target.hear(MISSING)
        floor = MIN_PROBABILITY * (expected > 0)
        np.testing.assert_allclose(
            state.experts[places.MIXTURE], (1 - floor.sum()) * expected + floor, rtol=0, atol=1e-12
        )  # fmt: skip
        target.observe(symbol)


@pytest.mark.parametrize("size", [2, 5, 128, limits.MAX_CATEGORY_SIZE])
@pytest.mark.parametrize("alphabet", [1, 2, 3, 40, 300])
def test_probabilities_are_sound(size: int, alphabet: int) -> None:
    """For any vocabulary, also one beyond the size, every forecast sums to 1 and gives each known value its due."""
    random = np.random.default_rng(size + alphabet)
    symbols = random.zipf(1.3, 400) % alphabet
    target = Target(size)
    target.assert_sound()
    for i, symbol in enumerate(by_appearance(symbols)):
        target.observe(symbol)
        if i % 40 < 2:
            target.assert_sound()
    target.assert_sound()
    assert target.known == min(size, len(set(symbols.tolist())))
    assert target.state.cursor[places.RESETS] == 0


@pytest.mark.parametrize(
    ("symbols", "most"),
    [
        (markov(4000, 1), 0.75),
        (markov(4000, 2), 0.75),
        (markov(4000, 3), 0.85),
        ([i % 7 for i in range(1000)], 0.1),
        ([i * i % 31 % 5 for i in range(2000)], 0.15),
        ([0] * 500, 1.5),
    ],
    ids=["order 1", "order 2", "order 3", "cycle", "long cycle", "constant"],
)
def test_structure_is_learned(symbols: list[int], most: float) -> None:
    """Where the past decides, the loss is soon far below that of the frequencies."""
    losses = Target(16).run(by_appearance(np.array(symbols))).mean(axis=0)
    assert losses[0] < most * losses[1]


@pytest.mark.parametrize("alphabet", [2, 6, 64])
def test_without_structure_it_is_the_frequencies(alphabet: int) -> None:
    """Where nothing can be learned, what is said costs at most a few nats more than the frequencies, in all."""
    random = np.random.default_rng(alphabet)
    losses = Target(128).run(by_appearance(random.integers(0, alphabet, 3000))).sum(axis=0)
    assert losses[0] < losses[1] + 8


def test_drift_is_followed() -> None:
    """When the source changes to another, the loss comes back to what it was."""
    symbols = markov(3000, seed=1) + markov(3000, seed=2)
    losses = Target(8).run(symbols)[:, 0]
    before, shock, after = losses[2000:3000].mean(), losses[3000:3100].mean(), losses[5000:].mean()
    assert shock > 1.2 * before
    assert after < 1.15 * Target(8).run(markov(3000, seed=2))[2000:, 0].mean()


def test_equal_inputs_give_equal_bits() -> None:
    """Twice the same, and from a copy of the block the same as without."""
    symbols = markov(600, noise=0.3)
    one, other = Target(8), Target(8)
    one.run(symbols[:300])
    other.run(symbols[:300])
    assert one.block.dump() == other.block.dump()
    restored = Target(8)
    restored.block.restore(one.block.dump())
    restored.p[:] = one.p
    assert np.array_equal(one.run(symbols[300:]), restored.run(symbols[300:]))
    assert one.block.dump() == restored.block.dump()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_logits_beyond_numbers_are_no_opinion(bad: float) -> None:
    """One or all of the core's logits broken: the forecast stays sound and is learned from."""
    target = Target(8)
    for i, symbol in enumerate(markov(200)):
        target.core[:] = 0.0
        target.core[i % 9 if i % 2 else slice(None)] = bad
        target.observe(symbol)
        target.assert_sound()
    assert target.state.cursor[places.RESETS] == 0


def test_a_core_that_knows_is_believed() -> None:
    """Symbols that only the core can foresee: the mixture soon follows it."""
    random = np.random.default_rng(0)
    target = Target(8)
    losses = []
    for symbol in by_appearance(random.integers(0, 6, 1500)):
        target.core[:] = 0.0
        target.core[symbol] = 6.0
        target.hear(MISSING)
        losses.append(target.observe(symbol))
    assert np.mean(losses[-500:], axis=0)[0] < 0.3


@pytest.mark.parametrize("name", ["by_confidence", "by_order", "by_symbol", "biases"])
def test_poisoned_weights_are_learned_anew(name: str) -> None:
    """Counted once, and from then on sound."""
    target, symbols = Target(8), markov(400)
    target.run(symbols[:200])
    getattr(target.state, name)[:] = np.nan
    target.hear(MISSING)
    target.assert_sound()
    assert target.state.cursor[places.RESETS] == 1
    target.run(symbols[200:])
    target.assert_sound()
    assert target.state.cursor[places.RESETS] == 1


def test_listening_moves_nothing_that_was_learned() -> None:
    """Without `learn` only history, matches and the pending forecast move; without a symbol only the forecast."""
    target, symbols = Target(8), markov(400)
    target.run(symbols[:200])
    learned = {name: getattr(target.state, name).copy() for name in LEARNED}
    advancing = {name: getattr(target.state, name).copy() for name in places.ADVANCING}
    said = target.p.copy()
    target.hear(MISSING)
    assert all(np.array_equal(getattr(target.state, name), advancing[name]) for name in advancing)
    assert np.array_equal(target.p, said)
    for symbol in [*symbols[200:], 8]:
        target.hear(symbol)
    assert all(np.array_equal(getattr(target.state, name), learned[name]) for name in learned)
    assert not np.array_equal(target.p, said)


def test_the_state_is_bounded() -> None:
    """1 MiB for 128 values, 4 MiB for the most."""
    assert places.state_bytes(128) < 2**20
    assert places.state_bytes(limits.MAX_CATEGORY_SIZE) < 4 * 2**20


def stream_of(**options: Any) -> Learner:
    fields = {"kind": {"type": "category", "size": 16}, "other": {"type": "category", "size": 3}}
    return Learner.new(StreamSpec.parse({"fields": fields, "hidden_size": 4} | options))


@pytest.mark.parametrize("learner", ["uoro", "frozen"])
def test_a_stream_learns_its_source(learner: str) -> None:
    """Two targets, one often missing: far better than the frequencies, and the mixture is what is believed."""
    stream = stream_of(learner={"name": learner, "rank": 1})
    random = np.random.default_rng(0)
    for i, symbol in enumerate(markov(1500, alphabet=8)):
        other = None if random.random() < 0.3 else "ab"[i % 2]
        stream.observe(Observation({"kind": f"v{symbol}", "other": other}))
    assert stream.metrics().skill > 0.4
    weights = stream.metrics().expert_weights["kind"]
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights["mixture"] > 0.9
    for target in stream.categories:
        assert target.unsound_part() is None


def test_without_aggregation_the_core_speaks_alone() -> None:
    """Its softmax over the classes that have a name; it learns, and nothing is kept of the past."""
    stream = stream_of(aggregation="none", optimizer={"learning_rate": 0.02})
    for i in range(800):
        stream.observe(Observation({"kind": "abc"[i % 3], "other": "x"}))
    target = stream.categories[0]
    assert target.symbols is None
    assert target.probabilities.sum() == pytest.approx(1.0)
    assert not target.probabilities[3:16].any()
    assert stream.metrics().expert_weights == {}
    assert stream.metrics().skill > 0.3
