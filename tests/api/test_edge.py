"""Around every request: ids, measures, methods, time limits, failures of the service and of the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from api_ground import Server, serving
from starlette.requests import ClientDisconnect, Request

from uoro import errors
from uoro.api import problems
from uoro.api.body import read_body
from uoro.api.paths import canonical_path
from uoro.domain import Metrics
from uoro.errors import NotReady, OutcomeUnknown, Overloaded, StoreUnavailable, StreamDamaged


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the tests of this file."""
    with serving() as ground:
        yield ground


def test_every_response_has_an_id_and_forbids_sniffing(server: Server) -> None:
    """A sane id is echoed, any other replaced."""
    for given in ("abc-1._Z", "x" * 64):
        reply = server.client.get("/livez", headers={"x-request-id": given})
        assert reply.headers["x-request-id"] == given
        assert reply.headers["x-content-type-options"] == "nosniff"
    for given in ("", "a b", "x" * 65, "<script>"):
        made = server.client.get("/nowhere", headers={"x-request-id": given}).headers["x-request-id"]
        assert made != given
        assert len(made) == 16


@pytest.mark.parametrize(
    ("method", "path", "label"),
    [
        ("GET", "/v1/streams/a%2Fb", ("/v1/streams/{stream}", "GET", 404)),
        ("PATCH", "/v1/streams/a", ("/v1/streams/{stream}", "PATCH", 405)),
        ("BREW", "/v1/streams/a", ("/v1/streams/{stream}", "other", 405)),
        ("GET", "/secret/path", ("unmatched", "GET", 404)),
        ("GET", "/openapi.json", ("/openapi.json", "GET", 200)),
        ("GET", "/livez", ("/livez", "GET", 200)),
    ],
)
def test_requests_are_measured_by_template(server: Server, method: str, path: str, label: tuple[str, str, int]) -> None:
    """Labels are the route's template and a known method, never what the caller made up."""
    server.client.request(method, path)
    assert server.meter.requests[-1] == label


def test_a_wrong_method_names_the_right_ones(server: Server) -> None:
    """405 with one complete Allow."""
    reply = server.client.patch("/v1/streams/a")
    assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")
    assert reply.headers.get_list("allow") == ["DELETE, GET, PUT"]
    assert server.client.get("/v1/streams/a/observations").headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/v1/streams/a%2fb", "/v1/streams/a%2Fb"),
        (b"/v1/%73treams/%61", "/v1/streams/a"),
        (b"/v1/streams/a%3Ab:c", "/v1/streams/a:b:c"),
        (b"/v1/streams/%C3%A9", "/v1/streams/%C3%A9"),
        (b"/v1/streams/%", "/v1/streams/%25"),
    ],
)
def test_paths_are_brought_to_one_spelling(raw: bytes, path: str) -> None:
    """An encoded slash stays one; what needs no encoding has none."""
    assert canonical_path({"path": "/ignored", "raw_path": raw}) == path


