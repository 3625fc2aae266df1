"""Remote writes against a real engine: what is learned, passed over and refused, and what is told of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_ground import SMALL, Server, quote, serving
from key_ground import guarded
from remote_write_ground import (
    COUNTER,
    GAUGE,
    ONE,
    STALE,
    TWO,
    Line,
    message_one,
    message_two,
    num_written,
    packed,
    varint,
    write,
    write_one,
)

from uoro.api.series import Book
from uoro.domain import Observation, Run
from uoro.engine.engine import Engine
from uoro.errors import Overloaded, StoreUnavailable
from uoro.ingest.naming import Naming, SeriesRules
from uoro.limits import MAX_LABELS, Limits

UP = {"__name__": "up", "job": "node"}
HITS = {"__name__": "hits_total", "job": "node"}
UP_ID, HITS_ID = "up/job:node", "hits_total/job:node"


@pytest.fixture
def server() -> Iterator[Server]:
    """One that makes streams as they come."""
    with serving(auto_create=True) as server:
        yield server


def results(server: Server, stream: str) -> list[tuple[str, float | None]]:
    """(time, newest known value of the first field) of a stream's results."""
    found = server.client.get(f"/v1/streams/{quote(stream)}/results", params={"limit": 64}).json()["results"]
    return [(its["t"], next(iter(its["x"].values()))) for its in found]


def described(server: Server, stream: str) -> dict[str, Any]:
    return dict(server.client.get(f"/v1/streams/{quote(stream)}").json())


@pytest.mark.parametrize(
    ("message", "content_type"),
    [
        (message_one([(UP, [(1_500, 1.0)]), (HITS, [(1_500, 7.0)])]), ONE),
        (message_one([(UP, [(1_500, 1.0)]), (HITS, [(1_500, 7.0)])]), ONE + "; proto=prometheus.WriteRequest"),
        (message_two([(UP, [(1_500, 1.0)]), (HITS, [(1_500, 7.0)])]), TWO),
    ],
)
def test_each_series_becomes_a_stream(server: Server, message: bytes, content_type: str) -> None:
    """With its labels, a number field, and its samples at their times; nothing is in the answer but its counts."""
    answer = write(server.client, message, content_type)
    assert (answer.status_code, answer.content, num_written(answer)) == (204, b"", 2)
    assert answer.headers["x-prometheus-remote-write-histograms-written"] == "0"
    assert answer.headers["x-prometheus-remote-write-exemplars-written"] == "0"
    up, hits = described(server, UP_ID), described(server, HITS_ID)
    assert {k: v for k, v in up["labels"].items() if k != "__series__"} == UP
    assert (list(up["spec"]["fields"]), list(hits["spec"]["fields"])) == (["value"], ["rate"])
    assert results(server, UP_ID) == [("1970-01-01T00:00:01.500000Z", 1.0)]
    assert server.meter.ingested_samples == {"learned": 1, "missing": 1, "duplicate": 0, "stale": 0}


def test_what_is_sent_again_is_learned_once(server: Server) -> None:
    """The same request, and one that overlaps; counters go on from where they were."""
    for samples in ([(1_000, 1.0), (2_000, 3.0)], [(1_000, 1.0), (2_000, 3.0)], [(2_000, 3.0), (3_000, 9.0)]):
        assert num_written(write_one(server.client, (UP, samples), (HITS, samples))) == 4
    assert [value for _, value in results(server, UP_ID)] == [1.0, 3.0, 9.0]
    assert results(server, HITS_ID)[1:] == [
        ("1970-01-01T00:00:02Z", 2.0),
        ("1970-01-01T00:00:03Z", 6.0),
    ]
    assert server.meter.ingested_samples["duplicate"] == 6


