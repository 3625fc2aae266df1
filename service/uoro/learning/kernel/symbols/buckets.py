"""Which cell of a table of weights, biases or hit rates belongs to a count, a context or the length of a match."""

from __future__ import annotations

import math

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.symbols.contexts import LATEST, MAX_COUNT
from uoro.learning.kernel.symbols.state import NUM_KINDS, NUM_LENGTHS


@jit
def confidence(total, num):
    """Of a context: how much it has seen, and how many different symbols."""
    return total_bucket(total) * NUM_KINDS + kind_bucket(num)


@jit
def state_of(entry, num):
    """Of a symbol in a context: its count, how many the context knows, latest or not, alone or not."""
    kind = confidence(entry & MAX_COUNT, num)
    return kind * 4 + (2 if entry & LATEST else 0) + (1 if num == 1 else 0)


@jit
def total_bucket(n):
    """0 … 9 for a count or a sum of counts."""
    if n <= 3:
        return n
    if n <= 5:
        return 4
    if n <= 8:
        return 5
    if n <= 16:
        return 6
    if n <= 40:
        return 7
    return 8 if n <= 120 else 9


@jit
def kind_bucket(num):
    """0 … 4 for how many symbols a context knows."""
    if num <= 2:
        return max(num - 1, 0)
    if num <= 4:
        return 2
    return 3 if num <= 9 else 4


@jit
def length_bucket(length):
    """0 … 15 for the length of a match."""
    return length if length < 8 else min(NUM_LENGTHS - 1, 5 + int(math.log2(length)))
