"""What the service answers, typed and frozen. Members that a newer service adds are ignored."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import msgspec

from uoro_client.errors import UnexpectedReply
from uoro_client.observations import Value

MAX_ERRORS_KEPT = 100


class NumberForecast(msgspec.Struct, frozen=True):
    """A forecast of a number, in your units; `lower` and `upper` bound the central 90 %."""

    mean: float
    lower: float
    upper: float


class CategoryForecast(msgspec.Struct, frozen=True):
    """Probabilities of the ten likeliest categories; `other` is the rest of the mass."""

    probabilities: dict[str, float]
    other: float

    @property
    def likeliest(self) -> str:
        """The category with the highest probability; "" before any was seen."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default="")


Forecast: TypeAlias = NumberForecast | CategoryForecast


class Prediction(dict[str, Forecast]):
    """A forecast by target field. `number` and `category` say which kind you expect."""

    def number(self, field: str) -> NumberForecast:
        """The forecast of a number field. Raises KeyError if the field is not one."""
        forecast = self.get(field)
        if not isinstance(forecast, NumberForecast):
            raise KeyError(f"{field!r} is not a number field of this prediction")
        return forecast

    def category(self, field: str) -> CategoryForecast:
        """The forecast of a category field. Raises KeyError if the field is not one."""
        forecast = self.get(field)
        if not isinstance(forecast, CategoryForecast):
            raise KeyError(f"{field!r} is not a category field of this prediction")
        return forecast


class ObservationReply(msgspec.Struct, frozen=True):
    """What one observation led to.

    Attributes:
        stream: id of the stream; "" inside a batch reply of one stream.
        duplicate: its `seq` had been learned before; nothing was learned now.
        prediction: what had been said for it before it arrived; None for the first.
        loss: of that prediction; None without one.
        baseline_loss: of the naive prediction for the same observation.
        anomaly: in [0, 1]; 1 = never seen anything like it.
        next: the prediction for the observation to come.
        x: the values that came, where the service tells them: all of them to subscribers; of recent results those
            number targets that the model still remembers (None where it does not). None in other replies.
    """

    seq: int
    stream: str = ""
    t: float | str | None = None
    duplicate: bool = False
    prediction: Prediction | None = None
    loss: float | None = None
    baseline_loss: float | None = None
    anomaly: float | None = None
    next: Prediction | None = None
    x: dict[str, Value] | None = None


class Refusal(msgspec.Struct, frozen=True):
    """An observation of a batch that was not taken: its index in what was given, and why."""

    index: int
    code: str
    detail: str


class StreamShare(msgspec.Struct, frozen=True):
    """One stream's part of a batch of several streams."""

    accepted: int = 0
    last_seq: int = 0


class BatchReply(msgspec.Struct, frozen=True):
    """What several observations led to.

    Attributes:
        errors: why observations were refused, the first hundred of them.
        loss: mean over the accepted observations; None where none had a loss.
        next: the prediction for the observation to come; None for a batch of several streams.
        results: one per observation that was asked for with `full=True`, else None.
        streams: by id, for a batch of several streams, else None.
    """

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    errors: tuple[Refusal, ...] = ()
    loss: float | None = None
    next: Prediction | None = None
    results: tuple[ObservationReply, ...] | None = None
    streams: dict[str, StreamShare] | None = None