def test_a_service_that_knows_nothing_any_more_learns_nothing_twice(server: Server) -> None:
    """After a restart the stream itself tells its newest time; a counter that is sent again misses no rate."""
    write_one(server.client, (UP, [(1_000, 1.0)]), (HITS, [(1_000, 1.0)]))
    write_one(server.client, (UP, [(2_000, 2.0)]), (HITS, [(2_000, 2.0)]))
    forget_all(server)
    answer = write_one(server.client, (UP, [(2_000, 2.0), (3_000, 3.0)]), (HITS, [(2_000, 2.0), (3_000, 4.0)]))
    assert (answer.status_code, num_written(answer)) == (204, 4)
    assert [value for _, value in results(server, UP_ID)] == [1.0, 2.0, 3.0]
    assert [value for _, value in results(server, HITS_ID)][1:] == [1.0, 2.0]
    forget_all(server)
    write_one(server.client, (HITS, [(4_000, 5.0)]))
    write_one(server.client, (HITS, [(5_000, 8.0)]))
    assert server.last_seq(HITS_ID) == 5
    assert server.meter.ingested_samples["missing"] == 2  # the first of all, and the first that was not sent again
    assert results(server, HITS_ID)[-1][1] == 3.0


def forget_all(server: Server) -> None:
    """What a restart does to what the receiver has in memory."""
    book_of(server)._known.clear()


def book_of(server: Server) -> Book:
    app: Any = server.client.app
    while not hasattr(app, "routes"):
        app = app._app
    (route,) = (route for route in app.routes if route.path == "/api/v1/write")
    book = route.endpoint.__self__._receiver._book
    assert isinstance(book, Book)
    return book


def test_another_writer_comes_between(server: Server) -> None:
    """Its observations move the stream on; what comes from Prometheus follows, and loses and doubles nothing."""
    write_one(server.client, (UP, [(1_000, 1.0)]))
    path = f"/v1/streams/{quote(UP_ID)}/observations"
    assert server.client.post(path, json={"x": {"value": 50.0}}).status_code == 200
    assert num_written(write_one(server.client, (UP, [(1_000, 1.0), (2_000, 2.0)]))) == 2
    assert [value for _, value in results(server, UP_ID)] == [1.0, 50.0, 2.0]


