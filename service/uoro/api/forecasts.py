"""Forecasts ahead of now, for Grafana: the service answers as a Prometheus would that could know the future.

Prometheus refuses observations from the future, so what is expected cannot be scraped. Grafana's own Prometheus data
source takes them from here (`/api/v1/…`, by GET): `uoro_stream_forecast{stream, field}`, `…_lower` and `…_upper` of
number targets. Each value holds from when its observation is due until the next one is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from uoro import limits
from uoro.api import schemas
from uoro.api.answers import answer
from uoro.api.cadence import Cadence, cadence_of
from uoro.api.moments import moment, moments, text_of
from uoro.api.openapi import Answer, operation
from uoro.api.openapi import query as parameter
from uoro.api.ports import Engine
from uoro.api.replies import json_response
from uoro.api.selector import FORECAST, LABELS, NAME, SERIES, Selector, is_test, parse
from uoro.api.views import EngineFor
from uoro.domain import NumberPrediction, Prediction, StreamInfo
from uoro.errors import InvalidRequest, UnknownStream

Labels = dict[str, str]
Sample = tuple[float, str]


_TIME = {"oneOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}
_QUERY = parameter(
    "query", {"type": "string", "maxLength": limits.MAX_QUERY_CHARS}, f'one selector, e.g. {FORECAST}{{stream="taxi"}}'
)
_INSTANT = (_QUERY, parameter("time", _TIME, "epoch seconds or RFC 3339; now if it is not given"))
_RANGE = (
    _QUERY,
    parameter("start", _TIME, "the first moment"),
    parameter("end", _TIME, "the last moment; it may be in the future"),
    parameter(
        "step",
        {"type": "string"},
        f"seconds, or a span such as 15s, between moments, {limits.MAX_RANGE_POINTS} of them at most",
    ),
)
_MATCH = parameter(
    "match[]",
    {"type": "array", "items": {"type": "string"}, "maxItems": limits.MAX_SELECTORS},
    "selectors; all if none",
)
_LABEL = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "name of the label",
    "schema": {"type": "string"},
}


@dataclass(frozen=True)
class Ahead:
    """What is expected of one stream, and when."""

    cadence: Cadence
    predictions: Sequence[Prediction]

    def at(self, time_s: float) -> Prediction | None:
        """The prediction that holds at a time; None outside of all."""
        step = self.cadence.step_at(time_s)
        return self.predictions[step - 1] if 1 <= step <= len(self.predictions) else None


class Forecasts:
    """Endpoints of `/api/v1`. What does not fit is answered as Prometheus does, with status 400."""

    def __init__(self, engine_for: EngineFor, version: str, now: Callable[[], float] = time.time) -> None:
        self._engine_for = engine_for
        self._version = version
        self._now = now

    async def over(self, request: Request) -> Response:
        """The forecasts that hold at each moment of a range."""
        try:
            selector = _of_one_stream(text_of(request, "query"))
            asked = moments(request)
        except InvalidRequest as error:
            return _refused(error)
        ahead, warnings = await self._ahead(request, selector, asked.end_s)
        found = [] if ahead is None else _holding(selector, ahead, asked.times())
        matrix = [{"metric": labels, "values": values} for labels, values in found]
        return _told({"resultType": "matrix", "result": matrix}, warnings)

    async def at(self, request: Request) -> Response:
        """The forecasts that hold at one moment, now unless it is named."""
        try:
            query = text_of(request, "query")
            time_s = moment(request, "time") if "time" in request.query_params else self._now()
            if is_test(query):
                return _told({"resultType": "scalar", "result": [time_s, "2"]})
            selector = _of_one_stream(query)
        except InvalidRequest as error:
            return _refused(error)
        ahead, warnings = await self._ahead(request, selector, time_s)
        found = [] if ahead is None else _holding(selector, ahead, [time_s])
        vector = [{"metric": labels, "value": values[0]} for labels, values in found]
        return _told({"resultType": "vector", "result": vector}, warnings)

    async def series(self, request: Request) -> Response:
        """The labels of all series that are selected."""
        try:
            found, warnings = self._series(request)
        except InvalidRequest as error:
            return _refused(error)
        return _told(found, warnings)

    async def labels(self, _: Request) -> Response:
        """The names of labels."""
        return _told(list(LABELS))

    async def values(self, request: Request) -> Response:
        """The values of a label among all series that are selected."""
        try:
            found, warnings = self._series(request)
        except InvalidRequest as error:
            return _refused(error)
        label = request.path_params["name"]
        return _told(sorted({labels[label] for labels in found if label in labels}), warnings)

    async def build(self, _: Request) -> Response:
        """What answers here, in place of a Prometheus' version."""
        return _told({"version": "2.42.0", "application": "uoro", "uoro_version": self._version})

    def add_to(self, app: FastAPI) -> None:
        """Register the endpoints."""
        for path, endpoint, name, summary, parameters in (
            ("query_range", self.over, "forecastsOver", "Forecasts at each moment of a range, future ones too", _RANGE),
            ("query", self.at, "forecastsAt", "Forecasts at one moment, now unless it is named", _INSTANT),
            ("series", self.series, "forecastSeries", "The labels of what can be asked for", (_MATCH,)),
            ("labels", self.labels, "forecastLabels", "The names of the labels", ()),
            ("label/{name}/values", self.values, "forecastLabelValues", "The values of a label", (_LABEL, _MATCH)),
            ("status/buildinfo", self.build, "forecastBuild", "What answers in place of a Prometheus", ()),
        ):
            app.add_api_route(
                f"/api/v1/{path}",
                endpoint,
                methods=["GET"],
                **operation(
                    name,
                    summary,
                    Answer(200, "as a Prometheus answers", schemas.PrometheusAnswer),
                    Answer(400, "the query does not fit", schemas.PrometheusRefusal),
                    problems=(429, 503),
                    parameters=parameters,
                    tag="forecasts",
                ),
            )

    async def _ahead(self, request: Request, selector: Selector, end_s: float) -> tuple[Ahead | None, list[str]]:
        """What is expected of the stream that is selected, until a moment; and what must be said to it."""
        stream = selector.stream
        assert stream is not None  # noqa: S101 - judged before
        engine = self._engine_for(request)
        try:
            before = await answer(engine.results(stream, limits.MAX_RECENT_RESULTS))
            about = cadence_of(before)
            if about is None:
                return None, [f"{stream}: when its next observations are due is not known; give them a t"]
            # Asked for together, so that both are of the same place in the stream.
            recent = engine.results(stream, limits.MAX_RECENT_RESULTS)
            predicted = engine.predict(stream, max(about.steps_until(end_s), 1))
            results, predictions = await answer(recent), await answer(predicted)
        except UnknownStream:
            return None, []
        cadence, warnings = cadence_of(results) or about, []
        if not cadence.reaches(end_s):
            warnings = [f"{stream}: forecasts end {limits.MAX_HORIZON_STEPS} steps ahead, before the range does"]
        return Ahead(cadence, (predictions or [])[: cadence.steps_until(end_s)]), warnings

    def _series(self, request: Request) -> tuple[list[Labels], list[str]]:
        """Labels of the series that any `match[]` selects, all without one. Raises InvalidRequest."""
        texts = request.query_params.getlist("match[]")
        if len(texts) > limits.MAX_SELECTORS:
            raise InvalidRequest(f"at most {limits.MAX_SELECTORS} match[] are read", field="match[]")
        selectors = [parse(text) for text in texts] or [Selector()]
        engine = self._engine_for(request)
        named = [selector.stream for selector in selectors]
        warnings: list[str] = []
        if None in named:
            infos = engine.list_streams(after="", limit=limits.MAX_LIST_PAGE + 1, prefix="", labels={})
            if len(infos) > limits.MAX_LIST_PAGE:
                warnings = [f"the first {limits.MAX_LIST_PAGE} streams are listed"]
        else:
            infos = _existing(engine, sorted({stream for stream in named if stream is not None}))
        found = [
            {NAME: name, "field": field, "stream": info.id}
            for info in infos[: limits.MAX_LIST_PAGE]
            for field in _number_targets(info)
            for name in SERIES
        ]
        return [labels for labels in found if any(selector.takes(labels) for selector in selectors)], warnings


