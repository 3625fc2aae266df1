"""Repeats: where the newest symbols stood before, and so what may follow now.

A match is a pointer into the history behind the last place where the newest 5 (or 12) symbols stood. It goes
on as long as the history there foretells what comes, and says which symbol is next.
"""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.noise import mix
from uoro.learning.kernel.symbols.contexts import newest
from uoro.learning.kernel.symbols.hashing import scramble
from uoro.learning.kernel.symbols.state import KNOWN, LENGTH, NUM_MATCHES, POINTER, POSITION, SEPARATOR, WORD_HASH

U = np.uint64
SHORTEST = np.array([5, 12], dtype=np.int64)
"""How many symbols a repeat must have."""
MAX_VERIFIED = 32
"""Symbols of a repeat that are compared when it is found."""
MAX_LENGTH = 1 << 20
LOW = np.int64(0xFFFFFFFF)


@jit
def advance(state, symbol, known):
    """Take the newest symbol in as context, learned from or not; `known` values have a name by now."""
    state.cursor[KNOWN] = known
    separator = 0
    tallies = state.tallies
    for v in range(known):
        if tallies[SEPARATOR, v] > tallies[SEPARATOR, separator]:
            separator = v
    cursor = state.cursor
    cursor[WORD_HASH] = 0 if symbol == separator else np.int64(scramble(U(cursor[WORD_HASH]), symbol + 2))
    follow(state.history, cursor, state.table, symbol)


@jit
def follow(history, cursor, table, symbol):
    """Take the newest symbol into the history and let the matches go on, end or begin."""
    mask = history.size - 1
    position = cursor[POSITION]
    history[position & mask] = symbol
    position += 1
    cursor[POSITION] = position
    for match in range(NUM_MATCHES):
        if cursor[LENGTH + match] > 0:
            if history[cursor[POINTER + match] & mask] == symbol:
                cursor[LENGTH + match] = min(cursor[LENGTH + match] + 1, MAX_LENGTH)
                cursor[POINTER + match] += 1
            else:
                cursor[LENGTH + match] = 0
            if position - cursor[POINTER + match] >= mask - MAX_VERIFIED:
                cursor[LENGTH + match] = 0  # the history there is overwritten soon
        shortest = SHORTEST[match]
        key = U(99)
        for lag in range(1, shortest + 1):
            key = scramble(key, newest(history, position, lag))
        slot = np.int64(mix(key) % U(table.shape[1]))
        if cursor[LENGTH + match] == 0:
            before = np.int64(table[match, slot])
            # positions are kept modulo 2^32; the newest one with these low bits is meant
            before += ((position - before) >> np.int64(32)) << np.int64(32)
            if 0 < before < position and position - before < mask - MAX_VERIFIED:
                length = 0
                while (
                    length < MAX_VERIFIED
                    and before - length > 0
                    and (newest(history, before, length + 1) == newest(history, position, length + 1))
                ):
                    length += 1
                if length >= shortest:
                    cursor[LENGTH + match] = length
                    cursor[POINTER + match] = before
        table[match, slot] = position & LOW
