"""Observations of a stream of numbers, one after the other, in a single call: what `uoro.learning.learner` tells.

For streams without category fields whose core learns by the UORO family or not at all; `Learner` spells the same
out call by call for all others, and a test holds the two to the same bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.kernel import anomaly, grid, scoring
from uoro.learning.kernel import core as kernel
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric import numbers, paths, seasons, statistics
from uoro.learning.kernel.rows import ANOMALY, BASELINE_LOSS, FLAGS, HAS_PREDICTION, IS_CALENDAR, LOSS, NUM_HEAD, SEQ, T


class Core(NamedTuple):
    """The recurrent core: the block as float32 and what `kernel.core` asks for."""

    f4: np.ndarray
    places: np.ndarray
    sizes: np.ndarray
    rates: np.ndarray
    seed: int
    steps: np.ndarray
    weighing: np.ndarray
    num_resets: np.ndarray


class Said(NamedTuple):
    """The pending forecast (T,) each, and the grid it is rounded to."""

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    decimals: np.ndarray
    gain: np.ndarray
    plain: np.ndarray


class Account(NamedTuple):
    """Losses so far, and the results kept: `evaluation`, `ring` and the anomaly's six arrays."""

    seq: np.ndarray
    sums: np.ndarray
    covered: np.ndarray
    newest_anomaly: np.ndarray
    rows: np.ndarray
    pending: np.ndarray
    anomalies: anomaly.State


class Kind(NamedTuple):
    """What the spec says: the loss's code, whether there is one target only, whether forecasts are rounded."""

    loss: int
    is_alone: bool
    is_rounding: bool


@jit
def run(core, state, said, account, kind, values, times, dates, is_learning, out):
    """Judge, learn, predict, for values (N, F) at times (N,), NaN where none, dates (N,) saying which are dates.

    out (N + 1, width) gets a row each, and the last of it the prediction for the next. Returns how many were taken:
    fewer than N where a path of forecasts is to be followed from here (`paths`), and then the call is to be repeated.
    """
    room = np.empty((3, said.mean.size))
    slopes = np.empty(core.sizes[kernel.NUM_UNITS], np.float32)
    taken = 0
    for n in range(values.shape[0]):
        seq = account.seq[0] + 1
        row = account.rows[seq % account.rows.shape[0]]
        row[SEQ], row[T] = seq, times[n]
        row[FLAGS] = (IS_CALENDAR if dates[n] else 0) + (HAS_PREDICTION if seq > 1 else 0)
        row[NUM_HEAD:] = account.pending
        _judge(row, said, state, account, kind, values[n], times[n] if dates[n] else np.nan, room)
        if is_learning and seq > 1:
            learn(core, state, said, kind, values[n], slopes)
        out[n] = row
        account.seq[0] = seq
        advance(core, state, said, kind, values[n], times[n], dates[n], is_learning)
        propose(said, account.pending)
        taken = n + 1
        if is_learning and seq % paths.EVERY == 0:
            break
    out[taken, NUM_HEAD:] = account.pending
    return taken


@jit
def _judge(row, said, state, account, kind, values, date, room):
    """Write the losses and the anomaly of the pending prediction into a row; NaN where there is none."""
    row[LOSS], row[BASELINE_LOSS], row[ANOMALY] = np.nan, np.nan, np.nan
    num_targets = said.mean.size
    scores, losses, baselines = room[0], room[1], room[2]
    targets = values[:num_targets]
    a = account.anomalies
    anomaly.score_all(
        a.moments, a.ranges, a.slots, a.slot_rows, a.body, a.ranks,
        targets, said.mean, said.lower, said.upper, date, scores,
    )  # fmt: skip
    stats = state.stats[:num_targets]
    last, scale = stats[:, statistics.LAST], stats[:, statistics.SCALE]
    num_covered = scoring.score(
        kind.loss, kind.is_alone, targets, said.mean, said.lower, said.upper, last, scale, losses, baselines
    )
    num, loss, baseline = 0, 0.0, 0.0
    for i in range(num_targets):
        if not math.isnan(losses[i]):
            num, loss, baseline = num + 1, loss + losses[i], baseline + baselines[i]
    if num == 0:
        return
    scoring.cover(account.covered, num_covered, num)
    row[LOSS], row[BASELINE_LOSS], row[ANOMALY] = loss / num, baseline / num, scoring.combined(scores)
    scoring.add(account.sums, row[LOSS], row[BASELINE_LOSS])
    account.newest_anomaly[0] = row[ANOMALY]


