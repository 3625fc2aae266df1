"""Whole lives of a service over its public calls, restarts and crashes among them, judged by a small model.

The model predicts every status, code, count and place. Streams of one past must predict, measure and remember alike,
to the letter. The long form: `UORO_CAMPAIGN_LIVES` lives under `make campaign`.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from api_ground import SMALL, CountingMeter, TestClient, quote
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stream_model import UNREADABLE, Given, Stream, X, outcome

from uoro.api.app import create_app
from uoro.engine.engine import Engine
from uoro.engine.meter import SilentMeter
from uoro.limits import Limits
from uoro.store.memory import MemoryShelf, MemoryStore

IDS = ("a", "a/b", "b:1", "c")
LABELS = ({}, {"site": "north"}, {"site": "south", "kind": "x"})
LIMITS = Limits(drain_timeout_s=0.2, snapshot_interval_s=1.0, max_log_records=20)
ANSWERS: Counter[tuple[str, int]] = Counter()
"""How often which call was answered how, to tell that lives have come everywhere."""

ids = st.sampled_from(IDS)
names = st.sampled_from(["one", "two"])
givens = st.builds(
    Given,
    st.sampled_from(list(X)) | st.sampled_from(["number", "other number", "both"]),
    st.sampled_from([None, None, None, 0, 0, -1, -3, 1]),
)


class Lives(RuleBasedStateMachine):
    """One life: calls in any order, each answered as the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = MemoryShelf()
        self.running = ExitStack()
        self.streams: dict[str, Stream] = {}
        self.files: list[tuple[bytes, Stream]] = []
        self.told: dict[object, object] = {}

    @initialize(others=st.sets(ids))
    def begin(self, others: set[str]) -> None:
        """The first start, on an empty store, and streams to live with."""
        self.start()
        for stream in sorted({"a"} | others):
            self.create(stream, 0, {})

    def start(self) -> None:
        """A start on what the store has."""
        self.engine = Engine(MemoryStore(self.shelf), "me", LIMITS, SilentMeter(), auto_create=False)
        self.engine.start()
        self.running.callback(self.engine.stop)
        app = create_app(self.engine, LIMITS, CountingMeter())
        self.client = self.running.enter_context(TestClient(app, follow_redirects=False))
        while not self.engine.is_ready:
            time.sleep(0.001)

    def teardown(self) -> None:
        self.running.close()

    def call(self, method: str, path: str, status: int, code: str | None = None, **options: Any) -> Any:
        """One request, which must be answered so."""
        reply = self.client.request(method, path, **options)
        assert reply.status_code == status, (reply.status_code, reply.text)
        ANSWERS[f"{method} {path.partition('?')[0].rpartition('/')[2]}", status] += 1
        if status >= 400:
            assert reply.json()["code"] == code, reply.text
        return reply

    def of(self, stream: str, end: str = "") -> str:
        """The path of a stream, or of what lies below it."""
        return f"/v1/streams/{quote(stream)}{end}"

    # -------------------------------------------------------------- streams

    @rule(stream=ids, seed=st.sampled_from([0, 0, 1]), labels=st.sampled_from(LABELS))
    def create(self, stream: str, seed: int, labels: dict[str, str]) -> None:
        """201, then 200, and 409 with another spec; labels that are given replace those there were."""
        known = self.streams.get(stream)
        document = {"spec": {**SMALL, "seed": seed}, "labels": labels}
        if known is not None and known.seed != seed:
            self.call("PUT", self.of(stream), 409, "stream_exists", json=document)
            return
        self.call("PUT", self.of(stream), 201 if known is None else 200, json=document)
        if known is None:
            self.streams[stream] = Stream.new(seed, labels)
        elif labels:
            self.streams[stream] = replace(known, labels=labels)

    @rule(stream=ids, is_meant=st.sampled_from([True, False, False]))
    def delete(self, stream: str, is_meant: bool) -> None:
        """204 or 404; its snapshots go with it. Rarely, so that there is something to lose."""
        if not is_meant:
            return
        if stream in self.streams:
            assert self.call("DELETE", self.of(stream), 204).content == b""
            del self.streams[stream]
        else:
            self.call("DELETE", self.of(stream), 404, "unknown_stream")

    @rule(stream=ids, is_frozen=st.booleans())
    def freeze(self, stream: str, is_frozen: bool) -> None:
        """200, whether it changes anything or not."""
        path = self.of(stream, "/freeze" if is_frozen else "/unfreeze")
        if stream in self.streams:
            assert self.call("POST", path, 200).json()["state"] == ("frozen" if is_frozen else "learning")
            self.streams[stream] = replace(self.streams[stream], is_frozen=is_frozen)
        else:
            self.call("POST", path, 404, "unknown_stream")

    # -------------------------------------------------------------- observations

    @rule(stream=ids, given=givens)
    def observe(self, stream: str, given: Given) -> None:
        """One by itself: its place, whether it is a duplicate, or why it is refused."""
        known = self.streams.get(stream)
        document = given.document(known.last_seq if known else 0)
        what, after = outcome(known, given)
        path = self.of(stream, "/observations")
        if what in {"accepted", "duplicate"}:
            reply = self.call("POST", path, 200, json=document).json()
            assert after is not None
            assert (reply["stream"], reply["duplicate"]) == (stream, what == "duplicate")
            assert reply["seq"] == (after.last_seq if what == "accepted" else document["seq"])
            self.streams[stream] = after
            if what == "accepted":
                self.hold(("reply", after.past), {**reply, "stream": None})
        else:
            status = {"unknown_stream": 404, "out_of_sequence": 409, "invalid_observation": 422}[what]
            problem = self.call("POST", path, status, what, json=document).json()
            if what == "out_of_sequence":
                assert known is not None and problem["expected_seq"] == known.last_seq + 1

    @rule(stream=ids, given=st.lists(givens, max_size=6), is_ndjson=st.booleans())
    def observe_several(self, stream: str, given: list[Given], is_ndjson: bool) -> None:
        """Several of one stream, as an array or as lines."""
        self.send(self.of(stream, "/observations"), [(stream, its) for its in given], is_ndjson, is_named=False)

    @rule(given=st.lists(st.tuples(ids, givens), max_size=8), is_ndjson=st.booleans())
    def observe_streams(self, given: list[tuple[str, Given]], is_ndjson: bool) -> None:
        """Several of many streams."""
        self.send("/v1/observations", given, is_ndjson, is_named=True)

    def send(self, path: str, given: list[tuple[str, Given]], is_ndjson: bool, *, is_named: bool) -> None:
        """Several observations, each with what must become of it: counts, errors by index, places."""
        documents, whats, engine_whats = [], [], []
        after = dict(self.streams)
        accepted: Counter[str] = Counter()
        for stream, its in given:
            known = after.get(stream)
            named = {"stream": stream} if is_named else {}
            documents.append({**named, **its.document(known.last_seq if known else 0)})
            what, then = outcome(known, its)
            whats.append(what)
            if its.kind != UNREADABLE:
                engine_whats.append(what)
            if then is not None:
                after[stream] = then
            accepted[stream] += what == "accepted"
        if is_ndjson:
            content, kind = "\n".join(json.dumps(document) for document in documents), "application/x-ndjson"
        else:
            content, kind = json.dumps(documents), "application/json"
        options: dict[str, Any] = {"content": content, "headers": {"content-type": kind}}
        is_refused = engine_whats and all(what in {"unknown_stream", "out_of_sequence"} for what in engine_whats)
        if is_refused and not is_named:
            code = engine_whats[0]
            self.call("POST", path, 404 if code == "unknown_stream" else 409, code, **options)
            return
        reply = self.call("POST", path, 200, **options).json()
        refused = {place: what for place, what in enumerate(whats) if what not in {"accepted", "duplicate"}}
        counts = whats.count("accepted"), whats.count("duplicate"), len(refused)
        assert (reply["accepted"], reply["duplicates"], reply["rejected"]) == counts
        assert {error["index"]: error["code"] for error in reply["errors"]} == refused
        self.streams = after
        if is_named:
            sent = {stream for stream, its in given if its.kind != UNREADABLE} & after.keys()
            assert reply["streams"] == {
                stream: {"accepted": accepted[stream], "last_seq": after[stream].last_seq} for stream in sent
            }
        else:
            assert "streams" not in reply

    # -------------------------------------------------------------- reads

    def hold(self, place: object, told: object) -> None:
        """Whatever was said first of a past must be said of it again, by every stream that has it."""
        assert self.told.setdefault(place, told) == told

    def heard(self, stream: str) -> dict[str, Any]:
        """All that can be read of a stream's model, without its name."""
        reads = {
            "/prediction?horizon=3": "prediction",
            "/metrics": "metrics",
            "/results?limit=64": "results",
        }
        heard: dict[str, Any] = {}
        for end, name in reads.items():
            reply = self.call("GET", self.of(stream, end), 200).json()
            assert reply.pop("stream") == stream
            for result in reply.get("results", ()):
                assert result.pop("stream") == stream
            heard[name] = reply
        return heard

    @rule(stream=ids)
    def read(self, stream: str) -> None:
        """What is read depends on the stream's past alone, and reading changes nothing: not a byte of the model."""
        known = self.streams.get(stream)
        if known is None:
            for end in ("", "/prediction", "/metrics", "/results", "/export", "/snapshots"):
                self.call("GET", self.of(stream, end), 404, "unknown_stream")
            return
        before = self.call("GET", self.of(stream, "/export"), 200).content
        heard = self.heard(stream)
        assert heard["prediction"]["seq"] == known.last_seq + 1
        assert heard["metrics"]["observations"] == known.last_seq
        places = [result["seq"] for result in heard["results"]["results"]]
        assert places == list(range(max(1, known.last_seq - 63), known.last_seq + 1))
        self.hold(("heard", known.past), heard)
        assert self.call("GET", self.of(stream, "/export"), 200).content == before

    @rule(size=st.integers(1, 5), prefix=st.sampled_from(["", "a", "a/", "z"]), label=st.sampled_from([*LABELS]))
    def list_pages(self, size: int, prefix: str, label: dict[str, str]) -> None:
        """Page by page, each full but the last: exactly the streams with the prefix and the labels, by id."""
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            labels = [f"{key}:{value}" for key, value in label.items()]
            params = {"limit": size, "prefix": prefix, "cursor": cursor, "label": labels}
            page = self.call("GET", "/v1/streams", 200, params=params).json()
            found += [its["id"] for its in page["streams"]]
            cursor = page["next_cursor"]
            assert len(page["streams"]) == size or cursor is None
            assert page["total"] == sum(stream.startswith(prefix) for stream in self.streams)
        assert found == sorted(
            stream
            for stream, its in self.streams.items()
            if stream.startswith(prefix) and label.items() <= its.labels.items()
        )

    # -------------------------------------------------------------- models

    @rule(stream=ids, name=names)
    def save(self, stream: str, name: str) -> None:
        """A named version, in the place of one of the same name."""
        known = self.streams.get(stream)
        if known is None:
            self.call("POST", self.of(stream, "/snapshots"), 404, "unknown_stream", json={"name": name})
            return
        snapshot = self.call("POST", self.of(stream, "/snapshots"), 201, json={"name": name}).json()
        assert (snapshot["name"], snapshot["seq"]) == (name, known.last_seq)
        self.streams[stream] = replace(known, snapshots={**known.snapshots, name: known.model()})
        listed = self.call("GET", self.of(stream, "/snapshots"), 200).json()["snapshots"]
        kept = self.streams[stream].snapshots
        assert {its["name"]: its["seq"] for its in listed} == {key: its.last_seq for key, its in kept.items()}

    @rule(stream=ids, name=names)
    def restore(self, stream: str, name: str) -> None:
        """Back to a named version, its place and labels included; the named versions stay."""
        known = self.streams.get(stream)
        path = self.of(stream, f"/snapshots/{name}/restore")
        if known is None:
            self.call("POST", path, 404, "unknown_stream")
        elif name not in known.snapshots:
            self.call("POST", path, 404, "unknown_snapshot")
        else:
            assert self.call("POST", path, 200).json()["last_seq"] == known.snapshots[name].last_seq
            self.streams[stream] = replace(known.snapshots[name], snapshots=known.snapshots)

    @rule(stream=ids, to=ids)
    def clone(self, stream: str, to: str) -> None:
        """The second stream has the first one's past, and from then on its own."""
        path, document = self.of(stream, "/clone"), {"to": to}
        if stream not in self.streams:
            self.call("POST", path, 404, "unknown_stream", json=document)
        elif to in self.streams:
            self.call("POST", path, 409, "stream_exists", json=document)
        else:
            assert self.call("POST", path, 201, json=document).json()["id"] == to
            self.streams[to] = self.streams[stream].model()
            assert self.heard(to) == self.heard(stream)

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        """A file, kept for later."""
        stream = data.draw(st.sampled_from(sorted(self.streams)))
        file = self.call("GET", self.of(stream, "/export"), 200).content
        self.files.append((file, self.streams[stream].model()))

    @precondition(lambda self: self.files)
    @rule(data=st.data(), stream=ids, may_replace=st.booleans())
    def import_(self, data: st.DataObject, stream: str, may_replace: bool) -> None:
        """A stream from a file of before; in the place of another only if that is said. Named versions stay."""
        file, its = data.draw(st.sampled_from(self.files))
        path = self.of(stream, f"/import?replace={str(may_replace).lower()}")
        known = self.streams.get(stream)
        if known is not None and not may_replace:
            self.call("PUT", path, 409, "stream_exists", content=file)
            return
        self.call("PUT", path, 201, content=file)
        self.streams[stream] = replace(its, snapshots=known.snapshots if known else {})

    @rule(stream=ids, content=st.binary(max_size=60))
    def import_nonsense(self, stream: str, content: bytes) -> None:
        """422, and nothing changes."""
        self.call("PUT", self.of(stream, "/import?replace=true"), 422, "invalid_import", content=content)

    # -------------------------------------------------------------- life

    @rule(is_crash=st.sampled_from([False, False, True]))
    def restart(self, is_crash: bool) -> None:
        """An orderly stop, or an end without last snapshots; the next start finds everything."""
        self.shelf.is_away = is_crash
        self.running.close()
        self.shelf.is_away = False
        self.running = ExitStack()
        self.start()

    @invariant()
    def all_streams_are_as_they_must_be(self) -> None:
        """After each call: ids, labels, states and places of all streams."""
        if not hasattr(self, "client"):
            return
        listed = self.call("GET", "/v1/streams", 200).json()["streams"]
        assert {its["id"]: (its["labels"], its["state"], its["last_seq"]) for its in listed} == {
            stream: (its.labels, "frozen" if its.is_frozen else "learning", its.last_seq)
            for stream, its in self.streams.items()
        }


SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def test_lives_go_as_the_model_says() -> None:
    """A few lives; the campaign has many."""
    run_state_machine_as_test(Lives, settings=settings(SETTINGS, max_examples=12, stateful_step_count=30))


class Forgetful(Lives):
    """A model that does not know that a stream can be frozen."""

    @rule(stream=ids)
    def freeze(self, stream: str) -> None:  # type: ignore[override]
        """Frozen, and nobody noticed."""
        if stream in self.streams:
            self.call("POST", self.of(stream, "/freeze"), 200)


def test_a_wrong_model_is_caught() -> None:
    """The judge is not blind: what the service does and the model does not expect fails within a few lives."""
    quick = settings(
        SETTINGS, max_examples=30, stateful_step_count=20, phases=[Phase.generate], report_multiple_bugs=False
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Forgetful, settings=quick)


@pytest.mark.campaign
def test_campaign_of_lives() -> None:
    """`UORO_CAMPAIGN_LIVES` lives (300) of up to 80 calls."""
    num = int(os.environ.get("UORO_CAMPAIGN_LIVES", "300"))
    run_state_machine_as_test(Lives, settings=settings(SETTINGS, max_examples=num, stateful_step_count=80))
    for (call, status), times in sorted(ANSWERS.items()):
        print(f"{times:8} {status} {call}")