def test_a_failure_is_told_without_its_words(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 `internal` with the request's id; the log has the traceback under the same id."""

    def fail(_: str) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(server.engine, "describe", fail)
    reply = server.client.get("/v1/streams/a", headers={"x-request-id": "here"})
    assert (reply.status_code, reply.json()["code"], reply.json()["request_id"]) == (500, "internal", "here")
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-request-id"] == "here"
    assert "secret" not in reply.text
    assert "here" in caplog.text
    assert "ZeroDivisionError: a secret" in caplog.text
    assert server.meter.requests[-1] == ("/v1/streams/{stream}", "GET", 500)


@pytest.mark.parametrize("error", [errors.CorruptRecord("a secret"), errors.PositionConflict(1, 2)])
def test_errors_that_are_no_caller_s_business_are_failures(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Errors of the tree that no request can cause are logged and told as `internal`."""

    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(server.engine, "describe", fail)
    reply = server.client.get("/v1/streams/a")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")
    assert str(error) not in reply.text
    assert str(error) in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Overloaded("full", 2.5), 429, "overloaded"),
        (NotReady("recovering"), 503, "not_ready"),
        (StoreUnavailable("away"), 503, "store_unavailable"),
        (OutcomeUnknown("away"), 503, "store_unavailable"),
        (StreamDamaged("a"), 503, "stream_damaged"),
    ],
)
def test_what_may_be_tried_again_says_when(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    """429 and 503 carry Retry-After in whole seconds; 429 says that none was taken."""

    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(server.engine, "observe", refuse)
    reply = server.client.post("/v1/streams/a/observations", json=[{"x": {"v": 1}}])
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.headers["retry-after"] == ("3" if status == 429 else "1")
    assert reply.json().get("accepted") == (0 if status == 429 else None)


def test_without_the_store_reads_answer_and_writes_do_not(server: Server) -> None:
    """503 `store_unavailable` for the write, the reason at /readyz; all is well again when the store is back."""
    stream = server.create()
    server.observe(stream, 1.0)
    server.shelf.is_away = True
    try:
        reply = server.observe(stream, 2.0)
        assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable")
        ready = server.client.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
        assert "store: " in ready.json()["detail"]
        assert "store" in server.client.get("/readyz?verbose").json()["checks"]
        assert server.client.get(f"/v1/streams/{stream}/prediction").json()["prediction"] is not None
    finally:
        server.shelf.is_away = False
    while not server.engine.is_ready:
        time.sleep(0.001)
    assert server.observe(stream, 2.0).json()["accepted"] == 1


def test_every_error_has_a_status_and_a_stable_code() -> None:
    """The whole tree maps to what the contract says; a code that an error brings of its own is unique."""

    def leaves(kind: type[errors.UoroError]) -> Iterator[type[errors.UoroError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from leaves(child)

    told = {kind.__name__: problems.status_of(kind.__new__(kind)) for kind in leaves(errors.UoroError)}
    assert told.items() >= {
        "MalformedBody": 400, "UnknownStream": 404, "UnknownSnapshot": 404, "StreamExists": 409,
        "OutOfSequence": 409, "BodyTooLarge": 413, "TooManyObservations": 413, "InvalidRequest": 422,
        "InvalidSpec": 422, "InvalidObservation": 422, "InvalidImport": 422, "Overloaded": 429, "NotReady": 503,
        "StoreUnavailable": 503, "OutcomeUnknown": 503, "StreamDamaged": 503, "StaleEpoch": 503, "BodyTimeout": 408,
        "CorruptRecord": 500, "UnsupportedMediaType": 415, "UnsupportedEncoding": 415,
    }.items()  # fmt: skip
    codes = [kind.code for kind in leaves(errors.UoroError) if "code" in vars(kind)]
    assert len(codes) == len(set(codes))


def request_of(*messages: dict[str, Any]) -> Request:
    """A request whose body arrives in these messages, and then nothing more."""
    coming = list(messages)

    async def receive() -> dict[str, Any]:
        if not coming:
            await asyncio.Event().wait()
        return coming.pop(0)

    return Request({"type": "http", "headers": []}, receive)


CHUNK = {"type": "http.request", "body": b"ab", "more_body": True}
END = {"type": "http.request", "body": b"c"}
GONE = {"type": "http.disconnect"}


def test_a_body_in_chunks_is_joined() -> None:
    """And bounded: at the limit it is whole, one byte less is too large."""
    assert asyncio.run(read_body(request_of(CHUNK, CHUNK, END), 5)) == b"ababc"
    with pytest.raises(errors.BodyTooLarge):
        asyncio.run(read_body(request_of(CHUNK, CHUNK, END), 4))


@pytest.mark.parametrize("bound", ["chunk_timeout_s", "body_timeout_s"])
def test_a_body_that_does_not_arrive_is_given_up(bound: str) -> None:
    """Whether a chunk or the whole takes too long, it is 408 and the connection closes."""
    with pytest.raises(problems.BodyTimeout) as caught:
        asyncio.run(read_body(request_of(CHUNK), 100, **{bound: 0.01}))
    reply = problems.response_of(caught.value)
    assert (reply.status_code, reply.headers["connection"]) == (408, "close")


def test_a_client_that_leaves_midway_is_no_body() -> None:
    """What had come is not taken for all of it."""
    with pytest.raises(ClientDisconnect):
        asyncio.run(read_body(request_of(CHUNK, GONE), 100))


def test_a_client_that_leaves_midway_changes_nothing(server: Server) -> None:
    """Complete lines that came before it left are not learned; the request is measured as 499."""
    stream = server.create()
    messages = [{"type": "http.request", "body": b'{"x":{"v":1}}\n', "more_body": True}, GONE]
    scope = {
        "type": "http", "method": "POST", "path": f"/v1/streams/{stream}/observations", "query_string": b"",
        "headers": [(b"content-type", b"application/x-ndjson")], "state": {},
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(_: dict[str, Any]) -> None: ...

    asyncio.run(server.client.app(scope, receive, send))  # type: ignore[arg-type, call-arg]
    assert server.meter.requests[-1][2] == 499
    assert server.last_seq(stream) == 0


def test_metrics_have_no_member_that_the_document_lacks(server: Server) -> None:
    """Every member of the domain's metrics is told."""
    stream = server.create()
    server.observe(stream, 1.0)
    told = server.client.get(f"/v1/streams/{stream}/metrics").json()
    assert set(told) == {"stream", *Metrics.__struct_fields__}
