"""What callers are told about observations and streams: domain values as the contract's JSON."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import msgspec
from starlette.responses import Response

from uoro import limits
from uoro.api.problems import members_of
from uoro.domain import KnownValues, Metrics, NamedSnapshot, Observed, Prediction, Result, StreamInfo
from uoro.engine.outcomes import Outcomes
from uoro.errors import UoroError

JSON_CONTENT = (b"content-type", b"application/json")
_ENCODER = msgspec.json.Encoder()


class Reply(msgspec.Struct, frozen=True):
    """The reply to one observation. A duplicate whose result is no longer kept has only its place."""

    stream: str
    seq: int
    t: float | str | None = None
    duplicate: bool = False
    prediction: Prediction | None = None
    loss: float | None = None
    baseline_loss: float | None = None
    anomaly: float | None = None
    next: Prediction | None = None


def reply_to(observed: Observed) -> Reply:
    """The reply to one observation that was not refused."""
    result = observed.result
    if result is None:
        return Reply(observed.stream, observed.seq, duplicate=observed.is_duplicate)
    return reply_from(observed.stream, result, is_duplicate=observed.is_duplicate)


def reply_from(stream: str, result: Result, *, is_duplicate: bool = False) -> Reply:
    """A result in the shape of a reply."""
    return Reply(
        stream,
        result.seq,
        result.t,
        is_duplicate,
        result.prediction,
        result.loss,
        result.baseline_loss,
        result.anomaly,
        result.next,
    )


def reply_to_several(outcomes: Outcomes, *, is_full: bool) -> dict[str, object]:
    """The reply to an array: counts, errors by index, mean loss, and the newest prediction."""
    newest = outcomes.newest()
    reply: dict[str, object] = {
        "accepted": outcomes.num_learned,
        "duplicates": len(outcomes.recalled),
        "rejected": len(outcomes.errors),
        "errors": _errors(outcomes.errors),
        "loss": outcomes.mean_loss(),
        "next": None if newest is None else newest.next,
    }
    if is_full:
        reply["results"] = [reply_to(outcome) for outcome in outcomes if isinstance(outcome, Observed)]
    return reply


def reply_to_streams(outcomes: Outcomes, last_seqs: dict[str, int], *, is_full: bool) -> dict[str, object]:
    """The reply to observations of many streams; `last_seqs` names the streams and their newest places."""
    reply = reply_to_several(outcomes, is_full=is_full)
    del reply["next"]
    accepted = {learned.stream: len(learned.places) for learned in outcomes.learned}
    reply["streams"] = {
        stream: {"accepted": accepted.get(stream, 0), "last_seq": last_seq} for stream, last_seq in last_seqs.items()
    }
    return reply


def results_with_values(stream: str, results: Sequence[Result], known: KnownValues) -> list[dict[str, object]]:
    """Results, each with the number targets' newest known values at its place where the model still keeps them."""
    told: list[dict[str, object]] = []
    for result in results:
        place = result.seq - known.seq - 1  # -1 is the newest
        values = {name: past[place] for name, past in known.values.items() if -len(past) <= place < 0}
        told.append({**msgspec.structs.asdict(reply_from(stream, result)), "x": values})
    return told


def stream_document(info: StreamInfo) -> dict[str, object]:
    """A stream as its readers see it."""
    return {
        "id": info.id,
        "spec": info.spec,
        "labels": info.labels,
        "state": info.state,
        "status": info.state,
        "last_seq": info.last_seq,
        "expected_seq": info.last_seq + 1,
        "bytes": info.nbytes,
        "resident": info.is_resident,
    }


def prediction_document(
    stream: str, seq: int, predictions: list[Prediction] | None, *, horizon: int | None
) -> dict[str, object]:
    """What is expected at place `seq`, and at those after it if a horizon was asked for."""
    document: dict[str, object] = {
        "stream": stream,
        "seq": seq,
        "prediction": predictions[0] if predictions else None,
    }
    if horizon is not None:
        document.update(horizon=horizon, predictions=predictions or [])
    return document


def metrics_document(stream: str, metrics: Metrics) -> dict[str, object]:
    """A stream's metrics under its name."""
    return {"stream": stream, **msgspec.structs.asdict(metrics)}


def snapshot_document(snapshot: NamedSnapshot) -> dict[str, object]:
    """A named snapshot."""
    return msgspec.structs.asdict(snapshot)


class JsonResponse(Response):
    """A response of JSON: what the framework would make of it, without asking what else there may be."""

    def __init__(self, body: bytes, status: int) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), JSON_CONTENT]


def json_response(document: object, status: int = 200) -> Response:
    """A document as a JSON response."""
    return JsonResponse(_ENCODER.encode(document), status)


def _errors(errors: Mapping[int, UoroError]) -> list[dict[str, object]]:
    first = heapq.nsmallest(limits.MAX_ERRORS_IN_REPLY, errors)
    return [{"index": index, **members_of(errors[index])} for index in first]
