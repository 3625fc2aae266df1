"""The shapes of requests and responses, for the OpenAPI document only; bodies are read and written by msgspec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from uoro import limits
from uoro.domain import STREAM_ID
from uoro.learning.spec import StreamSpec


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


StreamId = Annotated[
    str,
    Field(pattern=f"^{STREAM_ID.pattern}$", max_length=limits.MAX_STREAM_ID_CHARS, examples=["taxi", "plant/3/load"]),
]
Number = Annotated[float, Field(ge=-limits.MAX_ABS_NUMBER, le=limits.MAX_ABS_NUMBER)]
Category = Annotated[str, Field(max_length=limits.MAX_CATEGORY_BYTES)]


class Observation(_Shape):
    """What a stream showed at one moment."""

    x: dict[str, Number | Category | bool | None] = Field(
        max_length=limits.MAX_FIELDS,
        description="value by field name; null or absent is missing",
        examples=[{"value": 10.4}],
    )
    t: float | str | None = Field(None, description="RFC 3339, or epoch seconds", examples=["2026-01-31T12:00:00Z"])
    seq: int | None = Field(
        None, ge=1, le=limits.MAX_SEQ, description="place in the stream; makes retries safe", examples=[41]
    )


class NamedObservation(Observation):
    """An observation that says whose it is."""

    stream: StreamId


class NumberForecast(_Shape):
    """A forecast of a number; `lower` and `upper` bound the central 90 %."""

    mean: float
    lower: float
    upper: float


class CategoryForecast(_Shape):
    """Probabilities of the ten likeliest categories; `other` is the rest of the mass."""

    probabilities: dict[str, float]
    other: float


Forecasts = dict[str, NumberForecast | CategoryForecast]


class Reply(_Shape):
    """What one observation led to. A duplicate whose result is no longer kept has only its place."""

    stream: StreamId
    seq: int
    t: float | str | None
    duplicate: bool
    prediction: Forecasts | None = Field(description="what had been said for it; null for the first")
    loss: float | None
    baseline_loss: float | None
    anomaly: float | None = Field(description="in [0, 1]; 1 = never seen anything like it")
    next: Forecasts | None = Field(description="the prediction for the observation to come")


class Refusal(_Shape):
    """Why one observation of several was not taken."""

    index: int
    code: str
    detail: str
    field: str | None = None
    expected_seq: int | None = None


class SeveralReply(_Shape):
    """What several observations of one stream led to."""

    accepted: int
    duplicates: int
    rejected: int
    errors: list[Refusal] = Field(max_length=limits.MAX_ERRORS_IN_REPLY)
    loss: float | None = Field(description="mean over the accepted ones that have one")
    next: Forecasts | None
    results: list[Reply] | None = None


class StreamShare(_Shape):
    """One stream's part."""

    accepted: int
    last_seq: int


class StreamsReply(_Shape):
    """What observations of many streams led to."""

    accepted: int
    duplicates: int
    rejected: int
    errors: list[Refusal] = Field(max_length=limits.MAX_ERRORS_IN_REPLY)
    loss: float | None
    streams: dict[str, StreamShare]
    results: list[Reply] | None = None


class StreamCreation(_Shape):
    """A stream to be."""

    spec: StreamSpec
    labels: dict[str, str] = Field({}, max_length=limits.MAX_LABELS)


class Glance(_Shape):
    """What a list shows of a stream; the losses are of the recent window."""

    loss: float | None
    baseline_loss: float | None
    skill: float | None
    anomaly: float | None
    x: dict[str, float | str] = Field(description="the newest known value of each target field")
    next: Forecasts | None
    trend: list[float | None] = Field(
        max_length=limits.TREND_STEPS,
        description="recent values of the first number target, newest last; without one, probabilities of what came",
    )
    predicted: list[float | None] = Field(max_length=limits.TREND_STEPS, description="what had been said for them")


