"""The random numbers of `uoro.learning.noise`, bit for bit, compiled."""

from __future__ import annotations

import numpy as np

from uoro.learning import noise
from uoro.learning.kernel.jit import jit

INIT_STEP = np.uint64(noise.INIT_STEP)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
ONE = np.uint64(1)
S40 = np.uint64(40)
HALF_RANGE = 2.0**23
S27, S30, S31 = np.uint64(27), np.uint64(30), np.uint64(31)


@jit
def mix(z):
    """SplitMix64's output function."""
    z = (z ^ (z >> S30)) * FIRST
    z = (z ^ (z >> S27)) * SECOND
    return z ^ (z >> S31)


@jit
def signs(seed, step, out):
    """Fill `out` (any shape, contiguous) with the independent fair signs of (seed, step)."""
    key = mix(mix(np.uint64(seed) + GOLDEN) + np.uint64(step) * GOLDEN)
    flat = out.reshape(out.size)
    for start in range(0, flat.size, 64):
        word = mix(key + np.uint64(start // 64 + 1) * GOLDEN)
        for bit in range(min(64, flat.size - start)):
            flat[start + bit] = np.float32(2.0) * np.float32((word >> np.uint64(bit)) & ONE) - np.float32(1.0)


@jit
def uniform(seed, step, out):
    """Fill out (n,) float32 with numbers uniform in [-1, 1)."""
    key = mix(mix(np.uint64(seed) + GOLDEN) + np.uint64(step) * GOLDEN)
    for i in range(out.size):
        word = mix(key + np.uint64(i + 1) * GOLDEN)
        out[i] = np.float32(np.float64(word >> S40) / HALF_RANGE - 1.0)
