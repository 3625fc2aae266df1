"""Every call of the contract, against a real engine: what it answers and what it changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from api_ground import SMALL, Server, quote, serving
from pydantic import TypeAdapter
from safetensors.numpy import load

from uoro.api import schemas


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests of this file; each makes streams of its own."""
    with serving() as ground:
        yield ground


@pytest.fixture(scope="module")
def open_server() -> Iterator[Server]:
    """A server that creates unknown streams."""
    with serving(auto_create=True) as ground:
        yield ground


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of a response, which must be one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    schemas.Problem.model_validate(document)
    assert (document["status"], document["code"]) == (status, code)
    return document


def test_put_creates_then_answers_the_same_then_refuses_another_spec(server: Server) -> None:
    """201, 200, 409 `stream_exists`; the stream document is the same and holds the defaults."""
    path = "/v1/streams/put"
    first = server.client.put(path, json={"spec": SMALL, "labels": {"site": "north"}})
    again = server.client.put(path, json={"spec": SMALL, "labels": {"site": "north"}})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == server.client.get(path).json()
    schemas.Stream.model_validate(first.json())
    assert first.json()["labels"] == {"site": "north"}
    assert first.json()["spec"]["cell"] == "gru"
    assert (first.json()["state"], first.json()["last_seq"], first.json()["expected_seq"]) == ("learning", 0, 1)
    problem(server.client.put(path, json={"spec": {**SMALL, "seed": 1}}), 409, "stream_exists")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "invalid_spec"),
        (b"{}", 422, "invalid_spec"),
        (b'{"spec": null}', 422, "invalid_spec"),
        (b'{"spec": {"fields": {}}}', 422, "invalid_spec"),
        (b'{"spec": {"fields": {"v": {"type": "number"}}, "typo": 1}}', 422, "invalid_spec"),
        (b'{"spec": {"fields": {"\\ud800": {"type": "number"}}}}', 422, "invalid_spec"),
        (b'{"spec": {"fields": {"v": {"type": "number"}}, "seed": 1e400}}', 422, "invalid_spec"),
        (b'{"spec": {"fields": {"v": {"type": "number"}}, "optimizer": {"clip": NaN}}}', 422, "invalid_spec"),
        (b'{"spec": {"fields": {"v": {"type": "number"}}}, "label": {}}', 422, "invalid_request"),
        (b'{"spec": {"fields": {"v": {"type": "number"}}}, "labels": {"a": 1}}', 422, "invalid_request"),
        (b'{"spec": {"fields": {"v": {"type": "number"}}}, "labels": {"a:b": "c"}}', 422, "invalid_request"),
        (b'{"spec": {"fields": {"v": {"type": "number"}}}, "labels": {"a": "\\udfff"}}', 422, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b"{", 400, "malformed_body"),
        (b"[" * 100_000, 400, "malformed_body"),
        (b'{"spec": "\xff"}', 400, "malformed_body"),
    ],
)
def test_put_refuses_what_is_no_stream(server: Server, content: bytes, status: int, code: str) -> None:
    """A spec that cannot be built, unknown keys, bad labels and broken JSON create nothing."""
    problem(server.client.put("/v1/streams/never", content=content), status, code)
    problem(server.client.get("/v1/streams/never"), 404, "unknown_stream")


def test_labels_are_taken_at_their_limit_and_refused_beyond(server: Server) -> None:
    """32 labels of 64 and 200 characters fit; one more of anything does not."""
    full = {f"{i:064}": "x" * 200 for i in range(32)}
    body: dict[str, Any] = {"spec": SMALL, "labels": full}
    assert server.client.put("/v1/streams/labelled", json=body).status_code == 201
    for labels in ({**full, "one": "more"}, {"k" * 65: "v"}, {"k": "v" * 201}):
        problem(server.client.put("/v1/streams/over", json={**body, "labels": labels}), 422, "invalid_request")


def test_delete_forgets(server: Server) -> None:
    """204 once, then 404 `unknown_stream`."""
    stream = server.create()
    assert server.client.delete(f"/v1/streams/{stream}").status_code == 204
    problem(server.client.delete(f"/v1/streams/{stream}"), 404, "unknown_stream")
    problem(server.client.get(f"/v1/streams/{stream}"), 404, "unknown_stream")


