"""The nouns that every layer shares. Values only: no behaviour beyond their own consistency."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

Value: TypeAlias = float | str | None
"""A field's value: a number, a category (booleans arrive as "true"/"false"), or missing."""

STREAM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-:/]{0,199}")


class Observation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a stream showed at one moment.

    Attributes:
        x: value by field name; an absent field is missing.
        t: seconds since the Unix epoch, or None.
        seq: place in the stream, 1, 2, 3 …, or None to let the engine assign it.
        is_calendar: whether `t` came as an RFC 3339 date, and goes back as one.
    """

    x: dict[str, Value]
    t: float | None = None
    seq: int | None = None
    is_calendar: bool = False


class NumberPrediction(msgspec.Struct, frozen=True):
    """A forecast of a number, in the user's units; `lower` and `upper` bound the central 90 %."""

    mean: float
    lower: float
    upper: float


class CategoryPrediction(msgspec.Struct, frozen=True):
    """Probabilities of the ten likeliest categories; `other` is the rest of the mass."""

    probabilities: dict[str, float]
    other: float


Prediction: TypeAlias = dict[str, NumberPrediction | CategoryPrediction]
"""A forecast by target field."""


class Result(msgspec.Struct, frozen=True):
    """What one observation led to.

    Attributes:
        seq: place of the observation in its stream.
        t: its timestamp, as epoch seconds or RFC 3339 in the form it came, or None.
        prediction: what had been said for it before it arrived; None for the first.
        loss: loss of that prediction; None where there was none or no target was present.
        baseline_loss: loss of the naive prediction for the same observation.
        anomaly: in [0, 1], the tail probability of the loss under the recent losses.
        next: the prediction for the observation to come.
    """

    seq: int
    t: float | str | None
    prediction: Prediction | None
    loss: float | None
    baseline_loss: float | None
    anomaly: float | None
    next: Prediction | None


class Metrics(msgspec.Struct, frozen=True):
    """Streaming evaluation of one stream; losses are means, `skill` is 1 - loss / baseline_loss.

    `recent` windows are exponential with an effective length of `window` observations; `total` since
    the first observation. A value that does not exist yet is None. `estimate_noise` is the share of noise in the mean
    square of the stochastic part of the gradient estimate, measured where two or more copies make it; `estimate_weight`
    is the weight λ that part has now.
    """

    observations: int
    window: int
    loss: float | None
    baseline_loss: float | None
    skill: float | None
    total_loss: float | None
    total_baseline_loss: float | None
    total_skill: float | None
    coverage: float | None
    anomaly: float | None
    influence_norm: dict[str, float]
    expert_weights: dict[str, dict[str, float]]
    numeric_resets: int
    estimate_noise: float | None = None
    estimate_weight: float | None = None


class Glance(msgspec.Struct, frozen=True):
    """What a list shows of a stream; the losses are those of `Metrics`.

    Attributes:
        x: the newest known value of each target field.
        next: the prediction for the observation to come; None before the first.
        trend: recent known values of the first number target, newest last; of a stream without one, the
            probabilities given to what came.
        predicted: what had been said for each of them; empty without a number target.
    """

    loss: float | None
    baseline_loss: float | None
    skill: float | None
    anomaly: float | None
    x: dict[str, float | str]
    next: Prediction | None
    trend: list[float | None]
    predicted: list[float | None]


class KnownValues(msgspec.Struct, frozen=True):
    """By number target, the newest known value at the recent places of a stream, up to place `seq`, newest last."""

    seq: int
    values: dict[str, list[float | None]]


class Run(msgspec.Struct, frozen=True):
    """The observations of one stream within a request, in order.

    Attributes:
        places: where in the request each of them stood, ascending.
        after: the place in the stream that the run was made to follow. If the stream is anywhere else the whole run is
            refused; None follows wherever it is.
    """

    stream: str
    observations: list[Observation]
    places: Sequence[int]
    after: int | None = None


class Observed(msgspec.Struct, frozen=True):
    """What became of an observation that was not refused.

    Attributes:
        is_duplicate: its `seq` had been learned before; nothing was learned now.
        result: of the observation; None for a duplicate that is not among the recent results.
        x: the values that came, for subscribers; None for a duplicate.
    """

    stream: str
    seq: int
    is_duplicate: bool
    result: Result | None
    x: dict[str, Value] | None = None


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream as the catalog knows it.

    Attributes:
        spec: the spec's JSON document, defaults included.
        state: "learning", "frozen", or "damaged" (set aside: its state or its past cannot be read).
        last_seq: place of the newest observation in the log; 0 before the first.
        nbytes: length of its state.
        is_resident: whether its state is in memory; else it lies in the store until somebody asks for it.
    """

    id: str
    spec: dict[str, object]
    labels: dict[str, str]
    state: str
    last_seq: int
    nbytes: int
    is_resident: bool


class NamedSnapshot(msgspec.Struct, frozen=True):
    """A named version of a stream's model: `seq` observations had been learned when it was taken."""

    name: str
    seq: int
    created_at: float


class Model(msgspec.Struct, frozen=True):
    """A stream's whole model as a value: what an export, a snapshot and a clone carry.

    Attributes:
        spec: the spec's JSON document.
        state: the learner's block, as `Learner.dump` wrote it.
        version: of the block's layout (`learner.STATE_VERSION`).
        is_new: it has seen nothing, so that its spec says all and `state` may be left out.
    """

    spec: dict[str, object]
    labels: dict[str, str]
    is_frozen: bool
    state: bytes
    version: int
    is_new: bool = False