class Glance(msgspec.Struct, frozen=True):
    """What a list shows of a stream; the losses are means over its recent window.

    Attributes:
        x: the newest known value of each target.
        trend: recent values of the first number target, newest last; without one, the probabilities of what came.
        predicted: what had been said for them.
    """

    loss: float | None = None
    baseline_loss: float | None = None
    skill: float | None = None
    anomaly: float | None = None
    x: dict[str, Value] = {}
    next: Prediction | None = None
    trend: tuple[float | None, ...] = ()
    predicted: tuple[float | None, ...] = ()


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream as the service knows it.

    Attributes:
        spec: the JSON document of its spec, defaults included.
        state: "learning", "frozen" or "damaged".
        last_seq: place of its newest observation; 0 before the first.
        nbytes: length of its state.
        is_resident: whether its state is in memory.
        glance: in lists that asked for it; None for a damaged stream.
    """

    id: str
    spec: dict[str, Any] = {}
    labels: dict[str, str] = {}
    state: str = ""
    last_seq: int = 0
    nbytes: int = msgspec.field(default=0, name="bytes")
    is_resident: bool = msgspec.field(default=True, name="resident")
    glance: Glance | None = None


class StreamPage(msgspec.Struct, frozen=True):
    """One page of the list of streams; `cursor` leads to the next, None at the end."""

    streams: tuple[StreamInfo, ...] = ()
    cursor: str | None = msgspec.field(default=None, name="next_cursor")


class Metrics(msgspec.Struct, frozen=True):
    """How well a stream is predicted; losses are means, skill is 1 - loss / baseline_loss.

    The plain ones speak of the recent `window` observations, `total_…` of all. None: not known yet.
    """

    observations: int = 0
    window: int = 0
    loss: float | None = None
    baseline_loss: float | None = None
    skill: float | None = None
    total_loss: float | None = None
    total_baseline_loss: float | None = None
    total_skill: float | None = None
    coverage: float | None = None
    anomaly: float | None = None
    influence_norm: dict[str, float] = {}
    expert_weights: dict[str, dict[str, float]] = {}
    numeric_resets: int = 0


class NamedSnapshot(msgspec.Struct, frozen=True):
    """A named version of a stream's model: `seq` observations had been learned when it was taken."""

    name: str
    seq: int = 0
    created_at: float | str | None = None


class Readiness(msgspec.Struct, frozen=True):
    """Whether the service serves, and why not."""

    is_ready: bool
    reason: str = ""


def _forecast(document: Any) -> Forecast:
    if "probabilities" in document:
        return msgspec.convert(document, CategoryForecast)
    return msgspec.convert(document, NumberForecast)


def _prediction(kind: type, document: Any) -> Prediction:
    if kind is not Prediction or not isinstance(document, dict):
        raise TypeError(f"a prediction is an object, not a {type(document).__name__}")
    return Prediction({field: _forecast(forecast) for field, forecast in document.items()})


T = TypeVar("T")


def read(kind: type[T], body: bytes) -> T:
    """A reply's body as what it stands for. Raises UnexpectedReply."""
    try:
        return msgspec.json.decode(body, type=kind, dec_hook=_prediction)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise UnexpectedReply(f"the reply is not a {kind.__name__}: {error}") from error


def merge(one: BatchReply, two: BatchReply, offset: int) -> BatchReply:
    """Two chunks' replies as one; `offset` is how many observations came before the second chunk."""
    weight = one.accepted if one.loss is not None else 0
    share = two.accepted if two.loss is not None else 0
    total = (one.loss or 0.0) * weight + (two.loss or 0.0) * share
    moved = (Refusal(refusal.index + offset, refusal.code, refusal.detail) for refusal in two.errors)
    return BatchReply(
        accepted=one.accepted + two.accepted,
        duplicates=one.duplicates + two.duplicates,
        rejected=one.rejected + two.rejected,
        errors=(*one.errors, *moved)[:MAX_ERRORS_KEPT],
        loss=total / (weight + share) if weight + share else None,
        next=two.next if two.next is not None else one.next,
        results=None if one.results is None and two.results is None else (*(one.results or ()), *(two.results or ())),
        streams=_merge_streams(one.streams, two.streams),
    )


def _merge_streams(
    one: dict[str, StreamShare] | None, two: dict[str, StreamShare] | None
) -> dict[str, StreamShare] | None:
    if one is None or two is None:
        return one if two is None else two
    merged = dict(one)
    for stream, share in two.items():
        before = merged.get(stream, StreamShare()).accepted
        merged[stream] = StreamShare(before + share.accepted, share.last_seq)
    return merged
