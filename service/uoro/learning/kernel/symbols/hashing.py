"""A rolling hash of runs of symbols: one multiplicative step a symbol; `kernel.noise.mix` is its well-mixed end."""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.noise import GOLDEN

U = np.uint64


@jit
def scramble(key, value):
    """One step of a rolling hash."""
    return ((key ^ (key >> U(29))) + U(value) + U(1)) * GOLDEN
