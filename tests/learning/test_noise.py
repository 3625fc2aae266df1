"""The noise: a function of (seed, step), fair, independent, and the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest

from uoro.learning import noise

MASK = 2**64 - 1


def splitmix(z: int) -> int:
    """SplitMix64's output function in plain integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_words_are_splitmix_of_the_counter() -> None:
    """Against plain integers; the mixing function against its published first output for the seed 0."""
    golden = 0x9E3779B97F4A7C15
    assert splitmix(golden) == 0xE220A8397B1DCDAF
    key = splitmix((splitmix((5 + golden) & MASK) + 9 * golden) & MASK)
    expected = [splitmix((key + i * golden) & MASK) for i in (1, 2, 3)]
    assert noise.words(5, 9, 3).tolist() == expected


def test_signs_are_bits_of_the_words() -> None:
    """Lowest bit first, 0 is -1."""
    word = int(noise.words(1, 2, 1)[0])
    signs = noise.signs(1, 2, (4, 16))
    assert signs.dtype == np.float32
    assert signs.reshape(-1).tolist() == [1.0 if word >> i & 1 else -1.0 for i in range(64)]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_signs_are_fair_and_uncorrelated(seed: int) -> None:
    """Over 4,000 steps every sign's mean and every pair's product are within five standard errors of zero."""
    drawn = np.stack([noise.signs(seed, step, (2, 8)).reshape(-1) for step in range(4000)])
    bound = 5 / np.sqrt(len(drawn))
    assert np.abs(drawn.mean(0)).max() < bound
    products = drawn.T @ drawn / len(drawn)
    assert np.abs(products - np.eye(16)).max() < bound
    assert np.abs((drawn[1:] * drawn[:-1]).mean(0)).max() < bound


def test_steps_and_seeds_differ() -> None:
    """Another step or seed draws other words; the same ones the same, in any order."""
    drawn = {tuple(noise.words(seed, step, 2).tolist()) for seed in range(50) for step in range(50)}
    assert len(drawn) == 2500
    assert np.array_equal(noise.words(3, 4, 2), noise.words(3, 4, 5)[:2])


def test_uniform_fills_its_range() -> None:
    """Mean 0, variance 1/3, in [-1, 1)."""
    drawn = noise.uniform(0, 0, 20_000)
    assert drawn.min() >= -1
    assert drawn.max() < 1
    assert abs(drawn.mean()) < 0.02
    assert drawn.var() == pytest.approx(1 / 3, rel=0.03)
