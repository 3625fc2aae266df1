"""Prometheus remote write, versions 1.0 and 2.0 of the protocol: each series becomes a stream."""

from __future__ import annotations

import asyncio
from email.message import Message

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from uoro.api.body import read_body
from uoro.api.openapi import Answer, body, operation
from uoro.api.ports import RequestMeter
from uoro.api.problems import NotAllWritten, UnsupportedMediaType, response_of
from uoro.api.receiving import EXEMPLAR, NATIVE_HISTOGRAM, Receiver, Tally
from uoro.api.scope import REQUEST_ID_KEY
from uoro.api.views import EngineFor
from uoro.errors import RequestError, UoroError
from uoro.ingest.remote_write import Version, Write, read
from uoro.limits import Limits

PATH = "/api/v1/write"
PROTOBUF = "application/x-protobuf"
SNAPPY = "snappy"
LARGE_BODY_BYTES = 2**13
"""Larger bodies are read on another thread: packed, and of many small parts, they cost more than JSON of that size."""


class RemoteWrite:
    """The endpoint of remote write."""

    def __init__(self, engine_for: EngineFor, limits: Limits, meter: RequestMeter, receiver: Receiver) -> None:
        self._engine_for = engine_for
        self._limits = limits
        self._meter = meter
        self._receiver = receiver

    async def write(self, request: Request) -> Response:
        """Samples of many series; what was learned before is passed over."""
        write = await self._read(request)
        tally = Tally()
        try:
            await self._receiver.take(write, self._engine_for(request), tally)
            if tally.refusals:
                raise NotAllWritten(_what_was_refused(write, tally))
        except UoroError as error:
            response = response_of(error, request.scope.get(REQUEST_ID_KEY))
        else:
            response = Response(status_code=204)
        response.headers["x-prometheus-remote-write-samples-written"] = str(tally.num_written)
        response.headers["x-prometheus-remote-write-histograms-written"] = "0"
        response.headers["x-prometheus-remote-write-exemplars-written"] = "0"
        return response

    async def _read(self, request: Request) -> Write:
        limits = self._limits
        try:
            version = version_of(request.headers.get("content-type", ""))
            raw = await read_body(request, limits.max_body_bytes, packed=SNAPPY)
            arguments = (raw, version, limits.max_body_bytes, limits.max_observations_per_request)
            return await asyncio.to_thread(read, *arguments) if len(raw) > LARGE_BODY_BYTES else read(*arguments)
        except RequestError as error:
            self._meter.rejected(error.code, 1)
            raise

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoint."""
        schema = {"type": "string", "format": "binary"}
        app.add_api_route(
            PATH,
            self.write,
            methods=["POST"],
            **operation(
                "remoteWrite",
                "Prometheus remote write, 1.0 and 2.0: each series a stream",
                Answer(204, "all was written"),
                problems=(400, 408, 413, 415, 429, 503),
                request_body=body(
                    {f"{PROTOBUF};proto={version.value}": schema for version in Version},
                    "the message, in snappy's block format; a content type without `proto` is version 1",
                ),
                tag="observations",
            ),
        )


def version_of(content_type: str) -> Version:
    """The message that a content type names; without one, or without its parameter, version 1.

    Raises UnsupportedMediaType.
    """
    header = Message()
    header["content-type"] = content_type or PROTOBUF
    named = header.get_param("proto", Version.ONE.value)
    if header.get_content_type() != PROTOBUF or named not in {version.value for version in Version}:
        raise UnsupportedMediaType(
            f"the content type must be {PROTOBUF} with proto={' or proto='.join(version.value for version in Version)}"
        )
    return Version(named)


def _what_was_refused(write: Write, tally: Tally) -> str:
    codes = ", ".join(f"{num} {code}" for code, num in tally.refusals.most_common())
    num_parts = write.num_samples + tally.refusals[NATIVE_HISTOGRAM] + tally.refusals[EXEMPLAR]
    return f"{tally.refusals.total()} of {num_parts} refused for good ({codes}); the first: {tally.reason}"