def test_a_writer_that_comes_between_the_look_and_the_log(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is refused as a whole and made anew; after some tries the sender is told to come again."""
    write_one(server.client, (UP, [(1_000, 1.0)]))
    observe = Engine.observe
    rivals: list[Future[Any]] = []

    def observe_late(engine: Engine, runs: Any) -> Any:
        if len(rivals) < num_rivals and runs[0].after is not None:
            rival = [(UP_ID, 50.0 + len(rivals))]
            rivals.append(observe(engine, [_run(stream, value) for stream, value in rival]))
        return observe(engine, runs)

    monkeypatch.setattr(Engine, "observe", observe_late)
    num_rivals = 2
    assert write_one(server.client, (UP, [(2_000, 2.0), (3_000, 3.0)])).status_code == 204
    assert [value for _, value in results(server, UP_ID)] == [1.0, 50.0, 51.0, 2.0, 3.0]
    num_rivals = 5
    answer = write_one(server.client, (UP, [(4_000, 4.0)]))
    assert (answer.status_code, answer.headers["retry-after"], num_written(answer)) == (503, "1", 0)
    assert [value for _, value in results(server, UP_ID)][-3:] == [52.0, 53.0, 54.0]


def _run(stream: str, value: float) -> Any:
    return Run(stream, [Observation({"value": value})], (0,))


def test_two_writes_at_once_learn_once(server: Server) -> None:
    """A sender that lost patience sends again while the first request is still being learned."""
    message = packed(message_one([(UP, [(ms, float(ms)) for ms in range(1, 40)])]))
    headers = {"content-type": ONE, "content-encoding": "snappy"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: server.client.post("/api/v1/write", content=message, headers=headers), range(8))
        )
    assert {answer.status_code for answer in answers} <= {204, 503}
    assert any(answer.status_code == 204 for answer in answers)
    assert [value for _, value in results(server, UP_ID)] == [float(ms) for ms in range(1, 40)]


def test_a_stream_that_was_deleted_begins_anew(server: Server) -> None:
    """Whatever the receiver believed of it."""
    write_one(server.client, (UP, [(1_000, 1.0), (2_000, 2.0)]))
    assert server.client.delete(f"/v1/streams/{quote(UP_ID)}").status_code == 204
    assert num_written(write_one(server.client, (UP, [(3_000, 3.0)]))) == 1
    assert [value for _, value in results(server, UP_ID)] == [3.0]


def test_a_restored_snapshot_takes_the_time_back_with_it(server: Server) -> None:
    """The model of then has not seen what came since, so it may come again."""
    write_one(server.client, (UP, [(1_000, 1.0)]))
    path = f"/v1/streams/{quote(UP_ID)}"
    server.client.post(f"{path}/snapshots", json={"name": "then"})
    write_one(server.client, (UP, [(2_000, 2.0)]))
    server.client.post(f"{path}/snapshots/then/restore")
    write_one(server.client, (UP, [(1_000, 1.0), (2_000, 5.0)]))
    assert [value for _, value in results(server, UP_ID)] == [1.0, 5.0]


def test_stale_markers_and_nan(server: Server) -> None:
    """A marker is no observation; another NaN is one without a value. Both count as written."""
    answer = write_one(server.client, (UP, [(1_000, 1.0), (2_000, STALE), (3_000, math.nan), (4_000, 4.0)]))
    assert (answer.status_code, num_written(answer)) == (204, 4)
    assert server.last_seq(UP_ID) == 3
    assert server.meter.ingested_samples == {"learned": 2, "missing": 1, "duplicate": 0, "stale": 1}


def test_the_type_has_the_last_word_and_the_stream_the_very_last() -> None:
    """A gauge with a counter's name is learned as it is; and a stream goes on as what it began as."""
    with serving(auto_create=True) as server:
        write(server.client, message_two([(HITS, [(1_000, 4.0)])], metric_type=GAUGE), TWO)
        assert results(server, HITS_ID) == [("1970-01-01T00:00:01Z", 4.0)]
        write(server.client, message_two([(HITS, [(2_000, 3.0)])], metric_type=COUNTER), TWO)
        write_one(server.client, (HITS, [(3_000, 5.0)]))
        assert [value for _, value in results(server, HITS_ID)] == [4.0, 3.0, 5.0]


def test_counters_may_stay_what_they_are() -> None:
    """Where the setting says so."""
    with serving(auto_create=True, series=SeriesRules(is_rating=False)) as server:
        write_one(server.client, (HITS, [(1_000, 4.0)]))
        assert list(described(server, HITS_ID)["spec"]["fields"]) == ["value"]


def test_only_the_metrics_that_are_asked_for_are_learned() -> None:
    """By their whole name; what is left out counts as written, since nobody failed."""
    with serving(auto_create=True, series=SeriesRules(taken=re.compile("up|node_.*"))) as server:
        answer = write_one(server.client, (UP, [(1, 1.0)]), ({"__name__": "upper"}, [(1, 1.0)]))
        assert (answer.status_code, num_written(answer)) == (204, 2)
        assert [its["id"] for its in server.client.get("/v1/streams").json()["streams"]] == [UP_ID]
        assert server.meter.ingested_samples["left_out"] == 1


def test_two_series_that_a_template_throws_together() -> None:
    """The first has the stream; the second is refused, before and after a restart."""
    other: Line = ({"__name__": "up", "job": "db"}, [(1_000, 9.0)])
    with serving(auto_create=True, series=SeriesRules(naming=Naming("{__name__}"))) as server:
        assert write_one(server.client, (UP, [(1_000, 1.0)])).status_code == 204
        for _ in range(2):
            answer = write_one(server.client, other, (UP, [(1_000, 1.0)]))
            problem = answer.json()
            assert (answer.status_code, problem["code"], num_written(answer)) == (400, "not_all_written", 1)
            assert "1 of 2 refused for good (1 series_conflict)" in problem["detail"]
            forget_all(server)
        assert [value for _, value in results(server, "up")] == [1.0]
        assert server.meter.refusals["series_conflict"] == 2


def test_a_stream_can_be_made_before_its_series_comes(server: Server) -> None:
    """With a spec and labels of one's own; it is claimed by the first series that has it, and keeps them."""
    path = f"/v1/streams/{quote(UP_ID)}"
    spec = {"fields": {"value": {"type": "number"}}, "hidden_size": 3}
    server.client.put(path, json={"spec": spec, "labels": {"site": "north"}})
    assert write_one(server.client, (UP, [(1_000, 1.0)])).status_code == 204
    found = described(server, UP_ID)
    assert (found["spec"]["hidden_size"], found["labels"]["site"], found["last_seq"]) == (3, "north", 1)
    assert "__series__" in found["labels"]


def test_a_stream_of_something_else_is_left_alone(server: Server) -> None:
    """With observations, with other fields, or with no room for the label."""
    path = f"/v1/streams/{quote(UP_ID)}"
    labels = {f"l{i}": "v" for i in range(MAX_LABELS)}
    for spec, observation, given in (
        ({"fields": {"value": {"type": "number"}}}, {"x": {"value": 1.0}}, {}),
        (SMALL, None, {}),
        ({"fields": {"value": {"type": "category"}}}, None, {}),
        ({"fields": {"value": {"type": "number"}}}, None, labels),
    ):
        server.client.put(path, json={"spec": spec, "labels": given})
        if observation is not None:
            server.client.post(f"{path}/observations", json=observation)
        before = described(server, UP_ID)
        answer = write_one(server.client, (UP, [(1_000, 1.0)]))
        assert (answer.status_code, num_written(answer)) == (400, 0)
        assert "series_conflict" in answer.json()["detail"]
        assert described(server, UP_ID) == before
        server.client.delete(path)


def test_histograms_and_exemplars_are_refused_and_counted(server: Server) -> None:
    """The samples beside them are learned; a sender is told, as the protocol asks."""
    message = message_one([(UP, [(1_000, 1.0)])], num_histograms=2, num_exemplars=3)
    answer = write(server.client, message)
    assert (answer.status_code, num_written(answer), server.last_seq(UP_ID)) == (400, 1, 1)
    assert "5 of 6 refused for good (3 exemplar, 2 native_histogram)" in answer.json()["detail"]
    assert server.meter.refusals == {"native_histogram": 2, "exemplar": 3}
    assert server.meter.ingested_samples["learned"] == 1


def test_what_is_invalid_is_refused_alone(server: Server) -> None:
    """A number out of range and a series without a name; 400, so that it is not sent again."""
    answer = write_one(server.client, (UP, [(1_000, 1e31), (2_000, 1.0)]), ({"job": "x"}, [(1_000, 1.0)]))
    assert (answer.status_code, num_written(answer)) == (400, 1)
    assert server.meter.refusals == {"invalid_observation": 2}
    assert results(server, UP_ID) == [("1970-01-01T00:00:02Z", 1.0)]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "application/json"}, 415, "unsupported_media_type"),
        (
            {"content-type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
            415,
            "unsupported_media_type",
        ),
        ({"content-encoding": "gzip"}, 415, "unsupported_encoding"),
        ({"content-encoding": "identity"}, 415, "unsupported_encoding"),
        ({"content-encoding": ""}, 204, None),
        ({"content-type": ""}, 204, None),
    ],
)
def test_contents_are_negotiated(server: Server, headers: dict[str, str], status: int, code: str | None) -> None:
    """What is not read is a 415, upon which a sender tries another; silence means version 1, and snappy."""
    content = packed(message_one([(UP, [(1_000, 1.0)])]))
    given = {"content-type": ONE, "content-encoding": "snappy"} | headers
    answer = server.client.post("/api/v1/write", content=content, headers=given)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code


