"""What followed in the past: counts by context in one hashed pool, and the continuation of long repeats.

A context is a choice of earlier symbols (the last one to six, a few with gaps, the current word). Each
remembers which symbols came after it, as places of one pool shared by all contexts:

    place = window(context) + symbol,    entry = check (10 bits) | is_latest (1 bit) | count (5 bits)

A context has two windows, chosen by two hashes (two-choice hashing, Azar et al. 1994); a pair of context and
symbol lies in one of them, where the lesser count had to give way. Windows of different contexts overlap; the
check tells the owners apart, and a newcomer first wears the owner's count down. A full count halves its
context's counts, so the pool also forgets.

Orders 1 … 6 are counted with update exclusion (Moffat 1990): a symbol is counted from the highest order down
to the first that knew it, which makes the lower orders' counts Kneser & Ney's continuation counts.
"""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.noise import GOLDEN, mix
from uoro.learning.kernel.symbols.hashing import scramble
from uoro.learning.kernel.symbols.state import NUM_ORDERS, POSITION, WORD, WORD_HASH

LAGS = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 1]], dtype=np.int64)
"""(contexts with gaps, lag): which of the last four symbols they look at; for voices, columns, fields in turns."""
COUNT_BITS = 5
MAX_COUNT = 31
"""Small on purpose: recent use says more than old use (sweep: 30 beats 255 and 60000)."""
LATEST = 32
CHECK_SHIFT = 6
NUM_CHECKS = 1023

U = np.uint64
HALF = U(32)
LOW = U(0xFFFFFFFF)


@jit
def newest(history, position, lag):
    """The symbol `lag` steps back; 1 is the newest."""
    return history[(position - lag) & (history.size - 1)]


@jit
def locate(history, cursor, num_places, windows, checks):
    """Set every context's two windows (M, 2) and its check (M,)."""
    position = cursor[POSITION]
    key = U(1)
    for i in range(windows.shape[0]):
        if i < NUM_ORDERS:
            key = scramble(key, newest(history, position, i + 1))
            own = key
        elif i < WORD:
            own = U(1000 + i)
            for lag in range(4):
                if LAGS[i - NUM_ORDERS, lag] == 1:
                    own = scramble(own, newest(history, position, lag + 1))
        else:
            own = scramble(U(77), cursor[WORD_HASH])
        end = mix(own)
        windows[i, 0] = np.int64(((end & LOW) * U(num_places)) >> HALF)
        windows[i, 1] = np.int64(((end >> HALF) * U(num_places)) >> HALF)
        checks[i] = 1 + np.int64(mix(end + GOLDEN) % U(NUM_CHECKS))


@jit
def gather(pool, known, size, first, second, check, symbols, counts):
    """What followed one context: fills symbols and entries' low bits, returns (how many, sum of counts)."""
    num = total = 0
    for v in range(known + 1):
        symbol = v if v < known else size
        entry = np.int64(pool[first + symbol])
        if entry >> CHECK_SHIFT != check:
            entry = np.int64(pool[second + symbol])
            if entry >> CHECK_SHIFT != check:
                continue
        symbols[num] = symbol
        counts[num] = entry & (LATEST + MAX_COUNT)
        total += int(entry & MAX_COUNT)
        num += 1
    return num, total


@jit
def count(pool, size, first, second, check, symbol):
    """Count one symbol after one context; returns whether it was known there."""
    place = first + symbol
    entry = np.int64(pool[place])
    if entry >> CHECK_SHIFT != check:
        other = np.int64(pool[second + symbol])
        if other >> CHECK_SHIFT == check or (other & MAX_COUNT) < (entry & MAX_COUNT):
            place = second + symbol
            entry = other
    num = entry & MAX_COUNT
    if entry >> CHECK_SHIFT == check:
        if num == MAX_COUNT:
            halve(pool, size, first, check)
            if second != first:
                halve(pool, size, second, check)
            num = np.int64(pool[place]) & MAX_COUNT
        pool[place] = (check << CHECK_SHIFT) + (entry & LATEST) + num + 1
        return True
    if num > 1:
        pool[place] = entry - (num - num // 2)
    else:
        pool[place] = (check << CHECK_SHIFT) + 1
    return False


@jit
def halve(pool, size, start, check):
    """Halve a context's counts in one window, never to 0."""
    for place in range(start, start + size + 1):
        entry = np.int64(pool[place])
        if entry >> CHECK_SHIFT == check:
            num = entry & MAX_COUNT
            pool[place] = entry - num + (num + 1) // 2


@jit
def mark_latest(pool, first, second, check, symbols, counts, num, symbol):
    """Move the mark of the latest symbol of a context."""
    for j in range(num):
        if counts[j] & LATEST:
            unmark(pool, first + symbols[j], check)
            unmark(pool, second + symbols[j], check)
    place = first + symbol
    if np.int64(pool[place]) >> CHECK_SHIFT != check:
        place = second + symbol
    entry = np.int64(pool[place])
    if entry >> CHECK_SHIFT == check:
        pool[place] = entry | LATEST


@jit
def unmark(pool, place, check):
    """Take the mark away if the place is the context's own."""
    entry = np.int64(pool[place])
    if entry >> CHECK_SHIFT == check:
        pool[place] = entry & ~LATEST
