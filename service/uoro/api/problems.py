"""Errors as RFC 9457 problem documents, and the refusals that only the web knows.

RequestError
├── Unauthorized             401  no key, an unknown one, or one whose time is over
├── Forbidden                403  the key lacks the scope
│   └── ForeignOrigin        403  a page of another site calls
├── NotFound                 404  no such path
├── MethodNotAllowed         405
├── BodyTimeout              408  the body did not arrive in time
├── UnsupportedMediaType     415
├── UnsupportedEncoding      415
├── BodyTooLarge
│   └── TooManyObservations  413
├── SeriesConflict           400  within a remote write: the series has no stream that it could go on with
├── NotAllWritten            400  a remote write of which a part was refused for good; the rest was taken
└── Overloaded
    └── RateLimited          429  a limit of the key; none was taken
Unavailable
└── Busy                     503  a remote write that must be sent again
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from uoro.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    OutOfSequence,
    Overloaded,
    RequestError,
    StreamExists,
    Unavailable,
    UnknownSnapshot,
    UnknownStream,
    UoroError,
)

PROBLEM_TYPE = "application/problem+json"


class Unauthorized(RequestError):
    """The request came without a key that is in force."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The key does not grant what the call needs."""

    code = "forbidden"


class ForeignOrigin(Forbidden):
    """Without keys whoever reaches the service may write; a page of another site in the browser may not."""

    code = "foreign_origin"


class RateLimited(Overloaded):
    """A limit of the key is used up; nothing of the request was taken. `policy` names the limit."""

    code = "rate_limited"

    def __init__(self, detail: str, policy: str, retry_after_s: float) -> None:
        super().__init__(detail, retry_after_s)
        self.policy = policy


class NotFound(RequestError):
    """Nothing lives at this path."""

    code = "not_found"


class MethodNotAllowed(RequestError):
    """The path exists and does not take this method."""

    code = "method_not_allowed"


class BodyTimeout(RequestError):
    """The body did not arrive within its time."""

    code = "body_timeout"


class UnsupportedMediaType(RequestError):
    """The content type is none that this call reads."""

    code = "unsupported_media_type"


class UnsupportedEncoding(RequestError):
    """The body is compressed, which is not read."""

    code = "unsupported_encoding"


class TooManyObservations(BodyTooLarge):
    """More observations in one request than are taken at once."""

    code = "too_many_observations"


class SeriesConflict(RequestError):
    """The stream that a series would have belongs to something else."""

    code = "series_conflict"


class NotAllWritten(RequestError):
    """Parts of a remote write were refused for good; the rest was taken."""

    code = "not_all_written"


class Busy(Unavailable):
    """A remote write cannot be taken now. It is a 503 where others are told 429, which its senders do not retry."""

    code = "busy"


STATUS: dict[type[UoroError], int] = {
    MalformedBody: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    UnknownStream: 404,
    UnknownSnapshot: 404,
    MethodNotAllowed: 405,
    BodyTimeout: 408,
    StreamExists: 409,
    OutOfSequence: 409,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    UnsupportedEncoding: 415,
    InvalidRequest: 422,
    Overloaded: 429,
    RequestError: 400,
    Unavailable: 503,
    UoroError: 500,
}
"""The status of each error; one that is not named has that of its parent."""

CLOSES_CONNECTION = (BodyTimeout, BodyTooLarge)
"""After these the rest of the body may still be on its way, so the connection is not used again."""


def status_of(error: UoroError) -> int:
    """The HTTP status of an error of the tree."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def code_of(error: UoroError) -> str:
    """The stable name of an error; those that are no caller's business are all "internal"."""
    return error.code if status_of(error) != 500 else UoroError.code


def members_of(error: UoroError) -> dict[str, object]:
    """`code` and `detail` of an error, and what else it knows: the shape of a refusal within a reply."""
    members: dict[str, object] = {"code": code_of(error), "detail": detail_of(error)}
    if isinstance(error, InvalidRequest) and error.field is not None:
        members["field"] = writable(error.field)
    if isinstance(error, OutOfSequence):
        members["expected_seq"] = error.expected_seq
    if isinstance(error, RateLimited):
        members["violated-policies"] = [error.policy]
        members["retry_after_s"] = math.ceil(error.retry_after_s)
    return members


def detail_of(error: UoroError) -> str:
    """What an error says to a caller."""
    if status_of(error) == 500:
        return "an error of the service, not of the request; it has been logged"
    return writable(str(error))


def document(status: int, members: Mapping[str, object]) -> bytes:
    """A problem document as JSON. `members` holds at least `code` and `detail`."""
    code = str(members["code"])
    problem = {
        "type": f"urn:uoro:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        **members,
    }
    return msgspec.json.encode(problem)


def response_of(error: UoroError, request_id: str | None = None) -> Response:
    """The answer to a request that ended in an error of the tree."""
    headers: dict[str, str] = {}
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, Overloaded | Unavailable):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, CLOSES_CONNECTION):
        headers["connection"] = "close"
    members = members_of(error)
    if isinstance(error, Overloaded):
        members["accepted"] = 0
    return problem_response(status_of(error), members, headers, request_id)


def problem_response(
    status: int,
    members: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
    request_id: str | None = None,
) -> Response:
    """A problem document as a response; with `request_id` it says where to find it in the log."""
    named = members if request_id is None else {**members, "request_id": request_id}
    return Response(document(status, named), status, dict(headers) if headers else None, media_type=PROBLEM_TYPE)


def of_status(status: int, detail: Any) -> dict[str, object]:
    """Members of a problem that the web framework found."""
    names = {404: NotFound.code, 405: MethodNotAllowed.code}
    phrase = HTTPStatus(status).phrase
    code = names.get(status, phrase.lower().replace(" ", "_").replace("'", ""))
    details = {404: "nothing lives at this path", 405: "this path does not take this method"}
    return {"code": code, "detail": details.get(status, writable(str(detail or phrase)))}


def writable(text: str) -> str:
    """Text that can be encoded as UTF-8; a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
