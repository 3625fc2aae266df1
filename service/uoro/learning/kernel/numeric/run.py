"""Observations of a stream of numbers, one after the other, in a single call: what `uoro.learning.learner` tells.

For streams without category fields whose core learns by the UORO family or not at all; `Learner` spells the same
out call by call for all others, and a test holds the two to the same bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import uintp as U

from uoro.learning.kernel import core as kernel
from uoro.learning.kernel import grid, running
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.numeric import numbers, paths, seasons, statistics
from uoro.learning.kernel.rows import NUM_HEAD
from uoro.learning.kernel.views import Array, Views, arrays_of, word


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


STATE = Views(numbers.State, arrays_of(numbers.shapes(1, 1, 1)))
SAID = Views(Said, {name: Array(1, "i8" if name == "decimals" else "f8") for name in Said._fields})

_STATE_AT = running.NUM_WORDS
_SAID_AT = _STATE_AT + STATE.num_words
_KIND_AT = _SAID_AT + SAID.num_words

_take_state, _take_said = STATE.take, SAID.take


@jit
def forecaster_at(block, table):
    """The numbers' state, the pending forecast and the kind of the block at an address; its table is at another."""
    kind = Kind(word(table, _KIND_AT), word(table, _KIND_AT + 1) != 0, word(table, _KIND_AT + 2) != 0)
    return _take_state(block, table, _STATE_AT), _take_said(block, table, _SAID_AT), kind


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
    state, said, kind = forecaster_at(block, table)
    values, times, dates, out = given.values, given.times, given.dates, given.out
    room = np.empty((3, said.mean.size))
    slopes = np.empty(core.sizes[kernel.NUM_UNITS], np.float32)
    last, scale = state.stats[:, statistics.LAST], state.stats[:, statistics.SCALE]
    num = values.shape[0]
    for n in range(num):
        is_date = dates[n] != 0.0
        row = running.begin(account, times[n], is_date)
        date = times[n] if is_date else np.nan
        running.judge(
            row, account, kind.loss, kind.is_alone, values[n], date, said.mean, said.lower, said.upper, last, scale,
            room,
        )  # fmt: skip
        seq = account.seq[0] + 1
        if is_learning and seq > 1:
            learn(core, state, said, kind, values[n], slopes)
        out[n] = row
        account.seq[0] = seq
        advance(core, state, said, kind, values[n], times[n], is_date, is_learning)
        running.propose(said.mean, said.lower, said.upper, account.pending)
        if is_learning and seq % paths.EVERY == 0:
            _follow(block, table, state)
    out[num, NUM_HEAD:] = account.pending


@jit
def _follow(block, table, state):
    """Forecasts of many steps, on a copy of the block, to be held against what comes."""
    room, copy = running.copied(block, table)
    num_targets = state.bounds.shape[0]
    means, lowers = np.empty((paths.LENGTH, num_targets)), np.empty((paths.LENGTH, num_targets))
    look_ahead(copy, table, means, lowers, np.empty_like(lowers))
    paths.start(state.path, state.path_width, state.path_age, means, 0.5 * (state.bounds[:, 1] - state.bounds[:, 0]))
    room[0] = 0  # until here the copy is in use


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
def look_ahead(block, table, means, lowers, uppers):
    """Go on from the pending forecast as if each forecast came true, without learning; it ruins the block.

    means, lowers, uppers (L, T) get what is said for the next observation, the one after it, and so on.
    """
    core, _ = running.parts_at(block, table)
    state, said, kind = forecaster_at(block, table)
    num_targets, num_fields = said.mean.size, state.stats.shape[0]
    values = np.empty(num_fields)
    for step in range(means.shape[0]):
        if step > 0:
            for i in range(num_fields):
                values[i] = said.mean[i] if i < num_targets else state.stats[i, statistics.LAST]
            is_calendar = state.clock[seasons.IS_CALENDAR] > 0.0
            advance(core, state, said, kind, values, seasons.due(state.clock), is_calendar, False)
        means[step], lowers[step], uppers[step] = said.mean, said.lower, said.upper
