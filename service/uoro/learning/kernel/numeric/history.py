"""The last L values of T targets: lags, the forecast by analogy, and the period of a stream without dates.

Analogy (nearest neighbours, online, O(L) a step): how much the newest values look like those l steps ago,

    a_l ← γ a_l + (1 - γ) (|d_t - d_{t-l}| + β |z_t - z_{t-l}|),    d the scaled change, z the z-score        (1)

is the discounted distance of two whole pasts. What followed the similar moments is the forecast,

    Δ̂ = Σ w_l d_{t-l+1} / Σ w_l,    w_l = (min a / a_l)^8                                                      (2)

Under noise all a_l are alike and (2) is a mean of many; on an electrocardiogram it picks the same phase of
earlier beats, whatever their length. The period is the lag where the slow mean of |z_t - z_{t-l}| has its
first deep minimum (average magnitude difference function, Ross et al. 1974).
"""

from __future__ import annotations

import numpy as np

from uoro.learning.kernel.jit import jit

L = 1024
"""Lags that are kept: 3 beats at 360 Hz, 30 breaths at 10 Hz, 3.5 days of five minutes."""
ROOM = 256
"""Free places in front of them: the arrays move once in so many observations."""
SIZE = L + ROOM
MATCH_DECAY = np.float32(0.8)  # γ; sweep .7, .8, .9: all within 0.2 %
MATCH_LEVEL = np.float32(0.6)  # β; sweep .3, .6, 1: .6 best by 0.1 %
MATCH_DOUBLINGS = 3  # (min a / a_l)^(2^3)
MIN_MATCH = np.float32(1e-3)  # distances below it are equal
MAX_Z = 8.0
AMDF_RATE = 0.002
PERIOD_EVERY = 32  # observations between two looks for a period
MAX_RELATIVE_MINIMUM = 0.6  # of the mean difference, for a lag to count as a period
POSITION, COUNT = range(2)
"""Of the place (2,) int64: where the newest value lies, how many came."""


def shapes(num_targets: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and dtypes of the state."""
    return {
        "past": ((num_targets, SIZE), "f8"),  # newest at POSITION, older ones behind it
        "past_z": ((num_targets, SIZE), "f4"),
        "past_change": ((num_targets, SIZE), "f4"),
        "match": ((num_targets, L), "f4"),
        "amdf": ((num_targets, L), "f4"),
        "period": ((num_targets,), "i8"),
        "place": ((2,), "i8"),
    }


def init(place: np.ndarray) -> None:
    """The place before the first observation."""
    place[POSITION] = SIZE


@jit
def push(past, past_z, past_change, place):
    """Make room for a new column; all arrays move together, once in ROOM observations."""
    position = place[POSITION]
    if position == 0:
        for i in range(past.shape[0]):
            for j in range(L - 1, -1, -1):  # backwards: the places overlap
                past[i, ROOM + j] = past[i, j]
                past_z[i, ROOM + j] = past_z[i, j]
                past_change[i, ROOM + j] = past_change[i, j]
        position = ROOM
    place[POSITION] = position - 1
    place[COUNT] += 1
    return position - 1


@jit
def compare(z, change, match, amdf, num, rate):
    """Eq. (1) for lags 1 … num-1; z, change are rows that start at the newest value."""
    z_now, change_now = z[0], change[0]
    one = np.float32(1.0)
    slow = np.float32(rate)
    for lag in range(1, num):
        distance = abs(z_now - z[lag])
        match[lag] = MATCH_DECAY * match[lag] + (one - MATCH_DECAY) * (
            abs(change_now - change[lag]) + MATCH_LEVEL * distance
        )
        amdf[lag] += slow * (distance - amdf[lag])


@jit
def analogy(change, match, num):
    """Eq. (2): the scaled change ahead."""
    least = np.float32(1e30)
    for lag in range(1, num):
        least = min(least, match[lag])
    least = max(least, MIN_MATCH)
    total = np.float32(0.0)
    moment = np.float32(0.0)
    for lag in range(1, num):
        weight = least / max(match[lag], least)
        for _ in range(MATCH_DOUBLINGS):
            weight = weight * weight
        total += weight
        moment += weight * change[lag - 1]
    return float(moment / total)


@jit
def find_period(amdf, num):
    """The smallest lag that is about as good as the best one beyond the first rise; 0 if none is good."""
    top = num // 2
    if top < 8:
        return 0
    mean = 0.0
    for lag in range(1, top):
        mean += amdf[lag]
    mean /= top - 1
    start = 1
    while start < top and amdf[start] < mean:
        start += 1
    start = max(start, 4)
    best = 1e30
    for lag in range(start, top):
        best = min(best, amdf[lag])
    if not best < MAX_RELATIVE_MINIMUM * mean:
        return 0
    lag = start
    while amdf[lag] > 1.1 * best:
        lag += 1
    while lag + 1 < top and amdf[lag + 1] <= amdf[lag]:
        lag += 1
    return lag