def test_pages_cover_every_stream_once(server: Server) -> None:
    """Following the opaque cursor visits all streams of a prefix in order, without an empty last page."""
    names = sorted(server.create("page/x:") for _ in range(6))
    seen, cursor, pages = [], None, 0
    while True:
        query = {"limit": "2", "prefix": "page/"} | ({"cursor": cursor} if cursor else {})
        page = server.client.get("/v1/streams", params=query).json()
        schemas.StreamPage.model_validate(page)
        seen += [stream["id"] for stream in page["streams"]]
        pages += 1
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert (seen, pages) == (names, 3)


def test_streams_are_listed_by_all_labels_given(server: Server) -> None:
    """`label` may be repeated; a stream must carry every pair."""
    for name, labels in (("l1", {"a": "1", "b": "2"}), ("l2", {"a": "1"}), ("l3", {"a": "x:y"})):
        server.client.put(f"/v1/streams/{name}", json={"spec": SMALL, "labels": labels})

    def listed(*pairs: str) -> list[str]:
        reply = server.client.get("/v1/streams", params=[("label", pair) for pair in pairs])
        return [stream["id"] for stream in reply.json()["streams"]]

    assert listed("a:1") == ["l1", "l2"]
    assert listed("a:1", "b:2") == ["l1"]
    assert listed("a:x:y") == ["l3"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1001", "limit=x", "limit=1.5", "limit=", "limit=٣", "cursor=%21", "cursor=_-8=",
        "cursor=YQ", "cursor=%C3%A9", "label=a", "label=:v", "label=a:1&label=a:2", "prefix=" + "p" * 201,
    ],
)  # fmt: skip
def test_bad_list_parameters_are_named(server: Server, query: str) -> None:
    """422 with the parameter in `field`."""
    document = problem(server.client.get(f"/v1/streams?{query}"), 422, "invalid_request")
    assert document["field"] == query.partition("=")[0]


def test_the_largest_page_is_taken(server: Server) -> None:
    """limit=1000 is the limit itself."""
    assert server.client.get("/v1/streams?limit=1000").status_code == 200


def test_one_observation_is_answered_as_the_contract_says(server: Server) -> None:
    """Exactly the members of the contract; the prediction is what the reply before it called next."""
    stream = server.create()
    first = server.post(stream, b'{"x": {"v": 1.5, "k": true}, "t": "2026-01-31T12:00:00Z"}').json()
    second = server.post(stream, b'{"x": {"v": 2, "k": "b"}, "t": 1769860860}').json()
    schemas.Reply.model_validate(first)
    schemas.Reply.model_validate(second)
    assert set(first) == {
        "stream", "seq", "t", "duplicate", "prediction", "loss", "baseline_loss", "anomaly", "next",
    }  # fmt: skip
    assert (first["stream"], first["seq"], first["duplicate"]) == (stream, 1, False)
    assert first["prediction"] is None
    assert first["t"] == "2026-01-31T12:00:00Z"
    assert second["prediction"] == first["next"]
    assert "true" in first["next"]["k"]["probabilities"]
    assert second["t"] == 1769860860


def test_several_observations_are_answered_together(server: Server) -> None:
    """Counts, the mean of the losses, the newest next; results only when asked for."""
    stream = server.create()
    reply = server.client.post(
        f"/v1/streams/{stream}/observations?results=full", json=[{"x": {"v": float(v)}} for v in (1, 2, 4)]
    ).json()
    schemas.SeveralReply.model_validate(reply)
    losses = [r["loss"] for r in reply["results"] if r["loss"] is not None]
    assert (reply["accepted"], reply["duplicates"], reply["rejected"], reply["errors"]) == (3, 0, 0, [])
    assert reply["loss"] == pytest.approx(sum(losses) / len(losses))
    assert reply["next"] == reply["results"][-1]["next"]
    assert [r["seq"] for r in reply["results"]] == [1, 2, 3]
    assert "results" not in server.observe(stream, 8.0).json()


def test_a_misfit_is_refused_by_itself(server: Server) -> None:
    """An observation that does not fit, found here or by the engine, has its index; the others are learned."""
    stream = server.create()
    document: list[Any] = [
        {"x": {"v": 1}}, {"x": {"v": [1]}}, {"x": {"other": 1}}, {"x": {"v": 2}}, 7, {"x": {}, "seq": 9},
    ]  # fmt: skip
    reply = server.client.post(f"/v1/streams/{stream}/observations", json=document).json()
    schemas.SeveralReply.model_validate(reply)
    assert (reply["accepted"], reply["rejected"]) == (2, 4)
    told = [(e["index"], e["code"], e.get("field"), e.get("expected_seq")) for e in reply["errors"]]
    assert told == [
        (1, "invalid_observation", "v", None),
        (2, "invalid_observation", "other", None),
        (4, "invalid_observation", None, None),
        (5, "out_of_sequence", None, 3),
    ]
    assert server.last_seq(stream) == 2
    assert server.meter.refusals["invalid_observation"] >= 2


