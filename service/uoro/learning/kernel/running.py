"""What a compiled run over observations shares, whoever forecasts: the core's views, the account, a row's judgement.

A call is a row of words: the addresses of the block and of the spec's table, whether the stream learns, whether the
call is over, and where the observations lie. A table begins with the words of what is shared (`table`); the words of
whoever forecasts follow from `NUM_WORDS` on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numba import uintp as U

from uoro.learning.kernel import anomaly, scoring
from uoro.learning.kernel import core as kernel
from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.lanes import address
from uoro.learning.kernel.rows import ANOMALY, BASELINE_LOSS, FLAGS, HAS_PREDICTION, IS_CALENDAR, LOSS, NUM_HEAD, SEQ, T
from uoro.learning.kernel.views import Array, Place, Views, arrays_of, word


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


class _Moving(NamedTuple):
    """What of the core and the account lies in a block; the whole of it, as words and as float32."""

    words: np.ndarray
    f4: np.ndarray
    steps: np.ndarray
    weighing: np.ndarray
    num_resets: np.ndarray
    seq: np.ndarray
    sums: np.ndarray
    covered: np.ndarray
    newest_anomaly: np.ndarray
    rows: np.ndarray
    pending: np.ndarray


class _Fixed(NamedTuple):
    """What of the core lies in a spec's table itself, behind the words."""

    places: np.ndarray
    sizes: np.ndarray
    rates: np.ndarray


class Given(NamedTuple):
    """Observations and room for their rows.

    values (N, F) at times (N,), NaN where none; dates (N,), not 0 where the time is one; out (N + 1, width).
    """

    values: np.ndarray
    times: np.ndarray
    dates: np.ndarray
    out: np.ndarray


MOVING = Views(
    _Moving,
    {
        "words": Array(1, "i8"),
        "f4": Array(1, "f4"),
        "steps": Array(1, "i8"),
        "weighing": Array(1),
        "num_resets": Array(1, "i8"),
        "seq": Array(1, "i8"),
        "sums": Array(2),
        "covered": Array(2),
        "newest_anomaly": Array(1),
        "rows": Array(2),
        "pending": Array(1),
    },
)
FIXED = Views(_Fixed, {"places": Array(2, "i8"), "sizes": Array(1, "i8"), "rates": Array(1)})
ANOMALIES = Views(anomaly.State, arrays_of({its.name[8:]: (its.shape, its.dtype) for its in anomaly.parts(1)}))
GIVEN = Views(Given, {"values": Array(2), "times": Array(1), "dates": Array(1), "out": Array(2)})
NAMES = {
    "steps": "core.steps",
    "weighing": "core.weighing",
    "num_resets": "core.num_resets",
    "seq": "learner.seq",
    "sums": "evaluation.sums",
    "covered": "evaluation.covered",
    "newest_anomaly": "evaluation.anomaly",
    "rows": "ring.rows",
    "pending": "ring.pending",
}
"""What lies in a block, by the names of its parts there."""

BLOCK, TABLE, IS_LEARNING, IS_OVER, GIVEN_AT = range(5)
"""Words of a call; from the last on, those of `GIVEN`, counted from address 0."""
CALL_WORDS = GIVEN_AT + GIVEN.num_words

_SEED = 0
_MOVING_AT = 1
_FIXED_AT = _MOVING_AT + MOVING.num_words
_ANOMALIES_AT = _FIXED_AT + FIXED.num_words
NUM_WORDS = _ANOMALIES_AT + ANOMALIES.num_words

_take_moving, _take_fixed, _take_anomalies, _take_given = MOVING.take, FIXED.take, ANOMALIES.take, GIVEN.take


def table(
    place_of: Callable[[str], Place],
    num_bytes: int,
    seed: int,
    fixed: Sequence[np.ndarray],
    also: Sequence[int],
) -> np.ndarray:
    """The table of a spec: where the parts of its blocks lie.

    Args:
        place_of: a part's place, by its name.
        num_bytes: of a block.
        seed: of the streams.
        fixed: the core's places, sizes and rates.
        also: words of whoever forecasts.
    """
    first = 8 * (NUM_WORDS + len(also))
    places: dict[str, Place] = {"words": (0, (num_bytes // 8,), "i8"), "f4": (0, (num_bytes // 4,), "f4")}
    for name, array in zip(_Fixed._fields, fixed, strict=True):
        places[name] = (first, array.shape, array.dtype.str)
        first += array.nbytes
    words = [seed]
    words += MOVING.words(lambda name: places[name] if name in places else place_of(NAMES[name]))
    words += FIXED.words(places.__getitem__)
    words += ANOMALIES.words(lambda name: place_of(f"anomaly.{name}"))
    return np.concatenate([np.array([*words, *also], np.int64), *(array.reshape(-1).view(np.int64) for array in fixed)])


@jit
def parts_at(block, place):
    """The core and the account of the block at an address, whose spec's table is at another."""
    m, f = _take_moving(block, place, _MOVING_AT), _take_fixed(place, place, _FIXED_AT)
    seed = word(place, _SEED)
    anomalies = _take_anomalies(block, place, _ANOMALIES_AT)
    return (
        Core(m.f4, f.places, f.sizes, f.rates, seed, m.steps, m.weighing, m.num_resets),
        Account(m.seq, m.sums, m.covered, m.newest_anomaly, m.rows, m.pending, anomalies),
    )


@jit
def given_in(call):
    """The observations that a call's words name."""
    return _take_given(U(0), address(call), GIVEN_AT)


@jit
def copied(block, place):
    """A copy of the block at an address, aligned as one, in an array that must be kept, and the copy's address."""
    words = _take_moving(block, place, _MOVING_AT).words
    room = np.empty(words.size + 8, np.int64)
    first = -address(room) % U(64)
    start = np.int64(first // U(8))
    room[start : start + words.size] = words
    return room, address(room) + first


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