@pytest.mark.parametrize("body", [b"", b"\xff" * 20, b"\x05abc", packed(b"\xff\xff"), packed(message_one([]))[:-1]])
def test_bytes_that_are_no_message_are_refused(server: Server, body: bytes) -> None:
    """A 400 that changes nothing."""
    answer = server.client.post("/api/v1/write", content=body, headers={"content-type": ONE})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
    assert server.meter.refusals == {"malformed_body": 1}


def test_bodies_are_bounded_packed_and_unpacked() -> None:
    """At the limit of either they are taken, one byte past it they are not."""
    content = message_one([(UP, [(ms, 1.0) for ms in range(50)])])
    for largest, status in ((len(packed(content)), 204), (len(packed(content)) - 1, 413)):
        with serving(auto_create=True, limits=Limits(max_body_bytes=largest)) as server:
            assert write(server.client, content).status_code == status
    # A packer that repeats fits a great deal into little: here one byte, and copies of it.
    bomb = varint(1000) + b"\x00a" + b"\xfe\x01\x00" * 15 + b"\x9a\x01\x00"
    with serving(auto_create=True, limits=Limits(max_body_bytes=999)) as server:
        answer = server.client.post("/api/v1/write", content=bomb, headers={"content-type": ONE})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    with serving(auto_create=True, limits=Limits(max_body_bytes=1000)) as server:
        answer = server.client.post("/api/v1/write", content=bomb, headers={"content-type": ONE})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


