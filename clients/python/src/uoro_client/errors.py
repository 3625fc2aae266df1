"""Every error that the client raises on purpose, as one tree.

ClientError
├── ConnectionFailed      no connection to the service; nothing was sent
├── ReplyLost             the request was sent and no reply came; it may or may not have been taken
├── UnexpectedReply       the reply is not what the service promises
├── SequenceTaken         a writer's `seq` was learned from someone else's observation
├── SubscriptionLost      the service ended a subscription, say because its reader fell behind
└── ApiError              the service answered with a problem
    ├── NotAllowed        401, 403
    ├── NotFound          404  `code` says what: unknown_stream, unknown_snapshot
    ├── Conflict          409  stream_exists
    │   └── OutOfSequence      a gap; carries `expected_seq`
    ├── InvalidRequest    400, 413, 422  carries `field` where one is to blame
    ├── Overloaded        429  nothing was taken; carries `retry_after_s`
    └── Unavailable       503  carries `retry_after_s`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from uoro_client.observations import Observation
    from uoro_client.replies import BatchReply


class ClientError(Exception):
    """Root of the tree.

    Attributes:
        is_in_doubt: the request, or an attempt of it before the last, may have been taken all the same.
        partial: what the settled part of the same `observe_many` or `observe_streams` led to, or None.
        remaining: the observations of that call that are not settled, in order. The same writer may be given
            them again; it numbers them as before.
    """

    is_in_doubt: bool = False
    partial: BatchReply | None = None
    remaining: Iterator[Observation] | None = None


class ConnectionFailed(ClientError):
    """There is no connection to the service; nothing was sent."""


class ReplyLost(ClientError):
    """The request was sent and no reply came. Only with `seq` is it safe to send it again."""


class UnexpectedReply(ClientError):
    """The reply cannot be read as what the service promises."""


class SequenceTaken(ClientError):
    """A writer's `seq` was taken by an observation of someone else: two writers share the stream."""


class SubscriptionLost(ClientError):
    """The service ended a subscription: `close_code` 1013, its reader fell behind; 4401, its key has ended."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"the subscription ended with code {close_code}: {reason or 'no reason given'}")
        self.close_code = close_code
        self.reason = reason


class ApiError(ClientError):
    """The service answered with a problem.

    Attributes:
        status: of the HTTP reply; 0 for a problem told over a websocket.
        code: the stable machine-readable name of the problem.
        detail: the sentence for people.
        retry_after_s: when the service asks to try again, in seconds, or None.
        expected_seq: the only `seq` that would have been learned, if that is the problem.
        field: the field to blame, if there is one.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after_s: float | None = None,
        expected_seq: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(f"{detail} ({status} {code})" if status else f"{detail} ({code})")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.expected_seq = expected_seq
        self.field = field


class NotAllowed(ApiError):
    """The key is missing, unknown or expired (401), or lacks the scope that the call needs (403)."""


class NotFound(ApiError):
    """There is no such stream or snapshot, or the key may not see it."""


class Conflict(ApiError):
    """The request contradicts what is there."""


class OutOfSequence(Conflict):
    """A `seq` beyond the next one was given; `expected_seq` is the next one."""


class InvalidRequest(ApiError):
    """The request does not fit; `field` names the field to blame where there is one."""


class Overloaded(ApiError):
    """The service is full for the moment, or a limit of the key used up; nothing of the request was taken."""


class Unavailable(ApiError):
    """The service cannot do it now. Whether it was taken is unknown, unless the request carried `seq`."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    422: InvalidRequest,
    429: Overloaded,
    503: Unavailable,
}


class _Problem(msgspec.Struct):
    """An RFC 9457 problem document, as far as it is read."""

    title: str = ""
    detail: str = ""
    code: str = ""
    expected_seq: int | None = None
    field: str | None = None


_PROBLEM = msgspec.json.Decoder(_Problem)


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error that a reply of 400 or above stands for, whoever wrote its body."""
    try:
        problem = _PROBLEM.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem()
    kind = _BY_STATUS.get(status, ApiError)
    if kind is Conflict and problem.code == "out_of_sequence":
        kind = OutOfSequence
    return kind(
        status,
        problem.code or f"http_{status}",
        problem.detail or problem.title or f"the service answered {status}",
        retry_after_s=_seconds(headers.get("retry-after")),
        expected_seq=problem.expected_seq,
        field=problem.field,
    )


def _seconds(text: str | None) -> float | None:
    """Seconds of a Retry-After header; None for a date or nonsense."""
    return float(text) if text is not None and text.strip().isdecimal() else None
