"""Adaptive n-grams of a category field: what followed the last one to four values, in bounded tables.

Every order interpolates its counts with the next lower order by absolute discounting (Ney, Essen & Kneser 1994):

    p_o(v) = (max(c(v) - d, 0) + d·u·p_{o-1}(v)) / n         n = Σc, u = how many c > 0                 (1)

A context's counts lie in a window of K + 1 places of its order's table, which starts where the context's hash
says. Windows overlap, so a place holds its context's check beside its count, a byte each: what belongs to
another context reads as zero, and a new owner first has to wear the old count down. A full count
halves its window, so the tables also forget.
"""

from __future__ import annotations

import numpy as np

from uoro.learning.block import Block, Part

MAX_ORDER = 4
MAX_PLACES = 2**15
DISCOUNT = 0.7
MAX_COUNT = 255
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


class Ngrams:
    """The tables of one category field of K known classes and "none of them".

    Attributes:
        recent: (MAX_ORDER,) the newest classes, newest first; K where there was none.
        tables: per order 1 … MAX_ORDER, 256·check + count by place.
    """

    __slots__ = ("num_classes", "recent", "tables")

    @staticmethod
    def parts(prefix: str, size: int) -> list[Part]:
        """What the tables of a field of `size` classes take in a block."""
        places = [num_places(order, size + 1) + size + 1 for order in range(1, MAX_ORDER + 1)]
        tables = [Part(f"{prefix}.order_{i}", (num,), "u2") for i, num in enumerate(places, start=1)]
        return [Part(f"{prefix}.recent", (MAX_ORDER,), "i8"), *tables]

    def __init__(self, block: Block, prefix: str, size: int) -> None:
        self.num_classes = size + 1
        self.recent = block[f"{prefix}.recent"]
        self.tables = [block[f"{prefix}.order_{order}"] for order in range(1, MAX_ORDER + 1)]

    def init(self) -> None:
        """The state before the first observation."""
        self.recent[:] = self.num_classes - 1

    def probabilities(self, frequencies: np.ndarray) -> np.ndarray:
        """(MAX_ORDER + 1, K+1): p_0 are the given running frequencies, then (1) order by order."""
        out = np.empty((MAX_ORDER + 1, self.num_classes))
        out[0] = frequencies
        for order, (window, check) in enumerate(self._windows(), start=1):
            counts = np.where(window >> 8 == check, window & 255, 0)
            num = int(counts.sum())
            if num == 0:
                out[order] = out[order - 1]
                continue
            held_back = DISCOUNT * np.count_nonzero(counts)
            np.maximum(counts - DISCOUNT, 0.0, out=out[order])
            out[order] += held_back * out[order - 1]
            out[order] /= num
        return out

    def learn(self, index: int) -> None:
        """Count the class that came, in every order."""
        for window, check in self._windows():
            owner, count = divmod(int(window[index]), 256)
            if owner != check and count > 1:
                window[index] -= (count + 1) // 2
                continue
            if owner == check and count == MAX_COUNT:
                is_own = window >> 8 == check
                window[is_own] = (window[is_own] & 255) // 2 + 256 * check
                count //= 2
            window[index] = 256 * check + (count + 1 if owner == check else 1)

    def advance(self, index: int) -> None:
        """Take the newest class in."""
        self.recent[1:] = self.recent[:-1].copy()
        self.recent[0] = index

    def _windows(self) -> list[tuple[np.ndarray, int]]:
        """Per order, the window of the newest values' context, a view into the table, and its check."""
        windows, key = [], 0
        for table, value in zip(self.tables, self.recent.tolist(), strict=True):
            key = ((key ^ (key >> 29)) + value + 1) * _GOLDEN & _MASK
            num = len(table) - self.num_classes + 1
            start = key * num >> 64  # the upper bits decide the place, middle ones the check
            windows.append((table[start : start + self.num_classes], key >> 24 & 255))
        return windows


def num_places(order: int, num_classes: int) -> int:
    """Length of an order's table, without the last window."""
    return int(min(num_classes ** (order + 1), MAX_PLACES))
