"""The reference tasks: symbol streams whose least loss is known, and what must be remembered to reach it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

NUM_LETTERS, NUM_BETWEEN = 10, 5
LONGEST = 32


@dataclass(frozen=True)
class Task:
    """A symbol stream.

    Attributes:
        symbols: (N,) indices. num_symbols: size of the alphabet.
        floor: least bits per symbol. without_memory: bits per symbol of the best model that does not remember.
    """

    name: str
    symbols: np.ndarray
    num_symbols: int
    floor: float
    without_memory: float


def distant_brackets(num: int, seed: int) -> Task:
    """Lines `[c]`, five random letters, `[c]`, newline, c random: the second c must be remembered.

    Six letters of log2(10) bits in twelve symbols, of which the remembered one costs nothing: floor 6 log2(10)/12.
    """
    chance = np.random.default_rng(seed)
    lines = num // 12 + 2
    bracket, close, newline = NUM_LETTERS, NUM_LETTERS + 1, NUM_LETTERS + 2
    letters = chance.integers(NUM_LETTERS, size=(lines, 1 + NUM_BETWEEN))
    text = np.empty((lines, 12), np.int64)
    text[:, [0, 8]] = bracket
    text[:, [2, 10]] = close
    text[:, [1, 9]] = letters[:, :1]
    text[:, 3:8] = letters[:, 1:]
    text[:, 11] = newline
    floor = 6 * math.log2(NUM_LETTERS) / 12
    return Task("brackets", text.reshape(-1)[:num], NUM_LETTERS + 3, floor, floor + math.log2(NUM_LETTERS) / 12)


def anbn(num: int, seed: int) -> Task:
    """aⁿ newline bⁿ newline, n uniform in 1 … 32: 5 bits in 2 E[n] + 2 symbols."""
    chance = np.random.default_rng(seed)
    parts, total = [], 0
    while total < num:
        n = int(chance.integers(1, LONGEST + 1))
        parts.append([0] * n + [2] + [1] * n + [2])
        total += 2 * n + 2
    symbols = np.concatenate([np.array(part, np.int64) for part in parts])[:num]
    return Task("anbn", symbols, 3, math.log2(LONGEST) / (LONGEST + 3), math.nan)


TASKS = {"brackets": distant_brackets, "anbn": anbn}