def test_all_refused_and_none_at_all_are_answers(server: Server) -> None:
    """An array of misfits is 200 with at most a hundred errors; an empty one is 200 with zeros."""
    stream = server.create()
    reply = server.client.post(f"/v1/streams/{stream}/observations", json=[{"x": {"v": []}}] * 101)
    assert (reply.status_code, reply.json()["rejected"], len(reply.json()["errors"])) == (200, 101, 100)
    for content, content_type in ((b"[]", "application/json"), (b"\n \n", "application/x-ndjson")):
        empty = server.post(stream, content, content_type=content_type).json()
        assert empty == {
            "accepted": 0, "duplicates": 0, "rejected": 0, "errors": [], "loss": None, "next": None,
        }  # fmt: skip
    assert server.last_seq(stream) == 0


def test_ndjson_is_read_by_content_type(server: Server) -> None:
    """Lines in order, blank ones skipped, parameters of the content type allowed, one line is still several."""
    stream = server.create()
    content = b'{"x":{"v":1}}\r\n\n{"x":{"v":2}}\n  \n{"x":{"v":[]}}'
    reply = server.post(stream, content, content_type="Application/X-NDJSON; charset=utf-8").json()
    assert (reply["accepted"], [e["index"] for e in reply["errors"]]) == (2, [2])
    assert server.post(stream, b'{"x":{"v":3}}', content_type="application/x-ndjson").json()["accepted"] == 1


def test_one_malformed_line_changes_nothing(server: Server) -> None:
    """400 that names the line; the good ones before it were not learned."""
    stream = server.create()
    for content in (b'{"x":{"v":1}}\n\n{"x":', b'{"x":{"v":1}}\n\n{"x":{}} {"x":{}}', b'{"x":{"v":1}}\n\n"\xff"'):
        reply = server.post(stream, content, content_type="application/x-ndjson")
        assert "line 3" in problem(reply, 400, "malformed_body")["detail"]
    assert server.last_seq(stream) == 0


def test_sequence_numbers_make_retries_safe(server: Server) -> None:
    """Next: learned. At or below: the kept result. Beyond: 409 with the expected one."""
    stream = server.create()
    body = b'{"x": {"v": 3.5}, "seq": 1}'
    first, again = server.post(stream, body).json(), server.post(stream, body).json()
    assert again == {**first, "duplicate": True}
    document = problem(server.post(stream, b'{"x": {"v": 1}, "seq": 3}'), 409, "out_of_sequence")
    assert document["expected_seq"] == 2
    assert server.last_seq(stream) == 1
    document = problem(
        server.post(stream, b'[{"x": {"v": 1}, "seq": 3}, {"x": {"v": 1}, "seq": 4}]'), 409, "out_of_sequence"
    )
    assert document["expected_seq"] == 2


def test_a_duplicate_that_is_no_longer_kept_has_only_its_place(server: Server) -> None:
    """After more observations than are kept, a retry of the first knows its seq and nothing else."""
    stream = server.create()
    server.observe(stream, *map(float, range(70)))
    reply = server.post(stream, b'{"x": {"v": 0}, "seq": 1}').json()
    schemas.Reply.model_validate(reply)
    assert {key for key, value in reply.items() if value is not None} == {"stream", "seq", "duplicate"}
    assert (reply["seq"], reply["duplicate"]) == (1, True)