@jit
def learn(core, state, said, kind, values, slopes):
    """Everything learns from the values (F,); slopes (H,) is work space."""
    num_targets = said.mean.size
    if kind.is_rounding:
        scale = state.stats[:num_targets, statistics.SCALE]
        grid.learn(said.decimals, said.gain, said.plain, values[:num_targets], scale)
    f4, places, sizes, rates = core.f4, core.places, core.sizes, core.rates
    hidden = kernel.part(f4, places, kernel.STATE)[: sizes[kernel.NUM_UNITS]]
    has_loss = numbers.learn(state, values, hidden, slopes)
    output = kernel.part(f4, places, kernel.OUTPUT)
    core.num_resets[0] += kernel.learn(
        f4, places, sizes, rates, core.seed, core.steps, core.weighing, output, slopes, has_loss
    )
    if not kernel.is_sane(f4, places):
        reset(core)


@jit
def reset(core):
    """Start the core afresh after divergence."""
    kernel.init(core.f4, core.places, core.sizes, core.rates, core.seed, core.weighing)
    core.num_resets[0] += 1


@jit
def advance(core, state, said, kind, values, t, is_calendar, is_learning):
    """Take the values (F,) in and predict the next."""
    f4, places, sizes = core.f4, core.places, core.sizes
    numbers.advance(state, values, t, is_calendar, is_learning, kernel.part(f4, places, kernel.X))
    core.steps[0] += 1
    if not kernel.advance(f4, places, sizes):
        reset(core)
    forecast(state, said, kind, kernel.part(f4, places, kernel.STATE)[: sizes[kernel.NUM_UNITS]])


@jit
def forecast(state, said, kind, hidden):
    """Set the pending forecast, with the core's new state h (H,)."""
    numbers.finish(state, hidden)
    said.mean[:] = state.mean
    if kind.is_rounding:
        grid.forecast(said.decimals, said.gain, said.plain, said.mean)
    else:
        said.plain[:] = state.mean
    for i in range(said.mean.size):
        mean, lower, upper = said.mean[i], state.bounds[i, 0], state.bounds[i, 1]
        said.lower[i] = lower if lower < mean or math.isnan(lower) else mean
        said.upper[i] = upper if upper > mean or math.isnan(upper) else mean


@jit
def propose(said, pending):
    """Write the pending forecast down as the prediction for the observation to come."""
    for i in range(said.mean.size):
        pending[3 * i], pending[3 * i + 1], pending[3 * i + 2] = said.mean[i], said.lower[i], said.upper[i]


@jit
def look_ahead(core, state, said, kind, means, lowers, uppers):
    """Go on from the pending forecast as if each forecast came true, without learning; it ruins the state.

    means, lowers, uppers (L, T) get what is said for the next observation, the one after it, and so on.
    """
    num_targets, num_fields = said.mean.size, state.stats.shape[0]
    values = np.empty(num_fields)
    for step in range(means.shape[0]):
        if step > 0:
            for i in range(num_fields):
                values[i] = said.mean[i] if i < num_targets else state.stats[i, statistics.LAST]
            is_calendar = state.clock[seasons.IS_CALENDAR] > 0.0
            advance(core, state, said, kind, values, seasons.due(state.clock), is_calendar, False)
        means[step], lowers[step], uppers[step] = said.mean, said.lower, said.upper
