"""Calls about streams: create, describe, list, forget, freeze; predictions, metrics and results."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from uoro import limits as bounds
from uoro.api import query, schemas
from uoro.api.answers import answer
from uoro.api.body import JSON, MAX_DOCUMENT_BYTES, content_type, read_body
from uoro.api.documents import is_text, parse_object
from uoro.api.openapi import STREAM, Answer, body, operation, ref
from uoro.api.openapi import query as parameter
from uoro.api.paths import stream_in
from uoro.api.replies import json_response, metrics_document, prediction_document, results_with_values, stream_document
from uoro.api.views import EngineFor
from uoro.errors import InvalidRequest
from uoro.learning.spec import StreamSpec

DEFAULT_PAGE = 100
DEFAULT_RESULTS = 20


class Streams:
    """Endpoints of `/v1/streams`."""

    def __init__(self, engine_for: EngineFor) -> None:
        self._engine_for = engine_for

    async def create(self, request: Request) -> Response:
        """Create a stream; the same spec again is answered as it is."""
        stream = stream_in(request)
        content_type(request, JSON)
        content = await read_body(request, MAX_DOCUMENT_BYTES)
        document = parse_object(content or b"{}", "spec", "labels")
        spec = StreamSpec.parse(document.get("spec", {}))
        labels = _labels(document.get("labels"))
        info, is_new = await answer(self._engine_for(request).create(stream, spec, labels))
        return json_response(stream_document(info), 201 if is_new else 200)

    async def describe(self, request: Request) -> Response:
        """Spec, labels and state."""
        return json_response(stream_document(self._engine_for(request).describe(stream_in(request))))

    async def list(self, request: Request) -> Response:
        """A page of streams; one more is asked for than is told, to know whether there are more."""
        has_glances = query.flag(request, "glance")
        largest = bounds.MAX_GLANCES if has_glances else bounds.MAX_LIST_PAGE
        size = query.integer(request, "limit", DEFAULT_PAGE, largest)
        engine = self._engine_for(request)
        prefix = query.prefix(request)
        found = engine.list_streams(
            after=query.cursor(request),
            limit=size + 1,
            prefix=prefix,
            labels=query.labels(request),
        )
        page = found[:size]
        next_cursor = query.cursor_after(page[-1].id) if len(found) > size else None
        told = [stream_document(info) for info in page]
        if has_glances:
            glances = await answer(engine.glances([info.id for info in page]))
            for document, glance in zip(told, glances, strict=True):
                document["glance"] = glance
        total = engine.count_streams(prefix)
        return json_response({"streams": told, "next_cursor": next_cursor, "total": total})

    async def delete(self, request: Request) -> Response:
        """Forget a stream."""
        await answer(self._engine_for(request).delete(stream_in(request)))
        return Response(status_code=204)

    async def freeze(self, request: Request) -> Response:
        """Predict, but do not learn."""
        return await self._set_frozen(request, is_frozen=True)

    async def unfreeze(self, request: Request) -> Response:
        """Learn again."""
        return await self._set_frozen(request, is_frozen=False)

    async def predict(self, request: Request) -> Response:
        """What is expected next; changes nothing."""
        stream = stream_in(request)
        horizon = query.integer(request, "horizon", 1, bounds.MAX_HORIZON_STEPS)
        engine = self._engine_for(request)
        seq = engine.describe(stream).last_seq + 1
        predictions = await answer(engine.predict(stream, horizon))
        asked = horizon if "horizon" in request.query_params else None
        return json_response(prediction_document(stream, seq, predictions, horizon=asked))

    async def metrics(self, request: Request) -> Response:
        """Streaming evaluation."""
        stream = stream_in(request)
        return json_response(metrics_document(stream, await answer(self._engine_for(request).metrics(stream))))

    async def results(self, request: Request) -> Response:
        """The most recent results, newest last."""
        stream = stream_in(request)
        limit = query.integer(request, "limit", DEFAULT_RESULTS, bounds.MAX_RECENT_RESULTS)
        engine = self._engine_for(request)
        results = await answer(engine.results(stream, limit))
        known = await answer(engine.known_values(stream, bounds.MAX_RECENT_RESULTS))
        return json_response({"stream": stream, "results": results_with_values(stream, results, known)})

    async def _set_frozen(self, request: Request, *, is_frozen: bool) -> Response:
        info = await answer(self._engine_for(request).set_frozen(stream_in(request), is_frozen=is_frozen))
        return json_response(stream_document(info))

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoints."""
        path = "/v1/streams/{stream}"
        a_stream = Answer(200, "the stream", schemas.Stream)
        app.add_api_route(
            "/v1/streams",
            self.list,
            methods=["GET"],
            **operation(
                "listStreams",
                "List streams by id",
                Answer(200, "a page of streams", schemas.StreamPage),
                problems=(422, 503),
                parameters=(
                    parameter(
                        "limit",
                        {"type": "integer", "minimum": 1, "maximum": bounds.MAX_LIST_PAGE, "default": DEFAULT_PAGE},
                        f"how many at most; {bounds.MAX_GLANCES} with `glance`",
                    ),
                    parameter(
                        "glance",
                        {"type": "boolean", "default": False},
                        "each stream with its losses, newest values and a short trend; one read for the page",
                    ),
                    parameter("cursor", {"type": "string"}, "the `next_cursor` of the page before"),
                    parameter("prefix", {"type": "string"}, "what their ids start with"),
                    parameter(
                        "label", {"type": "array", "items": {"type": "string"}}, "key:value; all given must match"
                    ),
                ),
            ),
        )
        app.add_api_route(
            path,
            self.create,
            methods=["PUT"],
            **operation(
                "createStream",
                "Create a stream",
                Answer(201, "created", schemas.Stream),
                Answer(200, "it existed with the same spec", schemas.Stream),
                problems=(400, 408, 409, 413, 415, 422, 429, 503),
                parameters=(STREAM,),
                request_body=body({JSON: ref(schemas.StreamCreation)}, "its spec and labels"),
            ),
        )
        app.add_api_route(
            path,
            self.describe,
            methods=["GET"],
            **operation(
                "describeStream", "Spec, labels and state", a_stream, problems=(404, 422, 503), parameters=(STREAM,)
            ),
        )
        app.add_api_route(
            path,
            self.delete,
            methods=["DELETE"],
            **operation(
                "deleteStream",
                "Forget a stream, its log and its snapshots",
                Answer(204, "forgotten"),
                problems=(404, 422, 429, 503),
                parameters=(STREAM,),
            ),
        )
        app.add_api_route(
            f"{path}/prediction",
            self.predict,
            methods=["GET"],
            **operation(
                "predict",
                "Predict the next observations; changes nothing",
                Answer(200, "the prediction", schemas.PredictionReply),
                problems=(404, 422, 429, 503),
                parameters=(
                    STREAM,
                    parameter(
                        "horizon",
                        {"type": "integer", "minimum": 1, "maximum": bounds.MAX_HORIZON_STEPS},
                        "how many steps ahead",
                    ),
                ),
                tag="observations",
            ),
        )
        app.add_api_route(
            f"{path}/metrics",
            self.metrics,
            methods=["GET"],
            **operation(
                "streamMetrics",
                "Losses, skill and coverage",
                Answer(200, "the metrics", schemas.Metrics),
                problems=(404, 422, 429, 503),
                parameters=(STREAM,),
            ),
        )
        app.add_api_route(
            f"{path}/results",
            self.results,
            methods=["GET"],
            **operation(
                "recentResults",
                "The most recent results, newest last",
                Answer(200, "the results", schemas.RecentResults),
                problems=(404, 422, 429, 503),
                parameters=(
                    STREAM,
                    parameter(
                        "limit",
                        {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": bounds.MAX_RECENT_RESULTS,
                            "default": DEFAULT_RESULTS,
                        },
                        "how many at most",
                    ),
                ),
                tag="observations",
            ),
        )
        for name, endpoint, summary in (
            ("freeze", self.freeze, "Predict, but do not learn"),
            ("unfreeze", self.unfreeze, "Learn again"),
        ):
            app.add_api_route(
                f"{path}/{name}",
                endpoint,
                methods=["POST"],
                **operation(f"{name}Stream", summary, a_stream, problems=(404, 422, 429, 503), parameters=(STREAM,)),
            )


def _labels(document: object) -> dict[str, str]:
    if document is None:
        return {}
    if not isinstance(document, dict) or len(document) > bounds.MAX_LABELS:
        raise InvalidRequest(f"labels must be an object of at most {bounds.MAX_LABELS} strings", field="labels")
    labels: dict[str, str] = {}
    for key, value in document.items():
        if not is_text(key) or not 1 <= len(key) <= bounds.MAX_LABEL_KEY_CHARS or ":" in key:
            raise InvalidRequest(
                f"a label's key is 1 to {bounds.MAX_LABEL_KEY_CHARS} characters without a colon", field="labels"
            )
        if not isinstance(value, str) or not is_text(value) or len(value) > bounds.MAX_LABEL_VALUE_CHARS:
            raise InvalidRequest(
                f"a label's value is a string of at most {bounds.MAX_LABEL_VALUE_CHARS} characters",
                field=f"labels.{key}",
            )
        labels[key] = value
    return labels