def test_observations_of_many_streams_in_one_request(server: Server) -> None:
    """Each line goes to its stream; refusals have their index; each existing stream has its share."""
    one, two = server.create("many/"), server.create("many/")
    documents = [
        {"stream": one, "x": {"v": 1}}, {"stream": two, "x": {"v": 1}}, {"stream": one, "x": {"v": 2}},
        {"stream": "absent", "x": {"v": 1}}, {"x": {"v": 1}}, {"stream": "?", "x": {"v": 1}},
        {"stream": two, "x": {"v": 1}, "seq": 1},
    ]  # fmt: skip
    lines = b"\n".join(json.dumps(document).encode() for document in documents)
    headers = {"content-type": "application/x-ndjson"}
    reply = server.client.post("/v1/observations", content=lines, headers=headers).json()
    schemas.StreamsReply.model_validate(reply)
    assert reply["streams"] == {one: {"accepted": 2, "last_seq": 2}, two: {"accepted": 1, "last_seq": 1}}
    assert (reply["accepted"], reply["duplicates"], reply["rejected"]) == (3, 1, 3)
    told = [(e["index"], e["code"]) for e in reply["errors"]]
    assert told == [(3, "unknown_stream"), (4, "invalid_request"), (5, "invalid_request")]
    full = server.client.post("/v1/observations?results=full", json=documents[:2]).json()
    assert [(r["stream"], r["seq"]) for r in full["results"]] == [(one, 3), (two, 2)]


def test_an_unknown_stream_is_404_in_every_call(server: Server) -> None:
    """Without automatic creation nothing answers for a stream that is not there."""
    path = "/v1/streams/absent"
    for method, below, body in (
        ("POST", "/observations", {"x": {"v": 1}}), ("POST", "/observations", [{"x": {"v": 1}}]),
        ("GET", "/prediction", None), ("GET", "/metrics", None), ("GET", "/results", None),
        ("POST", "/freeze", None), ("POST", "/unfreeze", None), ("GET", "/snapshots", None),
        ("POST", "/snapshots", {"name": "n"}), ("POST", "/snapshots/n/restore", None), ("GET", "/export", None),
        ("POST", "/clone", {"to": "other"}),
    ):  # fmt: skip
        problem(server.client.request(method, path + below, json=body), 404, "unknown_stream")


def test_automatic_creation_infers_the_fields(open_server: Server) -> None:
    """With it, the first observation makes the stream."""
    reply = open_server.client.post("/v1/streams/new%2Fone/observations", json={"x": {"a": 1, "b": False}})
    assert reply.json()["seq"] == 1
    fields = open_server.client.get("/v1/streams/new%2Fone").json()["spec"]["fields"]
    assert (fields["a"]["type"], fields["b"]["type"]) == ("number", "category")


def test_a_prediction_changes_nothing(server: Server) -> None:
    """Null before the first observation; then the same each time, its first step the same at every horizon."""
    stream = server.create()
    path = f"/v1/streams/{stream}/prediction"
    assert server.client.get(path).json() == {"stream": stream, "seq": 1, "prediction": None}
    empty = server.client.get(path, params={"horizon": 3}).json()
    assert (empty["prediction"], empty["predictions"]) == (None, [])
    server.observe(stream, 1.0, 2.0)
    plain, far = server.client.get(path).json(), server.client.get(path, params={"horizon": 500}).json()
    schemas.PredictionReply.model_validate(far)
    assert set(plain) == {"stream", "seq", "prediction"}
    assert (plain["seq"], far["horizon"], len(far["predictions"])) == (3, 500, 500)
    assert far["predictions"][0] == far["prediction"] == plain["prediction"]
    assert server.client.get(path).json() == plain
    for horizon in ("0", "501", "-1", "x", "1e2", ""):
        document = problem(server.client.get(path, params={"horizon": horizon}), 422, "invalid_request")
        assert document["field"] == "horizon"


def test_metrics_and_results_of_a_stream(server: Server) -> None:
    """All metrics under the stream's name; results newest last, twenty by default, at most 64."""
    stream = server.create()
    path = f"/v1/streams/{stream}"
    server.observe(stream, *map(float, range(70)))
    metrics = server.client.get(f"{path}/metrics").json()
    schemas.Metrics.model_validate(metrics)
    assert (metrics["stream"], metrics["observations"]) == (stream, 70)
    schemas.RecentResults.model_validate(server.client.get(f"{path}/results").json())
    for query, first in (("", 51), ("?limit=64", 7), ("?limit=1", 70)):
        results = server.client.get(f"{path}/results{query}").json()["results"]
        assert [r["seq"] for r in results] == list(range(first, 71))
    problem(server.client.get(f"{path}/results?limit=65"), 422, "invalid_request")


def test_a_frozen_stream_says_so(server: Server) -> None:
    """Freeze and unfreeze answer the stream document; the state goes there and back."""
    stream = server.create()
    path = f"/v1/streams/{stream}"
    frozen = server.client.post(f"{path}/freeze")
    assert (frozen.status_code, frozen.json()["state"], frozen.json()["status"]) == (200, "frozen", "frozen")
    assert server.observe(stream, 1.0).json()["accepted"] == 1
    assert server.client.post(f"{path}/unfreeze").json()["state"] == "learning"