def _existing(engine: Engine, streams: Sequence[str]) -> list[StreamInfo]:
    infos = []
    for stream in streams:
        try:
            infos.append(engine.describe(stream))
        except UnknownStream:
            continue
    return infos


def _number_targets(info: StreamInfo) -> list[str]:
    fields = info.spec["fields"]
    assert isinstance(fields, dict)  # noqa: S101 - a spec's document
    return [name for name, its in fields.items() if its["type"] == "number" and its.get("role", "target") == "target"]


def _holding(selector: Selector, ahead: Ahead, times: Sequence[float]) -> list[tuple[Labels, list[Sample]]]:
    """Labels and values at times of each series that is selected, those without any left out."""
    holding = [(time_s, prediction) for time_s in times if (prediction := ahead.at(time_s)) is not None]
    fields = [name for name, its in holding[0][1].items() if isinstance(its, NumberPrediction)] if holding else []
    found: list[tuple[Labels, list[Sample]]] = []
    for name in selector.names():
        for field in fields:
            labels = {NAME: name, "field": field, "stream": selector.stream or ""}
            if selector.takes(labels):
                values = [(time_s, repr(getattr(prediction[field], SERIES[name]))) for time_s, prediction in holding]
                found.append((labels, values))
    return found


def _of_one_stream(query: str) -> Selector:
    """A selector that names its stream. Raises InvalidRequest."""
    selector = parse(query)
    if selector.stream is None:
        raise InvalidRequest(f'name the stream: {FORECAST}{{stream="…"}}', field="query")
    return selector


def _told(found: object, warnings: Sequence[str] = ()) -> Response:
    more = {"warnings": list(warnings)} if warnings else {}
    return json_response({"status": "success", "data": found, **more})


def _refused(error: InvalidRequest) -> Response:
    return json_response({"status": "error", "errorType": "bad_data", "error": str(error)}, 400)
