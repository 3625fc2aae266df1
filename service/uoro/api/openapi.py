"""The OpenAPI document: one call's description from a few facts, and all of them as one document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from uoro import limits
from uoro.api import schemas
from uoro.api.paths import SNAPSHOT_NAME
from uoro.api.problems import PROBLEM_TYPE
from uoro.api.rights import Right, right_of
from uoro.domain import STREAM_ID

JSON = "application/json"
KEY_SCHEME = "key"
Document = dict[str, Any]

_DESCRIPTION = """\
One recurrent model per stream, which learns from every observation the moment it arrives.

Ids in paths are percent-encoded, their slashes too. Errors are problem documents (RFC 9457); their `code` is
stable. Timestamps without a zone are UTC. Of a repeated key in a JSON object the last one counts. Besides the
calls below there are two websockets: `/v1/streams/{stream}/ws` for one stream and `/v1/ws` for many; where there
are keys, `observe` needs the scope `write`, `predict` and `subscribe` the scope `read`.
"""

_KEYS = (
    "Where the service has keys: `read`, `write` or `admin`, which implies both, perhaps confined to a prefix of ids."
)

_PROBLEMS = {
    400: "not JSON, not NDJSON or not UTF-8; nothing was changed",
    401: "keys are configured, and none that is in force came with the request",
    403: "the key lacks the scope that the call needs",
    404: "no such stream or snapshot, or none that the key may see",
    408: "the body did not arrive in time; nothing was changed",
    409: "in conflict with what there is: `stream_exists`, or `out_of_sequence` with `expected_seq`",
    413: "the body or the number of observations is over its limit",
    415: "a content type or content encoding that is not read",
    422: "a value does not fit; `field` names it",
    429: "a bounded queue is full, or a limit of the key used up (`rate_limited`); none was taken",
    500: "an error of the service",
    503: "the service cannot do it now, such as `store_unavailable` or `not_ready`",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call answers with when all is well."""

    status: int
    description: str
    model: type[BaseModel] | None = None
    media_type: str = JSON
    schema: Document | None = None

    def document(self) -> Document:
        """The answer as an OpenAPI response."""
        if self.model is None and self.schema is None:
            return {"description": self.description}
        schema = self.schema if self.model is None else ref(self.model)
        return {"description": self.description, "content": {self.media_type: {"schema": schema}}}


def ref(model: type[BaseModel]) -> Document:
    """A reference to a model among the components."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def body(content: Document, description: str) -> Document:
    """A required request body; `content` is a schema by content type."""
    return {
        "required": True,
        "description": description,
        "content": {media_type: {"schema": schema} for media_type, schema in content.items()},
    }


def query(name: str, schema: Document, description: str) -> Document:
    """An optional query parameter."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


STREAM: Document = {
    "name": "stream",
    "in": "path",
    "required": True,
    "description": "id of the stream, percent-encoded",
    "schema": {
        "type": "string",
        "pattern": f"^{STREAM_ID.pattern}$",
        "maxLength": limits.MAX_STREAM_ID_CHARS,
    },
}

SNAPSHOT: Document = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "name of the snapshot",
    "schema": {"type": "string", "pattern": f"^{SNAPSHOT_NAME.pattern}$"},
}

RESULTS = query(
    "results", {"type": "string", "enum": ["full", "none"], "default": "none"}, "full: a reply for each one too"
)


def operation(
    operation_id: str,
    summary: str,
    *answers: Answer,
    problems: tuple[int, ...] = (),
    parameters: tuple[Document, ...] = (),
    request_body: Document | None = None,
    tag: str = "streams",
) -> Document:
    """What FastAPI is told about a call."""
    extra: Document = {}
    if parameters:
        extra["parameters"] = list(parameters)
    if request_body is not None:
        extra["requestBody"] = request_body
    responses = {answer.status: answer.document() for answer in answers}
    responses.update((status, _problem(status)) for status in (*sorted(problems), 500))
    return {
        "operation_id": operation_id,
        "summary": summary,
        "status_code": answers[0].status,
        "responses": responses,
        "openapi_extra": extra,
        "tags": [tag],
    }


def describe(app: FastAPI) -> Document:
    """The whole document."""
    document = get_openapi(
        title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes, license_info=app.license_info
    )
    _, definitions = models_json_schema(
        [(model, "serialization") for model in schemas.ALL], ref_template="#/components/schemas/{model}"
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions["$defs"])
    components["securitySchemes"] = {KEY_SCHEME: {"type": "http", "scheme": "bearer", "description": _KEYS}}
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            _secure(call, right_of(method.upper(), path))
    return document


def _secure(call: Document, right: Right) -> None:
    """Say what a call asks of its caller: which scope, and how it answers to those who have none."""
    if right.is_open:
        call["security"] = []
        return
    call["security"] = [{KEY_SCHEME: [] if right.scope is None else [right.scope.value]}]
    for status in (401, 403, 429):
        call["responses"].setdefault(str(status), _problem(status))
    call["responses"] = dict(sorted(call["responses"].items()))


def _problem(status: int) -> Document:
    content = {PROBLEM_TYPE: {"schema": ref(schemas.Problem)}}
    return {"description": _PROBLEMS[status], "content": content}