def test_snapshots_are_kept_listed_and_restored(server: Server) -> None:
    """201, 200, 200; restoring brings the place and the prediction back."""
    stream = server.create()
    path = f"/v1/streams/{stream}"
    server.observe(stream, 1.0, 2.0)
    before = server.client.get(f"{path}/prediction").json()
    kept = server.client.post(f"{path}/snapshots", json={"name": "v1.0"})
    assert (kept.status_code, kept.json()["name"], kept.json()["seq"]) == (201, "v1.0", 2)
    server.observe(stream, 9.0)
    listed = server.client.get(f"{path}/snapshots").json()
    schemas.SnapshotList.model_validate(listed)
    assert listed["snapshots"] == [kept.json()]
    restored = server.client.post(f"{path}/snapshots/v1.0/restore")
    assert (restored.status_code, restored.json()["last_seq"]) == (200, 2)
    assert server.client.get(f"{path}/prediction").json() == before
    problem(server.client.post(f"{path}/snapshots/other/restore"), 404, "unknown_snapshot")
    problem(server.client.post(f"{path}/snapshots/%20/restore"), 422, "invalid_request")


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "a/b"}, {"name": 1}, {"name": "n", "x": 1}, {"name": "n" * 101}, []]
)
def test_a_snapshot_needs_a_proper_name(server: Server, body: object) -> None:
    """Anything else is 422 and keeps nothing."""
    stream = server.create()
    problem(server.client.post(f"/v1/streams/{stream}/snapshots", json=body), 422, "invalid_request")
    assert server.client.get(f"/v1/streams/{stream}/snapshots").json() == {"snapshots": []}


def test_export_and_import_carry_a_whole_model(server: Server) -> None:
    """The file makes the same stream elsewhere; it replaces one only when told to; damage is 422."""
    stream = server.create("plant/3:")
    server.observe(stream, 1.0, 2.0)
    file = server.client.get(f"/v1/streams/{quote(stream)}/export")
    assert file.headers["content-type"] == "application/octet-stream"
    name = file.headers["content-disposition"].partition("filename=")[2]
    assert name == '"' + stream.replace("/", "_").replace(":", "_") + '.safetensors"'
    taken = server.client.put("/v1/streams/imported/import", content=file.content)
    assert (taken.status_code, taken.json()["last_seq"]) == (201, 2)
    problem(server.client.put("/v1/streams/imported/import", content=file.content), 409, "stream_exists")
    again = server.client.put("/v1/streams/imported/import?replace=true", content=file.content)
    assert again.status_code == 201
    problem(server.client.put("/v1/streams/bad/import", content=file.content[:-1]), 422, "invalid_import")
    problem(server.client.put("/v1/streams/bad/import", content=b""), 422, "invalid_import")
    problem(server.client.put("/v1/streams/bad/import?replace=maybe", content=b""), 422, "invalid_request")
    problem(server.client.get("/v1/streams/bad"), 404, "unknown_stream")


def test_a_stream_of_an_lru_does_all_that_a_stream_does(server: Server) -> None:
    """One array or one by one, the exported bits are equal; frozen, restored and imported it goes on."""
    spec = {**SMALL, "cell": "lru", "learner": {"name": "rtrl"}}
    for name in ("whole", "piecewise"):
        created = server.client.put(f"/v1/streams/lru-{name}", json={"spec": spec})
        assert (created.status_code, created.json()["spec"]["cell"]) == (201, "lru")
    observations = [{"x": {"v": float(i % 7)}, "t": 60.0 * i} for i in range(20)]
    assert server.client.post("/v1/streams/lru-whole/observations", json=observations).json()["accepted"] == 20
    for observation in observations:
        server.client.post("/v1/streams/lru-piecewise/observations", json=[observation])
    whole, piecewise = (server.client.get(f"/v1/streams/lru-{n}/export").content for n in ("whole", "piecewise"))
    parts = load(piecewise)
    assert all(value.tobytes() == parts.pop(name).tobytes() for name, value in load(whole).items())
    assert not parts
    path = "/v1/streams/lru-whole"
    assert server.client.get(f"{path}/metrics").json()["influence_norm"].keys() == {"influence"}
    assert server.client.post(f"{path}/snapshots", json={"name": "v1"}).status_code == 201
    assert server.client.post(f"{path}/freeze").json()["state"] == "frozen"
    server.observe("lru-whole", 3.0)
    assert server.client.post(f"{path}/unfreeze").json()["state"] == "learning"
    assert server.client.post(f"{path}/snapshots/v1/restore").json()["last_seq"] == 20
    assert (
        load(server.client.get(f"{path}/export").content)["core.theta"].tolist() == load(whole)["core.theta"].tolist()
    )
    taken = server.client.put("/v1/streams/lru-imported/import", content=whole)
    assert (taken.status_code, taken.json()["last_seq"]) == (201, 20)
    server.observe("lru-imported", 1.0)
    assert server.client.get("/v1/streams/lru-imported/metrics").json()["numeric_resets"] == 0


