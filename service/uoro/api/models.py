"""Calls about a stream's whole model: named snapshots, export, import and clone."""

from __future__ import annotations

import re

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from uoro import limits as bounds
from uoro.api import query, schemas
from uoro.api.answers import answer
from uoro.api.body import JSON, MAX_DOCUMENT_BYTES, content_type, read_body
from uoro.api.documents import parse_object
from uoro.api.openapi import SNAPSHOT, STREAM, Answer, body, operation, ref
from uoro.api.openapi import query as parameter
from uoro.api.paths import snapshot_in, snapshot_name, stream_id, stream_in
from uoro.api.replies import json_response, snapshot_document, stream_document
from uoro.api.scope import CLONE_TO_KEY
from uoro.api.views import EngineFor

MODEL = "application/octet-stream"
MAX_MODEL_BYTES = bounds.MAX_STREAM_STATE_BYTES + 2**20
"""The largest state and the description around it."""

_BINARY = {"type": "string", "format": "binary"}


class Models:
    """Endpoints that take a model as a whole."""

    def __init__(self, engine_for: EngineFor) -> None:
        self._engine_for = engine_for

    async def save_snapshot(self, request: Request) -> Response:
        """Keep the model as it is under a name."""
        stream = stream_in(request)
        content_type(request, JSON)
        document = parse_object(await read_body(request, MAX_DOCUMENT_BYTES), "name")
        name = snapshot_name(document.get("name"))
        snapshot = await answer(self._engine_for(request).save_snapshot(stream, name))
        return json_response(snapshot_document(snapshot), 201)

    async def snapshots(self, request: Request) -> Response:
        """The named versions."""
        found = await answer(self._engine_for(request).snapshots(stream_in(request)))
        return json_response({"snapshots": [snapshot_document(snapshot) for snapshot in found]})

    async def restore(self, request: Request) -> Response:
        """Go back to a named version."""
        info = await answer(self._engine_for(request).restore(stream_in(request), snapshot_in(request)))
        return json_response(stream_document(info))

    async def export(self, request: Request) -> Response:
        """The whole model as one file."""
        stream = stream_in(request)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", stream)
        headers = {"content-disposition": f'attachment; filename="{name}.safetensors"'}
        file = await answer(self._engine_for(request).export(stream))
        return Response(file, media_type=MODEL, headers=headers)

    async def import_model(self, request: Request) -> Response:
        """A stream from such a file."""
        stream = stream_in(request)
        replace = query.flag(request, "replace")
        file = await read_body(request, MAX_MODEL_BYTES)
        info = await answer(self._engine_for(request).import_model(stream, file, replace=replace))
        return json_response(stream_document(info), 201)

    async def clone(self, request: Request) -> Response:
        """A second stream that starts from this one's model."""
        stream = stream_in(request)
        content_type(request, JSON)
        document = parse_object(await read_body(request, MAX_DOCUMENT_BYTES), "to")
        to = request.scope[CLONE_TO_KEY] = stream_id(document.get("to"), "to")
        info = await answer(self._engine_for(request).clone(stream, to))
        return json_response(stream_document(info), 201)

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoints."""
        path = "/v1/streams/{stream}"
        written = (400, 404, 408, 413, 415, 422, 429, 503)
        app.add_api_route(
            f"{path}/snapshots",
            self.save_snapshot,
            methods=["POST"],
            **operation(
                "saveSnapshot",
                "Keep the model as it is under a name; the same name again replaces",
                Answer(201, "kept", schemas.Snapshot),
                problems=written,
                parameters=(STREAM,),
                request_body=body({JSON: ref(schemas.SnapshotName)}, "its name"),
                tag="models",
            ),
        )
        app.add_api_route(
            f"{path}/snapshots",
            self.snapshots,
            methods=["GET"],
            **operation(
                "listSnapshots",
                "The named versions of a stream",
                Answer(200, "the snapshots", schemas.SnapshotList),
                problems=(404, 422, 429, 503),
                parameters=(STREAM,),
                tag="models",
            ),
        )
        app.add_api_route(
            f"{path}/snapshots/{{name}}/restore",
            self.restore,
            methods=["POST"],
            **operation(
                "restoreSnapshot",
                "Go back to a named version; its place in the stream goes back too",
                Answer(200, "the stream as it is again", schemas.Stream),
                problems=(404, 422, 429, 503),
                parameters=(STREAM, SNAPSHOT),
                tag="models",
            ),
        )
        app.add_api_route(
            f"{path}/export",
            self.export,
            methods=["GET"],
            **operation(
                "exportModel",
                "The whole model as one self-describing safetensors file",
                Answer(200, "the file", media_type=MODEL, schema=_BINARY),
                problems=(404, 422, 429, 503),
                parameters=(STREAM,),
                tag="models",
            ),
        )
        app.add_api_route(
            f"{path}/import",
            self.import_model,
            methods=["PUT"],
            **operation(
                "importModel",
                "A stream from an exported file",
                Answer(201, "the stream", schemas.Stream),
                problems=(408, 409, 413, 415, 422, 429, 503),
                parameters=(
                    STREAM,
                    parameter("replace", {"type": "boolean", "default": False}, "take the place of a stream"),
                ),
                request_body=body({MODEL: _BINARY}, "the file"),
                tag="models",
            ),
        )
        app.add_api_route(
            f"{path}/clone",
            self.clone,
            methods=["POST"],
            **operation(
                "cloneStream",
                "A second stream that starts from this one's model",
                Answer(201, "the second stream", schemas.Stream),
                problems=(*written, 409),
                parameters=(STREAM,),
                request_body=body({JSON: ref(schemas.CloneTarget)}, "the id of the second stream"),
                tag="models",
            ),
        )