class Stream(_Shape):
    """A stream as it is. `status` is the same as `state`."""

    id: StreamId
    spec: StreamSpec
    labels: dict[str, str]
    state: Literal["learning", "frozen", "damaged"]
    status: Literal["learning", "frozen", "damaged"]
    last_seq: int
    expected_seq: int = Field(description="the only seq that would be learned now")
    bytes: int = Field(description="length of its state")
    resident: bool = Field(description="whether its state is in memory; else it is in the store until it is needed")
    glance: Glance | None = Field(None, description="in lists that ask for it; null if the stream is damaged")


class StreamPage(_Shape):
    """Some streams, by id."""

    streams: list[Stream]
    next_cursor: str | None = Field(description="where the rest begins; null at the end")
    total: int = Field(description="how many ids have the prefix, whatever their labels")


class PredictionReply(_Shape):
    """What is expected next. `horizon` and `predictions` are there if a horizon was asked for."""

    stream: StreamId
    seq: int = Field(description="the place that `prediction` speaks of")
    prediction: Forecasts | None
    horizon: int | None = None
    predictions: list[Forecasts] | None = None


class Metrics(_Shape):
    """Streaming evaluation; the plain losses are of the recent `window`, `total_…` of all observations."""

    stream: StreamId
    observations: int
    window: int
    loss: float | None
    baseline_loss: float | None
    skill: float | None = Field(description="1 − loss / baseline_loss")
    total_loss: float | None
    total_baseline_loss: float | None
    total_skill: float | None
    coverage: float | None = Field(description="how often the 90 % interval held the value")
    anomaly: float | None
    influence_norm: dict[str, float]
    expert_weights: dict[str, dict[str, float]]
    numeric_resets: int
    estimate_noise: float | None = Field(
        description="share of noise in the mean square of the gradient estimate's stochastic part"
    )
    estimate_weight: float | None = Field(description="the weight λ that part has now")


class RecentResult(Reply):
    """A reply with what is known of the values that came."""

    x: dict[str, float | None] = Field(
        description="the newest known value of each number target at that place; null where the model keeps none"
    )


class RecentResults(_Shape):
    """The most recent results, newest last."""

    stream: StreamId
    results: list[RecentResult]


class SnapshotName(_Shape):
    """The name of a snapshot to take."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$")


class Snapshot(_Shape):
    """A named version of a model: `seq` observations had been learned when it was taken."""

    name: str
    seq: int
    created_at: float


class SnapshotList(_Shape):
    """The named versions of a stream."""

    snapshots: list[Snapshot]


class CloneTarget(_Shape):
    """The id of the second stream."""

    to: StreamId


class Ticket(_Shape):
    """What opens one websocket as `?ticket=`, within its life."""

    ticket: str
    expires_in_s: float


class PrometheusAnswer(_Shape):
    """What a Prometheus would answer; the shape of `data` is that of its HTTP API."""

    status: Literal["success"]
    data: Any
    warnings: list[str] | None = Field(None, description="why there is nothing, or less than was asked for")


class PrometheusRefusal(_Shape):
    """How a Prometheus says that a query does not fit."""

    status: Literal["error"]
    error_type: Literal["bad_data"] = Field(alias="errorType")
    error: str


class Health(_Shape):
    """How the service is."""

    status: str
    checks: dict[str, str] | None = None


class Problem(BaseModel):
    """What went wrong (RFC 9457). `code` is stable; other members depend on it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    expected_seq: int | None = None
    accepted: int | None = None
    request_id: str | None = None
    retry_after_s: int | None = None
    violated_policies: list[str] | None = Field(None, alias="violated-policies")
    checks: dict[str, Any] | None = None


ALL: tuple[type[BaseModel], ...] = (
    Observation,
    NamedObservation,
    Reply,
    SeveralReply,
    StreamsReply,
    StreamCreation,
    Glance,
    Stream,
    StreamPage,
    PredictionReply,
    Metrics,
    RecentResult,
    RecentResults,
    SnapshotName,
    Snapshot,
    SnapshotList,
    CloneTarget,
    Ticket,
    PrometheusAnswer,
    PrometheusRefusal,
    Health,
    Problem,
)