def test_a_clone_starts_from_the_same_model(server: Server) -> None:
    """201; both predict the same; the target must be free and an id."""
    stream = server.create()
    server.observe(stream, 1.0, 2.0)
    path = f"/v1/streams/{stream}"
    reply = server.client.post(f"{path}/clone", json={"to": "twin/1"})
    assert (reply.status_code, reply.json()["id"], reply.json()["last_seq"]) == (201, "twin/1", 2)
    predictions = [server.client.get(f"{p}/prediction").json() for p in (path, "/v1/streams/twin%2F1")]
    assert predictions[0]["prediction"] == predictions[1]["prediction"]
    problem(server.client.post(f"{path}/clone", json={"to": "twin/1"}), 409, "stream_exists")
    for body in ({"to": "/x"}, {"to": 1}, {}, {"to": "x", "y": 1}):
        problem(server.client.post(f"{path}/clone", json=body), 422, "invalid_request")


def test_operations(server: Server) -> None:
    """Alive, ready, metrics as Prometheus text, documentation; the root leads there."""
    assert server.client.get("/livez").json() == {"status": "alive"}
    assert server.client.get("/readyz").json() == {"status": "ready"}
    verbose = server.client.get("/readyz?verbose").json()
    assert set(verbose["checks"].values()) == {"ok"}
    metrics = server.client.get("/metrics")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert metrics.content == b"uoro_streams 1\n"
    assert server.client.get("/docs").status_code == 200
    page = server.client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("stream", ["a/b/observations", "x/ws", "x/import", "A.b_c-d:e", "a//b", "9" * 200])
def test_ids_with_slashes_are_ids(server: Server, stream: str) -> None:
    """Percent-encoded in the path, whatever route their ends look like; `:` may come either way."""
    path = "/v1/streams/" + stream.replace("/", "%2f")
    assert server.client.put(path, json={"spec": SMALL}).json()["id"] == stream
    assert server.client.post(f"{path}/observations", json={"x": {"v": 1}}).json()["stream"] == stream
    assert server.client.get(path.replace(":", "%3A")).json()["last_seq"] == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/streams/a/b", 404, "not_found"),
        ("/v1/streams/a/observations/b", 404, "not_found"),
        ("/v1/streams/", 404, "not_found"),
        ("/v1//streams", 404, "not_found"),
        ("/v1/streams/a%252Fb", 422, "invalid_request"),
        ("/v1/streams/%2Fa", 422, "invalid_request"),
        ("/v1/streams/%20", 422, "invalid_request"),
        ("/v1/streams/%ff", 422, "invalid_request"),
        ("/v1/streams/%zz", 422, "invalid_request"),
        ("/v1/streams/a%0A", 422, "invalid_request"),
        ("/v1/streams/" + "a" * 201, 422, "invalid_request"),
        ("/v1/streams/%C3%A9", 422, "invalid_request"),
    ],
)
def test_paths_that_name_no_stream(server: Server, path: str, status: int, code: str) -> None:
    """A slash that is not encoded is one of the path; what decodes to no id is 422."""
    problem(server.client.get(path), status, code)


def test_replies_are_the_documented_shapes(server: Server) -> None:
    """Numbers are finite JSON: a strict parser reads what was written."""
    stream = server.create()
    text = server.post(stream, b'[{"x":{"v":1e30}},{"x":{"v":-1e30}},{"x":{"v":1}}]', params={"results": "full"})
    reply = TypeAdapter(schemas.SeveralReply).validate_python(msgspec.json.decode(text.content))
    assert reply.accepted == 3
