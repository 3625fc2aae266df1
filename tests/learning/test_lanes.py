"""Eight floats side by side do what numpy does to each, to the last bit, in the stated order of a sum."""

from __future__ import annotations

import numpy as np
import pytest
from numba import uintp as U  # noqa: N812 - the compiler's unsigned word

from uoro.learning.kernel import lanes
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.lanes import address, load, splat, spread, sqrt, store, total


@jit
def arithmetic(v, w, x, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - compiled
    """Every operation once, on the eight from 1 of v and w."""
    a, b, o = load(address(v), U(1)), load(address(w), U(1)), address(out)
    store(o, U(0), a + b)
    store(o, U(8), a - b)
    store(o, U(16), a * b)
    store(o, U(24), a / b)
    store(o, U(32), sqrt(b))
    store(o, U(40), splat(x))
    store(o, U(48), spread(address(v), U(3)))
    return total(a)


@pytest.mark.parametrize("seed", range(5))
def test_lanes_are_numpy_bit_for_bit(seed: int) -> None:
    """Sum, difference, product, quotient, root, repetition, and the sum of the eight as its docstring orders it."""
    chance = np.random.default_rng(seed)
    v = (chance.standard_normal(10) * 10.0 ** chance.uniform(-10, 10, 10)).astype(np.float32)
    w = np.abs(chance.standard_normal(10)).astype(np.float32) + np.float32(1e-3)
    x, out = np.float32(chance.standard_normal()), np.empty(56, np.float32)
    found = arithmetic(v, w, x, out)
    a, b = v[1:9], w[1:9]
    expected = [a + b, a - b, a * b, a / b, np.sqrt(b), np.full(8, x), np.full(8, v[3])]
    assert np.array_equal(out.reshape(7, 8), np.array(expected, np.float32))
    assert np.float32(found) == ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))


def test_rows_are_padded_to_whole_lanes() -> None:
    """The least multiple of the lanes that holds so many."""
    assert [lanes.padded(num) for num in (0, 1, 8, 9, 16)] == [0, 8, 8, 16, 16]
