"""What callers are told about observations and streams: domain values as the contract's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from starlette.responses import Response

from uoro import limits
from uoro.api.problems import members_of
from uoro.domain import KnownValues, Metrics, NamedSnapshot, Observed, Prediction, Result, StreamInfo
from uoro.errors import UoroError

Outcome = Observed | UoroError


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


def reply_to_several(outcomes: Sequence[Outcome], *, is_full: bool) -> dict[str, object]:
    """The reply to an array: counts, errors by index, mean loss, and the newest prediction."""
    observed = [outcome for outcome in outcomes if isinstance(outcome, Observed)]
    accepted = [o for o in observed if not o.is_duplicate]
    losses = [o.result.loss for o in accepted if o.result is not None and o.result.loss is not None]
    newest = next((o.result for o in reversed(observed) if o.result is not None), None)
    reply: dict[str, object] = {
        "accepted": len(accepted),
        "duplicates": len(observed) - len(accepted),
        "rejected": len(outcomes) - len(observed),
        "errors": _errors(outcomes),
        "loss": sum(losses) / len(losses) if losses else None,
        "next": None if newest is None else newest.next,
    }
    if is_full:
        reply["results"] = [reply_to(o) for o in observed]
    return reply


def reply_to_streams(outcomes: Sequence[Outcome], last_seqs: dict[str, int], *, is_full: bool) -> dict[str, object]:
    """The reply to observations of many streams; `last_seqs` names the streams and their newest places."""
    reply = reply_to_several(outcomes, is_full=is_full)
    del reply["next"]
    accepted = dict.fromkeys(last_seqs, 0)
    for outcome in outcomes:
        if isinstance(outcome, Observed) and not outcome.is_duplicate:
            accepted[outcome.stream] += 1
    reply["streams"] = {
        stream: {"accepted": accepted[stream], "last_seq": last_seq} for stream, last_seq in last_seqs.items()
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


def json_response(document: object, status: int = 200) -> Response:
    """A document as a JSON response."""
    return Response(msgspec.json.encode(document), status, media_type="application/json")


def _errors(outcomes: Iterable[Outcome]) -> list[dict[str, object]]:
    errors: list[dict[str, object]] = []
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, UoroError):
            errors.append({"index": index, **members_of(outcome)})
            if len(errors) == limits.MAX_ERRORS_IN_REPLY:
                break
    return errors