def test_samples_of_a_request_are_bounded() -> None:
    """As many as any request may bring."""
    for num, status in ((5, 204), (6, 413)):
        with serving(auto_create=True, limits=Limits(max_observations_per_request=5)) as server:
            assert write_one(server.client, (UP, [(ms, 1.0) for ms in range(num)])).status_code == status


def test_a_full_queue_and_a_store_that_is_away_are_told_as_503(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders repeat it, and need not repeat a 429; the second time it is learned, once."""
    write_one(server.client, (UP, [(1_000, 1.0)]))
    for error in (Overloaded("full"), StoreUnavailable("away")):
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "observe", _raising(error))
            answer = write_one(server.client, (UP, [(1_000, 1.0), (2_000, 2.0)]))
            assert (answer.status_code, num_written(answer)) == (503, 0)
            assert int(answer.headers["retry-after"]) >= 1
    assert num_written(write_one(server.client, (UP, [(1_000, 1.0), (2_000, 2.0)]))) == 2
    assert server.last_seq(UP_ID) == 2


def _raising(error: Exception) -> Any:
    def observe(*_: object) -> None:
        raise error

    return observe


def test_an_unknown_outcome_is_found_out_later(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered 503 and was learned all the same is a duplicate when it comes again."""
    write_one(server.client, (UP, [(1_000, 1.0)]))
    observe = Engine.observe

    def observe_and_fail(engine: Engine, runs: Any) -> Any:
        observe(engine, runs).result()
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "observe", observe_and_fail)
        assert write_one(server.client, (UP, [(2_000, 2.0)])).status_code == 503
    assert num_written(write_one(server.client, (UP, [(2_000, 2.0), (3_000, 3.0)]))) == 2
    assert [value for _, value in results(server, UP_ID)] == [1.0, 2.0, 3.0]


def test_streams_beyond_the_limit_are_refused_and_the_others_go_on() -> None:
    """Waiting for room would hold up every other series."""
    with serving(auto_create=True, limits=Limits(max_streams=1, drain_timeout_s=1.0)) as server:
        assert write_one(server.client, (UP, [(1_000, 1.0)])).status_code == 204
        answer = write_one(server.client, (HITS, [(1_000, 1.0)]), (UP, [(2_000, 2.0)]))
        assert (answer.status_code, num_written(answer), server.last_seq(UP_ID)) == (400, 1, 2)
        assert "1 of 2 refused for good (1 overloaded)" in answer.json()["detail"]


