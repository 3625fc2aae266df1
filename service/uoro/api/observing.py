"""Calls that bring observations: predict, then learn, in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from uoro.api import schemas
from uoro.api.answers import answer
from uoro.api.body import JSON, NDJSON, content_type, read_body
from uoro.api.observations import Body, read_json, read_lines
from uoro.api.openapi import RESULTS, STREAM, Answer, body, operation, ref
from uoro.api.paths import stream_in
from uoro.api.ports import Engine, RequestMeter
from uoro.api.query import wants_full_results
from uoro.api.replies import json_response, reply_to, reply_to_several, reply_to_streams
from uoro.api.views import EngineFor
from uoro.engine.outcomes import Outcomes
from uoro.errors import OutOfSequence, RequestError, StreamDamaged, UnknownStream, UoroError
from uoro.limits import Limits

LARGE_BODY_BYTES = 2**16
"""Larger bodies are read on another thread, so that other requests are answered meanwhile."""

REFUSALS_OF_ALL = (UnknownStream, StreamDamaged, OutOfSequence)
"""Where each observation of a request meets such a refusal, it is the request's own answer."""


class Observing:
    """Endpoints that take observations."""

    def __init__(self, engine_for: EngineFor, limits: Limits, meter: RequestMeter) -> None:
        self._engine_for = engine_for
        self._limits = limits
        self._meter = meter

    async def observe(self, request: Request) -> Response:
        """Observations of one stream: an object, an array, or NDJSON."""
        stream = stream_in(request)
        is_full = wants_full_results(request)
        content = await self._read(request, stream, content_type(request, JSON, NDJSON))
        outcomes = await self._outcomes(content, self._engine_for(request))
        if content.is_single:
            outcome = outcomes.only()
            if isinstance(outcome, UoroError):
                raise outcome
            return json_response(reply_to(outcome))
        asked = [error for place, error in sorted(outcomes.errors.items()) if place not in content.refused]
        if asked and not outcomes.is_any_told and all(isinstance(error, REFUSALS_OF_ALL) for error in asked):
            raise asked[0]
        return json_response(reply_to_several(outcomes, is_full=is_full))

    async def observe_many(self, request: Request) -> Response:
        """Observations that name their streams: NDJSON, or an array."""
        is_full = wants_full_results(request)
        content = await self._read(request, None, content_type(request, NDJSON, JSON))
        engine = self._engine_for(request)
        outcomes = await self._outcomes(content, engine)
        last_seqs = self._last_seqs([run.stream for run in content.runs], outcomes, engine)
        return json_response(reply_to_streams(outcomes, last_seqs, is_full=is_full))

    async def _read(self, request: Request, stream: str | None, media_type: str) -> Body:
        read = read_lines if media_type == NDJSON else read_json
        most = self._limits.max_observations_per_request
        try:
            raw = await read_body(request, self._limits.max_body_bytes)
            if len(raw) > LARGE_BODY_BYTES:
                content = await asyncio.to_thread(read, raw, stream, most)
            else:
                content = read(raw, stream, most)
        except RequestError as error:
            self._meter.rejected(error.code, 1)
            raise
        if content.refused:
            for code, num in Counter(error.code for error in content.refused.values()).items():
                self._meter.rejected(code, num)
        return content

    async def _outcomes(self, content: Body, engine: Engine) -> Outcomes:
        """What became of all observations of a body: refused here, or told by the engine."""
        runs = content.runs
        outcomes = await answer(engine.observe(runs)) if runs else Outcomes()
        outcomes.errors.update(content.refused)
        return outcomes

    def _last_seqs(self, streams: list[str], outcomes: Outcomes, engine: Engine) -> dict[str, int]:
        """The newest place of each stream that exists; one that was deleted meanwhile has what was learned."""
        last_seqs = {learned.stream: learned.last_seq for learned in outcomes.learned}
        for observed in outcomes.recalled.values():
            last_seqs[observed.stream] = max(observed.seq, last_seqs.get(observed.stream, 0))
        for stream in streams:
            with suppress(UnknownStream):
                last_seqs[stream] = engine.last_seq(stream)
        return last_seqs

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoints."""
        problems = (400, 408, 413, 415, 422, 429, 503)
        one, named = ref(schemas.Observation), ref(schemas.NamedObservation)
        app.add_api_route(
            "/v1/streams/{stream}/observations",
            self.observe,
            methods=["POST"],
            **operation(
                "observe",
                "Predict, then learn, in order",
                Answer(
                    200,
                    "a reply to the one, or to the several",
                    schema={"oneOf": [ref(schemas.Reply), ref(schemas.SeveralReply)]},
                ),
                problems=(*problems, 404, 409),
                parameters=(STREAM, RESULTS),
                request_body=body(
                    {JSON: {"oneOf": [one, {"type": "array", "items": one}]}, NDJSON: one},
                    "one object, an array, or NDJSON with an observation on each line",
                ),
                tag="observations",
            ),
        )
        app.add_api_route(
            "/v1/observations",
            self.observe_many,
            methods=["POST"],
            **operation(
                "observeStreams",
                "Observations of many streams in one request",
                Answer(200, "a reply to all", schemas.StreamsReply),
                problems=problems,
                parameters=(RESULTS,),
                request_body=body(
                    {NDJSON: named, JSON: {"type": "array", "items": named}},
                    "NDJSON with an observation and its stream on each line, or an array of such",
                ),
                tag="observations",
            ),
        )
