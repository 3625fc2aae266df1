"""The same as `kernel.numeric.run` for streams that the core forecasts alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.kernel import core as kernel
from uoro.learning.kernel import running
from uoro.learning.kernel.alone import forecast as fc
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric import seasons, statistics
from uoro.learning.kernel.rows import NUM_HEAD


class Kind(NamedTuple):
    """What the spec says: the loss's code, whether there is one target only, the season."""

    loss: int
    is_alone: bool
    season: int


@jit
def run(core, state, account, kind, values, times, dates, is_learning, out):
    """Judge, learn, predict, for values (N, F) at times (N,), NaN where none, dates (N,) saying which are dates.

    out (N + 1, width) gets a row each, and the last of it the prediction for the next.
    """
    num_targets, num_outputs = state.mean.size, core.sizes[kernel.NUM_OUTPUTS]
    room, ahead, slopes = np.empty((3, num_targets)), np.empty(num_targets), np.empty(num_outputs)
    slope, nothing = np.empty(num_outputs, np.float32), np.zeros(core.sizes[kernel.NUM_UNITS], np.float32)
    output = kernel.part(core.f4, core.places, kernel.OUTPUT)
    last, scale = state.stats[:, statistics.LAST], state.stats[:, statistics.SCALE]
    num = values.shape[0]
    for n in range(num):
        row = running.begin(account, times[n], dates[n])
        date = times[n] if dates[n] else np.nan
        running.judge(
            row, account, kind.loss, kind.is_alone, values[n], date, state.mean, state.lower, state.upper, last, scale,
            room,
        )  # fmt: skip
        seq = account.seq[0] + 1
        if is_learning and seq > 1:
            num_present = 0
            for i in range(num_targets):
                num_present += 0 if math.isnan(values[n, i]) else 1
            fc.slopes(state, kind.loss, values[n], output, slopes)
            for o in range(num_outputs):
                slope[o] = np.float32(slopes[o] / max(num_present, 1))
            running.learn(core, slope, nothing, num_present > 0)
            fc.learn(state, values[n])
        out[n] = row
        account.seq[0] = seq
        advance(core, state, kind, values[n], times[n], dates[n], is_learning, ahead)
        running.propose(state.mean, state.lower, state.upper, account.pending)
    out[num, NUM_HEAD:] = account.pending


@jit
def advance(core, state, kind, values, t, is_calendar, is_learning, ahead):
    """Take the values (F,) in and predict the next; ahead (T,) is work space."""
    x = kernel.part(core.f4, core.places, kernel.X)
    fc.advance(state, kind.season, values, t, is_calendar, is_learning, ahead, x)
    running.advance(core)
    fc.forecast(state, kind.loss, kernel.part(core.f4, core.places, kernel.OUTPUT))


@jit
def look_ahead(core, state, kind, means, lowers, uppers):
    """Go on from the pending forecast as if each forecast came true, without learning; it ruins the state.

    means, lowers, uppers (L, T) get what is said for the next observation, the one after it, and so on.
    """
    num_targets, num_fields = state.mean.size, state.stats.shape[0]
    values, ahead = np.empty(num_fields), np.empty(num_targets)
    for step in range(means.shape[0]):
        if step > 0:
            for i in range(num_fields):
                values[i] = state.mean[i] if i < num_targets else state.stats[i, statistics.LAST]
            is_calendar = state.clock[seasons.IS_CALENDAR] > 0.0
            advance(core, state, kind, values, seasons.due(state.clock), is_calendar, False, ahead)
        means[step], lowers[step], uppers[step] = state.mean, state.lower, state.upper
