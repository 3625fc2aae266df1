"""A double of the service for tests: it keeps the rules of `seq`, learns nothing, and fails on demand.

    double = ServiceDouble()
    client = Client(transport=double.transport())
    double.faults.append(Fault.LOSE_REPLY)

`faults` holds what happens to the coming requests, one each; None lets a request through.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec


class Fault(enum.Enum):
    """What can befall a request."""

    REFUSE_CONNECTION = enum.auto()
    LOSE_REQUEST = enum.auto()
    LOSE_REPLY = enum.auto()
    OVERLOADED = enum.auto()
    UNAVAILABLE = enum.auto()
    UNAVAILABLE_AFTERWARDS = enum.auto()


class _Problem(Exception):
    def __init__(self, status: int, code: str, **more: object) -> None:
        super().__init__(code)
        self.status = status
        self.document = {
            "status": status,
            "title": code,
            "code": code,
            "detail": f"the double says {code}",
            **more,
        }


class ServiceDouble:
    """Streams in memory.

    Attributes:
        learned: the `x` of every learned observation, by stream.
        labels: by stream.
        requests: (method, raw path) of every request that arrived.
        faults: for the coming requests.
        is_recovering: answer `/readyz` with 503.
    """

    def __init__(self, *, auto_create: bool = True) -> None:
        self.learned: dict[str, list[dict[str, Any]]] = {}
        self.specs: dict[str, dict[str, Any]] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.times: dict[str, list[Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: deque[Fault | None] = deque()
        self.is_recovering = False
        self._auto_create = auto_create

    def transport(self) -> httpx.MockTransport:
        """For `Client` and `AsyncClient` alike."""
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, or fail it as the next fault says."""
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.REFUSE_CONNECTION:
            raise httpx.ConnectError("refused", request=request)
        self.requests.append((request.method, request.url.raw_path.decode()))
        if fault is Fault.LOSE_REQUEST:
            raise httpx.ReadError("reset", request=request)
        if fault is Fault.OVERLOADED:
            return _problem(_Problem(429, "overloaded"), {"Retry-After": "0"})
        if fault is Fault.UNAVAILABLE:
            return _problem(_Problem(503, "store_unavailable"), {"Retry-After": "0"})
        try:
            response = self._route(request)
        except _Problem as problem:
            response = _problem(problem, {})
        if fault is Fault.LOSE_REPLY:
            raise httpx.ReadTimeout("too late", request=request)
        if fault is Fault.UNAVAILABLE_AFTERWARDS:
            return _problem(_Problem(503, "store_unavailable"), {"Retry-After": "0"})
        return response

    def _route(self, request: httpx.Request) -> httpx.Response:
        parts = [unquote(part) for part in request.url.raw_path.decode().partition("?")[0].split("/")[1:]]
        match [request.method, *parts]:
            case ["GET", "readyz"] if not self.is_recovering:
                return httpx.Response(200)
            case ["GET", "readyz"]:
                raise _Problem(503, "not_ready")
            case ["GET", "v1", "streams"]:
                return self._page(request.url.params)
            case ["POST", "v1", "observations"]:
                return self._observe_streams(msgspec.json.Decoder().decode_lines(request.content))
            case [method, "v1", "streams", stream, *rest]:
                return self._of_stream(method, stream, rest, request)
        raise _Problem(404, "not_found")

    def _of_stream(self, method: str, stream: str, rest: list[str], request: httpx.Request) -> httpx.Response:
        call = [method, *rest]
        if call == ["PUT"]:
            return self._create(stream, msgspec.json.decode(request.content))
        if call == ["PUT", "import"]:
            return self._import(stream, request)
        if call == ["POST", "observations"]:
            return self._observe(stream, msgspec.json.decode(request.content), request.url.params)
        if stream not in self.learned:
            raise _Problem(404, "unknown_stream")
        if call == ["GET", "export"]:
            return httpx.Response(200, content=msgspec.json.encode(self.learned[stream]))
        if call == ["DELETE"]:
            del self.learned[stream], self.specs[stream], self.labels[stream], self.times[stream]
            return httpx.Response(204)
        documents = {
            "": self._describe,
            "freeze": self._describe,
            "unfreeze": self._describe,
            "metrics": self._metrics,
            "prediction": self._prediction,
            "results": self._results,
        }
        return httpx.Response(200, json=documents["/".join(rest)](stream))

    def _metrics(self, stream: str) -> dict[str, Any]:
        seen = len(self.learned[stream])
        total = {"total_loss": 0.5, "total_baseline_loss": 1.0, "total_skill": 0.5, "coverage": 0.9}
        return {"observations": seen, "window": 100} | (total if seen > 1 else {})

    def _prediction(self, stream: str) -> dict[str, Any]:
        return {"stream": stream, "predictions": [self._next(stream)] if self.learned[stream] else []}

    def _results(self, stream: str) -> dict[str, Any]:
        last = len(self.learned[stream])
        return {"results": [self._result(stream, seq) for seq in range(max(1, last - 9), last + 1)]}

    def _create(self, stream: str, document: dict[str, Any]) -> httpx.Response:
        spec = document.get("spec", {})
        if stream in self.learned:
            if spec != self.specs[stream]:
                raise _Problem(409, "stream_exists")
            return httpx.Response(200, json=self._describe(stream))
        self._open(stream, spec, document.get("labels", {}))
        return httpx.Response(201, json=self._describe(stream))

    def _open(self, stream: str, spec: dict[str, Any], labels: dict[str, str]) -> None:
        self.learned[stream], self.times[stream] = [], []
        self.specs[stream], self.labels[stream] = spec, labels

    def _import(self, stream: str, request: httpx.Request) -> httpx.Response:
        if stream in self.learned and request.url.params.get("replace") != "true":
            raise _Problem(409, "stream_exists")
        self._open(stream, {}, {})
        self.learned[stream] = msgspec.json.decode(request.content)
        self.times[stream] = [None] * len(self.learned[stream])
        return httpx.Response(201, json=self._describe(stream))

    def _page(self, params: httpx.QueryParams) -> httpx.Response:
        after, limit = params.get("cursor", ""), int(params.get("limit", "100"))
        found = [id_ for id_ in sorted(self.learned) if id_ > after and id_.startswith(params.get("prefix", ""))]
        cursor = found[limit - 1] if len(found) > limit else None
        return httpx.Response(
            200, json={"streams": [self._describe(id_) for id_ in found[:limit]], "next_cursor": cursor}
        )

    def _describe(self, stream: str) -> dict[str, Any]:
        return {
            "id": stream,
            "spec": self.specs[stream],
            "labels": self.labels[stream],
            "state": "learning",
            "last_seq": len(self.learned[stream]),
        }

    def _observe(self, stream: str, body: Any, params: httpx.QueryParams) -> httpx.Response:
        if isinstance(body, dict):
            seq, is_duplicate = self._learn(stream, body)
            return httpx.Response(200, json=self._result(stream, seq) | {"duplicate": is_duplicate})
        reply, results = self._learn_all([body_ | {"stream": stream} for body_ in body])
        if params.get("results") == "full":
            reply["results"] = results
        return httpx.Response(200, json=reply)

    def _observe_streams(self, lines: list[dict[str, Any]]) -> httpx.Response:
        reply, results = self._learn_all(lines)
        ids = {result["stream"] for result in results}
        reply["streams"] = {
            id_: {
                "accepted": sum(r["stream"] == id_ and not r["duplicate"] for r in results),
                "last_seq": len(self.learned[id_]),
            }
            for id_ in ids
        }
        return httpx.Response(200, json=reply)

    def _learn_all(self, lines: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        errors: list[dict[str, Any]] = []
        results: list[dict[str, Any]] = []
        for index, line in enumerate(lines):
            try:
                seq, is_duplicate = self._learn(line["stream"], line)
            except _Problem as problem:
                errors.append({"index": index, "code": problem.document["code"], "detail": "refused"})
            else:
                results.append(self._result(line["stream"], seq) | {"duplicate": is_duplicate})
        duplicates = sum(result["duplicate"] for result in results)
        reply = {
            "accepted": len(results) - duplicates,
            "duplicates": duplicates,
            "rejected": len(errors),
            "errors": errors[:100],
            "loss": 0.5 if results else None,
            "next": None,
        }
        return reply, results

    def _learn(self, stream: str, body: dict[str, Any]) -> tuple[int, bool]:
        """The observation's `seq`, and whether it is a duplicate."""
        if stream not in self.learned and not self._auto_create:
            raise _Problem(404, "unknown_stream")
        last = len(self.learned.get(stream, []))
        seq = body.get("seq", last + 1)
        if seq <= last:
            return seq, True
        if seq > last + 1:
            raise _Problem(409, "out_of_sequence", expected_seq=last + 1)
        fields = self.specs.get(stream, {}).get("fields", {})
        for name, value in body["x"].items():
            kind = "category" if isinstance(value, str | bool) else "number"
            if fields and (name not in fields or (value is not None and fields[name]["type"] != kind)):
                raise _Problem(422, "invalid_observation", field=name)
        if stream not in self.learned:
            self._open(stream, {}, {})
        self.learned[stream].append(body["x"])
        self.times[stream].append(body.get("t"))
        return seq, False

    def _result(self, stream: str, seq: int) -> dict[str, Any]:
        return {
            "stream": stream,
            "seq": seq,
            "t": self.times[stream][seq - 1],
            "prediction": self._next(stream) if seq > 1 else None,
            "loss": 0.5 if seq > 1 else None,
            "baseline_loss": 1.0 if seq > 1 else None,
            "anomaly": 0.1 if seq > 1 else None,
            "next": self._next(stream),
        }

    def _next(self, stream: str) -> dict[str, Any]:
        """A number field's naive forecast; a category field's latest value."""
        latest = self.learned[stream][-1]
        return {
            name: {"probabilities": {str(value): 0.5}, "other": 0.5}
            if isinstance(value, str | bool)
            else {"mean": value, "lower": value - math.pi, "upper": value + math.pi}
            for name, value in latest.items()
            if value is not None
        }


def _problem(problem: _Problem, headers: dict[str, str]) -> httpx.Response:
    return httpx.Response(
        problem.status, json=problem.document, headers=headers | {"Content-Type": "application/problem+json"}
    )
