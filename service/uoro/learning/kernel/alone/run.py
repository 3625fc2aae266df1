"""The same as `kernel.numeric.run` for streams that the core forecasts alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import uintp as U

from uoro.learning.kernel import core as kernel
from uoro.learning.kernel import running
from uoro.learning.kernel.alone import forecast as fc
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric import seasons, statistics
from uoro.learning.kernel.rows import NUM_HEAD
from uoro.learning.kernel.views import Views, arrays_of, word


class Kind(NamedTuple):
    """What the spec says: the loss's code, whether there is one target only, the season."""

    loss: int
    is_alone: bool
    season: int


STATE = Views(fc.State, arrays_of(fc.shapes(1, 1, has_season=True)))

_STATE_AT = running.NUM_WORDS
_KIND_AT = _STATE_AT + STATE.num_words

_take_state = STATE.take


@jit
def forecaster_at(block, table):
    """The state and the kind of the block at an address; its table is at another."""
    kind = Kind(word(table, _KIND_AT), word(table, _KIND_AT + 1) != 0, word(table, _KIND_AT + 2))
    return _take_state(block, table, _STATE_AT), kind


@jit
def run_each(calls):
    """Runs of streams, each a row of `running`'s words, one after the other."""
    for i in range(calls.shape[0]):
        call = calls[i]
        given = running.given_in(call)
        run(U(call[running.BLOCK]), U(call[running.TABLE]), given, call[running.IS_LEARNING] != 0)
        call[running.IS_OVER] = 1


@jit
def run(block, table, given, is_learning):
    """Judge, learn, predict, for what is given; its last row gets the prediction for the next observation."""
    core, account = running.parts_at(block, table)
    state, kind = forecaster_at(block, table)
    values, times, dates, out = given.values, given.times, given.dates, given.out
    num_targets, num_outputs = state.mean.size, core.sizes[kernel.NUM_OUTPUTS]
    room, ahead, slopes = np.empty((3, num_targets)), np.empty(num_targets), np.empty(num_outputs)
    slope, nothing = np.empty(num_outputs, np.float32), np.zeros(core.sizes[kernel.NUM_UNITS], np.float32)
    output = kernel.part(core.f4, core.places, kernel.OUTPUT)
    last, scale = state.stats[:, statistics.LAST], state.stats[:, statistics.SCALE]
    num = values.shape[0]
    for n in range(num):
        is_date = dates[n] != 0.0
        row = running.begin(account, times[n], is_date)
        date = times[n] if is_date else np.nan
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
        advance(core, state, kind, values[n], times[n], is_date, is_learning, ahead)
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
def look_ahead(block, table, means, lowers, uppers):
    """Go on from the pending forecast as if each forecast came true, without learning; it ruins the block.

    means, lowers, uppers (L, T) get what is said for the next observation, the one after it, and so on.
    """
    core, _ = running.parts_at(block, table)
    state, kind = forecaster_at(block, table)
    num_targets, num_fields = state.mean.size, state.stats.shape[0]
    values, ahead = np.empty(num_fields), np.empty(num_targets)
    for step in range(means.shape[0]):
        if step > 0:
            for i in range(num_fields):
                values[i] = state.mean[i] if i < num_targets else state.stats[i, statistics.LAST]
            is_calendar = state.clock[seasons.IS_CALENDAR] > 0.0
            advance(core, state, kind, values, seasons.due(state.clock), is_calendar, False, ahead)
        means[step], lowers[step], uppers[step] = state.mean, state.lower, state.upper