def test_without_auto_create_only_streams_that_exist_learn() -> None:
    """The others are refused as unknown."""
    with serving() as server:
        server.client.put(f"/v1/streams/{quote(UP_ID)}", json={"spec": {"fields": {"value": {"type": "number"}}}})
        answer = write_one(server.client, (HITS, [(1_000, 1.0)]), (UP, [(1_000, 1.0)]))
        assert (answer.status_code, num_written(answer), server.last_seq(UP_ID)) == (400, 1, 1)
        assert "1 unknown_stream" in answer.json()["detail"]


def test_a_key_writes_what_has_its_prefix_and_learns_nothing_of_the_rest(tmp_path: Path) -> None:
    """A foreign series that exists and one that does not are refused with equal bytes; nothing moves or is made."""
    rules = SeriesRules(naming=Naming("{team}/{__name__}"))
    with guarded(tmp_path / "keys.json", auto_create=True, series=rules) as ground:
        token = ground.keys.make("write", prefix="a/")
        reader = ground.keys.make("read")
        while ground.call(token, "POST", "/v1/tickets").status_code == 401:
            pass
        own, foreign, unborn = (
            ({"__name__": n, "team": t}, [(1_000, 1.0)]) for n, t in (("m", "a"), ("m", "b"), ("n", "b"))
        )
        assert write_one(ground.client, foreign).status_code == 204

        def written(caller: str, *lines: Line) -> Any:
            return write_one(ground.client, *lines, authorization=f"Bearer {caller}", **{"x-request-id": "same"})

        assert written(reader, own).status_code == 403
        assert written(token, own).status_code == 204
        told = [written(token, line) for line in (foreign, unborn)]
        assert {answer.status_code for answer in told} == {400}
        assert [num_written(answer) for answer in told] == [0, 0]
        assert len({re.sub("'.*'", "ID", answer.text) for answer in told}) == 1
        assert num_written(written(token, foreign, own)) == 1
        streams = {its["id"]: its["last_seq"] for its in ground.client.get("/v1/streams").json()["streams"]}
        assert streams == {"a/m": 1, "b/m": 1}


def test_a_key_has_limits(tmp_path: Path) -> None:
    """Over its observations a second: 429, and nothing was taken; over its streams: refused for good."""
    with guarded(tmp_path / "keys.json", auto_create=True) as ground:
        slow = ground.keys.make("write", max_observations_per_s=5)
        narrow = ground.keys.make("write", max_streams=1)
        while ground.call(narrow, "POST", "/v1/tickets").status_code == 401:
            pass
        many: Line = (UP, [(ms, 1.0) for ms in range(10)])
        assert write_one(ground.client, many, authorization=f"Bearer {slow}").status_code == 204  # into debt
        answer = write_one(ground.client, (UP, [(99, 1.0)]), authorization=f"Bearer {slow}")
        assert (answer.status_code, answer.json()["code"], num_written(answer)) == (429, "rate_limited", 0)
        answer = write_one(ground.client, (HITS, [(1, 1.0)]), (UP, [(100, 1.0)]), authorization=f"Bearer {narrow}")
        assert (answer.status_code, num_written(answer)) == (400, 1)


def test_what_is_known_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first, which costs a look and nothing else."""
    monkeypatch.setattr("uoro.api.series.MAX_KNOWN_SERIES", 2)
    with serving(auto_create=True) as server:
        lines = [({"__name__": name}, [(1_000, 1.0)]) for name in "abc"]
        write_one(server.client, *lines)
        assert len(book_of(server)._known) == 2
        write_one(server.client, *lines)
        assert [server.last_seq(name) for name in "abc"] == [1, 1, 1]
