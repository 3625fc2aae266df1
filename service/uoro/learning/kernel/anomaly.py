"""One anomaly score in [0, 1] a target: 1 - p, p the tail probability of what came under what this stream has shown.

Two statistics are ranked in one running histogram, so that P(score >= 1 - p) is about p on data like the past:

    body     b = sum over k of -ln p_k, p_k the empirical tail probability of                              (1)
             |residual| / interval half-width, |value - centre| / spread, |drift|, |season drift|
    reach    u = max over k of  max(c_k - hi_k, lo_k - c_k) / (hi_k - lo_k)                                 (2)
             how far a channel c_k lies outside all it has shown, in units of the span it has shown;
             channels: value, drift, seasonal deviation, season drift

A row with u > 0 (and not just told of, see below) ranks above every row with u <= 0, by u; the others rank by b.
    p = (1 + rows of the past that rank as high or higher) / (1 + rows) / (1 + (u/U)^G if u > 0)            (3)
The last factor lets a reach far beyond the span say more than "the first of n". drift is the exponential mean of the
forecast's clipped error in units of the mean |change|: it sees slow departures that no single error shows. The
seasonal deviation is from the nearer of two profiles, hour of the day and hour of the week: it sees what is
unusual for this hour only, and needs calendar time.

Habituation: after a reach u0 an equal or smaller one within the next HABITUATION rows is the same event
and ranks by its body (the bound falls linearly to 0). No label and no future row enters; a row is scored before
it is learned. A missing value (NaN) scores NaN and changes nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.block import Part
from uoro.learning.kernel.jit import jit

WARM_UP = 100
"""Rows before a reach counts: the range of a few rows is left by half of the next ones."""
SMOOTHING = 16.0
"""Effective rows of the two drifts; sweep 8 to 96: RESULTS.md."""
CLIP = 8.0
"""One error adds at most this many units to a drift: a single spike is the value's business, not the drift's."""
CHANGE_CAP = 20.0
"""One change counts at most this many times the mean |change| (as the learner's scale)."""
SLOW = 1e-3
"""Least rate of the means of |change|, centre and spread."""
FORGET = 1e-5
"""Share by which each end of a range comes in at each row: a range halves in about 35,000 rows."""
GROWTH = 3.0
"""Spans by which one row may widen a range: a wild value does not blind it, it must come again to be usual."""
WILD = 1e6
"""Mean |change| over recent mean |change| at which a target starts afresh: its first values were in other units."""
RECENT = 64.0
"""Effective rows of the recent mean |change|."""
HABITUATION = 150.0
"""Rows in which a reach is the same event as the last; sweep 30 to 400."""
DAY, WEEK = 24, 168
"""Slots of the profiles, hourly: coarser than most sampling, so that a slot averages several rows."""
DAY_ROWS, WEEK_ROWS = 30.0, 20.0
"""Effective rows of a slot's mean."""
DISCOUNT = 0.9995
"""Of the histograms: about 2,000 rows (the product's ANOMALY_DISCOUNT)."""
REACH_UNIT, REACH_POWER = 0.05, 2.0
"""U and G of (3): a reach of U halves p; heavy-tailed on purpose; P(score >= .999) stays honest."""

MAX_REACH = 1e6
"""Keeps the arithmetic of (3) and of the habituation finite."""
MAX_SECONDS = 1e15
"""A later time is no calendar time (and NaN compares false)."""

NOTHING = 1e300
"""A range from here down to its negative holds nothing yet."""

NUM_CHANNELS = 4
NUM_BODY = 4
BINS = 64
FIRST_LOG2, PER_OCTAVE = -8.0, 4.0
"""Histograms of the body: sizes from 2^-8 to 2^8 units."""
RANKS, RANKS_BODY, BODY_PER_NAT, REACH_FIRST_LOG2, REACH_PER_OCTAVE = 128, 96, 4.0, -10.0, 2.0
"""Histogram of the ranks: 96 bins of body, 4 a nat, then 32 of reach from 2^-10 to 2^6 spans."""

COUNT, LAST, SCALE, CENTRE, SPREAD, DRIFT, SEASON_DRIFT, PEAK, FALL, WEIGHT, TOTAL, ACTIVITY, RESTARTS = range(13)
NUM_MOMENTS = 13


class State(NamedTuple):
    """Views of the parts of one stream's block."""

    moments: np.ndarray
    ranges: np.ndarray
    slots: np.ndarray
    slot_rows: np.ndarray
    body: np.ndarray
    ranks: np.ndarray


def parts(num_targets: int) -> list[Part]:
    """The state: about 2.7 kB a target."""
    t = num_targets
    return [
        Part("anomaly.moments", (t, NUM_MOMENTS)),
        Part("anomaly.ranges", (t, NUM_CHANNELS, 2)),
        Part("anomaly.slots", (t, DAY + WEEK), "f4"),
        Part("anomaly.slot_rows", (t, DAY + WEEK), "u1"),
        Part("anomaly.body", (t, NUM_BODY, BINS), "f4"),
        Part("anomaly.ranks", (t, RANKS), "f4"),
    ]


def init(
    moments: np.ndarray,
    ranges: np.ndarray,
    slots: np.ndarray,
    slot_rows: np.ndarray,
    body: np.ndarray,
    ranks: np.ndarray,
) -> None:
    """The state before the first row."""
    for array in (moments, slots, slot_rows, body, ranks):
        array[...] = 0
    moments[:, WEIGHT] = 1.0
    ranges[..., 0], ranges[..., 1] = NOTHING, -NOTHING


@jit
def _tail(histogram, place):
    """Weight at or above `place`; its own bin counts by the part above."""
    index = int(place)
    above = np.float32(0.0)
    for j in range(index + 1, histogram.size):
        above += histogram[j]
    return above + histogram[index] * (index + 1 - place)


@jit
def _surprise(histogram, size, weight, total):
    """-ln of the tail probability of a size, with one imagined row above all; then takes it in. Equation (1)."""
    place = (math.log2(max(size, 1e-30)) - FIRST_LOG2) * PER_OCTAVE
    place = min(max(place, 0.0), BINS - 1e-6)
    above = _tail(histogram, place)
    histogram[int(place)] += weight
    return -math.log(min((above + weight) / (total + weight), 1.0))


@jit
def _reach(bounds, x, n):
    """How far x lies outside the range, in spans (<= 0 inside); then widens it. Equation (2)."""
    low, high = bounds[0], bounds[1]
    reach = 0.0
    furthest = NOTHING
    if high >= low:
        span = high - low
        if span > 0.0:
            furthest = GROWTH * span
        outside = max(x - high, low - x)
        if n >= WARM_UP:
            if span > 0.0:
                reach = min(outside / span, MAX_REACH)
            elif outside > 0.0:
                reach = 1.0
        low += FORGET * span
        high -= FORGET * span
    bounds[0], bounds[1] = min(low, max(x, low - furthest)), max(high, min(x, high + furthest))
    return reach


@jit
def _clipped(x, unit):
    return min(max(x / unit, -CLIP), CLIP) if unit > 0.0 else 0.0


@jit
def _slot_deviation(slots, rows, slot, x, most, limit):
    """Deviation from a slot's mean (NaN for its first row); then takes x in, at most `limit` from the mean."""
    seen = float(rows[slot])
    offset = x - slots[slot]
    deviation = offset if seen > 0.0 else math.nan
    if seen > 0.0 and limit > 0.0:
        offset = min(max(offset, -limit), limit)
    slots[slot] += offset / min(seen + 1.0, most)
    if rows[slot] < 255:
        rows[slot] += np.uint8(1)
    return deviation


@jit
def score(i, moments, ranges, slots, slot_rows, body, ranks, value, mean, lower, upper, t):
    """Score target i's value, then learn it. `t`: seconds since the epoch, NaN without a calendar."""
    if math.isnan(value):
        return math.nan
    m = moments[i]
    n = m[COUNT]
    if n == 0.0:
        m[LAST] = m[CENTRE] = value
    weight, total = m[WEIGHT], m[TOTAL]
    rate = max(1.0 / (n + 1.0), SLOW)
    scale, spread = m[SCALE], m[SPREAD]
    change = value - m[LAST]
    residual = change if math.isnan(mean) else value - mean

    reach = _reach(ranges[i, 0], value, n)
    b = 0.0
    if scale > 0.0:
        half = 0.5 * (upper - lower)
        if not half > 0.0:
            half = scale
        b += _surprise(body[i, 0], abs(residual) / half, weight, total)
        m[DRIFT] += (_clipped(residual, scale) - m[DRIFT]) / min(n, SMOOTHING)
        b += _surprise(body[i, 1], abs(m[DRIFT]), weight, total)
        reach = max(reach, _reach(ranges[i, 1], m[DRIFT], n))
    if spread > 0.0:
        b += _surprise(body[i, 2], abs(value - m[CENTRE]) / spread, weight, total)
    if abs(t) < MAX_SECONDS:
        hour = int(t // 3600.0)
        limit = CHANGE_CAP * spread
        by_day = _slot_deviation(slots[i], slot_rows[i], hour % DAY, value, DAY_ROWS, limit)
        by_week = _slot_deviation(slots[i], slot_rows[i], DAY + hour % WEEK, value, WEEK_ROWS, limit)
        if not math.isnan(by_day) and spread > 0.0:
            deviation = by_week if abs(by_week) <= abs(by_day) else by_day
            m[SEASON_DRIFT] += (_clipped(deviation, spread) - m[SEASON_DRIFT]) / SMOOTHING
            b += _surprise(body[i, 3], abs(m[SEASON_DRIFT]), weight, total)
            reach = max(reach, _reach(ranges[i, 2], deviation, n))
            reach = max(reach, _reach(ranges[i, 3], m[SEASON_DRIFT], n))

    # Habituation: the same event is told once.
    m[PEAK] = max(m[PEAK] - m[FALL], 0.0)
    is_told = reach <= m[PEAK]
    if not is_told:
        m[PEAK] = reach
        m[FALL] = reach / HABITUATION

    if is_told:
        rank = min(b * BODY_PER_NAT, RANKS_BODY - 1e-3)
    else:
        rank = (math.log2(max(reach, 1e-30)) - REACH_FIRST_LOG2) * REACH_PER_OCTAVE
        rank = RANKS_BODY + min(max(rank, 0.0), RANKS - RANKS_BODY - 1e-3)
    p = min((_tail(ranks[i], rank) + weight) / (total + weight), 1.0)
    if not is_told:
        p /= 1.0 + (reach / REACH_UNIT) ** REACH_POWER
    ranks[i, int(rank)] += weight

    # Moments.
    if n > 0.0:
        size = min(abs(change), CHANGE_CAP * scale) if scale > 0.0 else abs(change)
        m[SCALE] += (size - scale) * max(1.0 / n, SLOW)
        m[ACTIVITY] += (size - m[ACTIVITY]) / min(n, RECENT)
    offset = value - m[CENTRE]
    size = min(abs(offset), CHANGE_CAP * spread) if spread > 0.0 else abs(offset)
    m[SPREAD] += rate * (size - spread)
    m[CENTRE] += rate * min(max(offset, -2.0 * m[SPREAD]), 2.0 * m[SPREAD]) if n > 20.0 else offset / (n + 1.0)
    m[LAST] = value
    m[COUNT] = n + 1.0
    if 0.0 < WILD * m[ACTIVITY] < m[SCALE]:
        m[COUNT : SEASON_DRIFT + 1] = 0.0
        m[PEAK] = m[FALL] = 0.0
        m[RESTARTS] += 1.0
        ranges[i, :, 0], ranges[i, :, 1] = NOTHING, -NOTHING
        slot_rows[i] = 0
    m[TOTAL] = total + weight
    m[WEIGHT] = weight / DISCOUNT
    if m[WEIGHT] > 1e6:  # the growing weight stands for the discount of all that came before
        for k in range(NUM_BODY):
            for j in range(BINS):
                body[i, k, j] /= np.float32(m[WEIGHT])
        for j in range(RANKS):
            ranks[i, j] /= np.float32(m[WEIGHT])
        m[TOTAL] /= m[WEIGHT]
        m[WEIGHT] = 1.0
    return 1.0 - p


@jit
def score_all(moments, ranges, slots, slot_rows, body, ranks, values, mean, lower, upper, t, scores):
    """Score and learn every target's value; scores (T,) are NaN where it is missing."""
    for i in range(values.size):
        scores[i] = score(i, moments, ranges, slots, slot_rows, body, ranks, values[i], mean[i], lower[i], upper[i], t)
