"""Client of the UORO streaming learning service: predict, then learn, over HTTP and websocket."""

from uoro_client.async_client import AsyncClient
from uoro_client.client import Client
from uoro_client.errors import (
    ApiError,
    ClientError,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotAllowed,
    NotFound,
    OutOfSequence,
    Overloaded,
    ReplyLost,
    SequenceTaken,
    SubscriptionLost,
    Unavailable,
    UnexpectedReply,
)
from uoro_client.observations import Observation
from uoro_client.replies import (
    BatchReply,
    CategoryForecast,
    Glance,
    Metrics,
    NamedSnapshot,
    NumberForecast,
    ObservationReply,
    Prediction,
    Readiness,
    Refusal,
    StreamInfo,
    StreamShare,
)
from uoro_client.retry import Patience
from uoro_client.subscription import AsyncSubscription, Subscription
from uoro_client.tails import AsyncTail, Tail
from uoro_client.version import __version__
from uoro_client.writers import AsyncWriter, Writer

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncSubscription",
    "AsyncTail",
    "AsyncWriter",
    "BatchReply",
    "CategoryForecast",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "Glance",
    "InvalidRequest",
    "Metrics",
    "NamedSnapshot",
    "NotAllowed",
    "NotFound",
    "NumberForecast",
    "Observation",
    "ObservationReply",
    "OutOfSequence",
    "Overloaded",
    "Patience",
    "Prediction",
    "Readiness",
    "Refusal",
    "ReplyLost",
    "SequenceTaken",
    "StreamInfo",
    "StreamShare",
    "Subscription",
    "SubscriptionLost",
    "Tail",
    "Unavailable",
    "UnexpectedReply",
    "Writer",
    "__version__",
]
