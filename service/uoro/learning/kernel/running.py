"""What a compiled run over observations shares, whoever forecasts: the core's views, the account, a row's judgement."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uoro.learning.kernel import anomaly, scoring
from uoro.learning.kernel import core as kernel
from uoro.learning.kernel.jit import jit
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


class Account(NamedTuple):
    """Losses so far, and the results kept: of `evaluation`, `ring` and `anomalies`."""

    seq: np.ndarray
    sums: np.ndarray
    covered: np.ndarray
    newest_anomaly: np.ndarray
    rows: np.ndarray
    pending: np.ndarray
    anomalies: anomaly.State


@jit
def begin(account, t, is_calendar):
    """The row of the next observation, with the prediction that is pending for it."""
    seq = account.seq[0] + 1
    row = account.rows[seq % account.rows.shape[0]]
    row[SEQ], row[T] = seq, t
    row[FLAGS] = (IS_CALENDAR if is_calendar else 0) + (HAS_PREDICTION if seq > 1 else 0)
    row[LOSS], row[BASELINE_LOSS], row[ANOMALY] = np.nan, np.nan, np.nan
    row[NUM_HEAD:] = account.pending
    return row


@jit
def judge(row, account, loss_kind, is_alone, values, date, mean, lower, upper, last, scale, room):
    """Write the losses and the anomaly of the pending prediction mean, lower, upper (T,) into a row, if there is one.

    values (≥ T,) came at date, NaN if that is none; last and scale (≥ T,) make the naive forecast; room (3, T).
    """
    num_targets = mean.size
    scores, losses, baselines = room[0], room[1], room[2]
    a = account.anomalies
    anomaly.score_all(
        a.moments, a.ranges, a.slots, a.slot_rows, a.body, a.ranks, values[:num_targets], mean, lower, upper, date,
        scores,
    )  # fmt: skip
    num_covered = scoring.score(loss_kind, is_alone, values, mean, lower, upper, last, scale, losses, baselines)
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
def propose(mean, lower, upper, pending):
    """Write the pending forecast down as the prediction for the observation to come."""
    for i in range(mean.size):
        pending[3 * i], pending[3 * i + 1], pending[3 * i + 2] = mean[i], lower[i], upper[i]


@jit
def learn(core, slope, direct, has_loss):
    """The core learns: slope (O,) by its own readout, direct (H,) by others."""
    core.num_resets[0] += kernel.learn(
        core.f4, core.places, core.sizes, core.rates, core.seed, core.steps, core.weighing, slope, direct, has_loss
    )
    if not kernel.is_sane(core.f4, core.places):
        _reset(core)


@jit
def advance(core):
    """The core listens to its input and reads the next output."""
    core.steps[0] += 1
    if not kernel.advance(core.f4, core.places, core.sizes):
        _reset(core)


@jit
def _reset(core):
    """Start the core afresh after divergence."""
    kernel.init(core.f4, core.places, core.sizes, core.rates, core.seed, core.weighing)
    core.num_resets[0] += 1
