"""Observations of a stream of numbers, one after the other, in a single call: what `uoro.learning.learner` tells.

For streams without category fields whose core learns by the UORO family or not at all; `Learner` spells the same
out call by call for all others, and a test holds the two to the same bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.kernel import core as kernel
from uoro.learning.kernel import grid, running
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric import numbers, paths, seasons, statistics
from uoro.learning.kernel.rows import NUM_HEAD


class Said(NamedTuple):
    """The pending forecast (T,) each, and the grid it is rounded to."""

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    decimals: np.ndarray
    gain: np.ndarray
    plain: np.ndarray


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
    last, scale = state.stats[:, statistics.LAST], state.stats[:, statistics.SCALE]
    taken = 0
    for n in range(values.shape[0]):
        row = running.begin(account, times[n], dates[n])
        date = times[n] if dates[n] else np.nan
        running.judge(
            row, account, kind.loss, kind.is_alone, values[n], date, said.mean, said.lower, said.upper, last, scale,
            room,
        )  # fmt: skip
        seq = account.seq[0] + 1
        if is_learning and seq > 1:
            learn(core, state, said, kind, values[n], slopes)
        out[n] = row
        account.seq[0] = seq
        advance(core, state, said, kind, values[n], times[n], dates[n], is_learning)
        running.propose(said.mean, said.lower, said.upper, account.pending)
        taken = n + 1
        if is_learning and seq % paths.EVERY == 0:
            break
    out[taken, NUM_HEAD:] = account.pending
    return taken


@jit
def learn(core, state, said, kind, values, slopes):
    """Everything learns from the values (F,); slopes (H,) is work space."""
    num_targets = said.mean.size
    if kind.is_rounding:
        scale = state.stats[:num_targets, statistics.SCALE]
        grid.learn(said.decimals, said.gain, said.plain, values[:num_targets], scale)
    hidden = kernel.part(core.f4, core.places, kernel.STATE)[: core.sizes[kernel.NUM_UNITS]]
    has_loss = numbers.learn(state, values, hidden, slopes)
    running.learn(core, kernel.part(core.f4, core.places, kernel.OUTPUT), slopes, has_loss)


@jit
def advance(core, state, said, kind, values, t, is_calendar, is_learning):
    """Take the values (F,) in and predict the next."""
    numbers.advance(state, values, t, is_calendar, is_learning, kernel.part(core.f4, core.places, kernel.X))
    running.advance(core)
    forecast(state, said, kind, kernel.part(core.f4, core.places, kernel.STATE)[: core.sizes[kernel.NUM_UNITS]])


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
