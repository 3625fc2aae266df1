"""Who may do what: every call of the OpenAPI document × every kind of key × streams inside and outside its prefix.

The calls come from the document, so that a new one is judged by existing. What a call needs is read from the
document's `security`; that this is what is meant is pinned, call by call, in `NEEDED`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, product
from typing import Any

import pytest
from api_ground import SMALL, quote
from key_ground import GuardedServer, guarded

from uoro.access.key import Scope
from uoro.api import door
from uoro.api.confined import Confined
from uoro.api.principal import Principal
from uoro.api.rights import RIGHTS, template_of, without_rights
from uoro.domain import StreamInfo

READ, WRITE, ADMIN, ANY_KEY, OPEN = "read", "write", "admin", "any key", "open"
NEEDED = {
    "live": OPEN, "ready": OPEN, "metrics": READ, "issueTicket": ANY_KEY,
    "listStreams": READ, "describeStream": READ, "predict": READ, "streamMetrics": READ, "recentResults": READ,
    "listSnapshots": READ, "exportModel": READ,
    "forecastsOver": READ, "forecastsAt": READ, "forecastSeries": READ, "forecastLabels": READ,
    "forecastLabelValues": READ, "forecastBuild": READ,
    "observe": WRITE, "observeStreams": WRITE, "remoteWrite": WRITE,
    "createStream": WRITE, "freezeStream": WRITE, "unfreezeStream": WRITE,
    "saveSnapshot": WRITE, "cloneStream": WRITE,
    "deleteStream": ADMIN, "restoreSnapshot": ADMIN, "importModel": ADMIN,
}  # fmt: skip
CREATING = {"createStream", "importModel"}
PREFIX, HIDDEN = "in/", "a/secret"  # the first of any list
SCOPES = [("read",), ("write",), ("read", "write"), ("admin",)]
NO_KEY, WRONG_KEY = "no key", "a key that nobody made"
TARGETS = {"own": True, "own, unborn": False, "foreign": True, "foreign, unborn": False}
"""Kinds of streams, and whether they exist."""

_numbers = count(1000)


@dataclass(frozen=True)
class Call:
    """One operation of the document."""

    method: str
    path: str
    name: str
    need: str


@dataclass(frozen=True)
class Caller:
    """A key, or none."""

    name: str
    token: str | None
    scopes: tuple[str, ...] = ()
    prefix: str = ""

    def may(self, need: str) -> bool:
        return need == ANY_KEY or need in self.scopes or "admin" in self.scopes


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """One guarded server; each case makes a stream of its own."""
    with guarded(tmp_path_factory.mktemp("keys") / "keys.json") as ground:
        assert ground.call(ground.root, "PUT", f"/v1/streams/{quote(HIDDEN)}", json={"spec": SMALL}).status_code == 201
        yield ground


@pytest.fixture(scope="module")
def callers(ground: GuardedServer) -> list[Caller]:
    """Every scope, confined and not; no key; a key that nobody made."""
    found = [Caller(NO_KEY, None), Caller(WRONG_KEY, "uoro_" + "0" * 12 + "_" + "0" * 48)]
    for scopes, prefix in product(SCOPES, ("", PREFIX)):
        token = ground.keys.make(*scopes, prefix=prefix)
        found.append(Caller(f"{'+'.join(scopes)} {prefix}", token, scopes, prefix))
    wait_for(ground, found[-1].token)
    return found


def wait_for(ground: GuardedServer, token: str | None) -> None:
    """Until the server has read the keys that were made last."""
    while ground.call(token, "POST", "/v1/tickets").status_code == 401:
        pass


def calls_of(ground: GuardedServer) -> list[Call]:
    """All operations of the document, with what they need."""
    found = []
    for path, methods in ground.client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            (key,) = operation["security"] or [None]
            need = OPEN if key is None else next(iter(key["key"]), ANY_KEY)
            found.append(Call(method.upper(), path, operation["operationId"], need))
    return found


def target(ground: GuardedServer, kind: str) -> str:
    """A stream of a kind, of its own for each case; all ids are equally long."""
    stream = f"{'in' if kind.startswith('own') else 'out'}/{'x' * (2 if kind.startswith('own') else 1)}{next(_numbers)}"
    if TARGETS[kind]:
        path = f"/v1/streams/{quote(stream)}"
        assert ground.call(ground.root, "PUT", path, json={"spec": SMALL}).status_code == 201
        assert ground.call(ground.root, "POST", f"{path}/observations", json={"x": {"v": 1}}).status_code == 200
        assert ground.call(ground.root, "POST", f"{path}/snapshots", json={"name": "kept"}).status_code == 201
    return stream


def request_of(call: Call, stream: str, model: bytes) -> tuple[str, dict[str, Any]]:
    """A valid request of a call; one that is new here gets no body and must say what it needs."""
    path = call.path.replace("{stream}", quote(stream)).replace("{name}", "kept")
    bodies: dict[str, dict[str, Any]] = {
        "createStream": {"json": {"spec": SMALL}},
        "observe": {"json": {"x": {"v": 2}}},
        "observeStreams": {"json": [{"stream": stream, "x": {"v": 2}}]},
        "remoteWrite": {"content": b"\x00"},  # an empty message
        "saveSnapshot": {"json": {"name": "kept"}},
        "cloneStream": {"json": {"to": f"{PREFIX}clone{next(_numbers)}"}},
        "importModel": {"content": model, "params": {"replace": "true"}},
        "forecastsOver": {"params": {"query": f'{{stream="{HIDDEN}"}}', "start": 0, "end": 9, "step": 1}},
        "forecastsAt": {"params": {"query": f'{{stream="{HIDDEN}"}}'}},
    }
    return path, {"headers": {"x-request-id": "same"}, **bodies.get(call.name, {})}


def seen(response: Any, stream: str) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All of an answer, with the stream's id made neutral; ids are equally long."""
    content = response.content.replace(stream.encode(), b"ID")
    return response.status_code, content, sorted(response.headers.items())


def faults(ground: GuardedServer, callers: list[Caller]) -> list[str]:
    """What the matrix finds wrong, a line each; the judge of the test and of its controls."""
    model = ground.call(ground.root, "GET", f"/v1/streams/{quote(HIDDEN)}/export").content
    unborn = target(ground, "foreign, unborn")
    missing = ground.call(ground.root, "GET", f"/v1/streams/{quote(unborn)}", headers={"x-request-id": "same"})
    found: list[str] = []
    for call, caller in product(calls_of(ground), callers):
        for kind in TARGETS if "{stream}" in call.path else ["own"]:
            stream = target(ground, kind)
            path, options = request_of(call, stream, model)
            response = ground.call(caller.token, call.method, path, **options)
            said = f"{call.name} of a stream {kind} by {caller.name}: {response.status_code} {response.content[:120]!r}"
            if not is_right(call, caller, kind, stream, response, seen(missing, unborn)):
                found.append(said)
            if caller.prefix and "secret" in response.text:
                found.append(f"leaked: {said}")
            if kind == "foreign" and caller.prefix:
                left = ground.call(ground.root, "GET", f"/v1/streams/{quote(stream)}")
                if left.status_code != 200 or (left.json()["last_seq"], left.json()["state"]) != (1, "learning"):
                    found.append(f"changed: {said}")
            if kind == "foreign, unborn" and caller.prefix:
                left = ground.call(ground.root, "GET", f"/v1/streams/{quote(stream)}")
                if left.status_code != 404:
                    found.append(f"made: {said}")
    return found


def is_right(call: Call, caller: Caller, kind: str, stream: str, response: Any, missing: Any) -> bool:
    """The verdict on one answer."""
    code = None if response.is_success else response.json()["code"]
    if call.need == OPEN:
        verdict = response.status_code == 200
    elif caller.token is None or caller.name == WRONG_KEY:
        challenge = response.headers.get("www-authenticate")
        verdict = (response.status_code, code, challenge) == (401, "unauthorized", "Bearer")
    elif not caller.may(call.need) or (RIGHTS[call.method, call.path].is_of_all and caller.prefix):
        verdict = (response.status_code, code) == (403, "forbidden")
    elif "{stream}" in call.path and caller.prefix and kind.startswith("foreign"):
        verdict = seen(response, stream) == missing
    elif "{stream}" not in call.path or TARGETS[kind] or call.name in CREATING:
        verdict = response.is_success
    else:
        verdict = seen(response, stream) == missing
    return bool(verdict)


def test_every_call_by_every_kind_of_key_on_every_kind_of_stream(ground: GuardedServer, callers: list[Caller]) -> None:
    """The matrix, complete: 401, 403, 404 and success where they belong, foreign = missing, nothing moved."""
    assert faults(ground, callers) == []


def test_what_each_call_needs_is_what_is_meant(ground: GuardedServer) -> None:
    """The document says of each call what `NEEDED` says, and there is no other call."""
    assert {call.name: call.need for call in calls_of(ground)} == NEEDED


def test_every_route_has_a_row_and_every_row_a_route(ground: GuardedServer) -> None:
    """The table is the whole truth about the application's routes, and reads paths as the router does."""
    app = ground.client.app
    while not hasattr(app, "routes"):
        app = app._app  # type: ignore[attr-defined]
    routes = app.routes
    assert without_rights(routes) == []
    known = {route.path for route in routes}
    assert {template for _, template in RIGHTS} == known
    for method, template in RIGHTS:
        path = template.replace("{stream}", "a%2Fb").replace("{name}", "n")
        assert template_of(method, path) == template
    for method, path in (
        ("GET", "/v1/streams/"),
        ("GET", "/v1/streams//metrics"),
        ("PATCH", "/v1/streams/a"),
        ("GET", "/x"),
    ):
        assert template_of(method, path) is None


def test_a_route_without_a_row_is_noticed(ground: GuardedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that nobody thought about keeps the application from being built."""
    monkeypatch.delitem(RIGHTS, ("DELETE", "/v1/streams/{stream}"))
    with pytest.raises(AssertionError, match="DELETE /v1/streams"), guarded(ground.keys.path.with_name("other.json")):
        pass


def _unconfined(method: str) -> Callable[..., Any]:
    def call(self: Confined, *args: Any, **options: Any) -> Any:
        return getattr(self._engine, method)(*args, **options)

    return call


HOLES: dict[str, tuple[object, str, object, str]] = {
    "no prefix is looked at": (Confined, "_look", lambda *_: None, "describeStream of a stream foreign"),
    "no scope is looked at": (door, "_judge", lambda *_: None, "deleteStream"),
    "one read forgets the prefix": (Confined, "export", _unconfined("export"), "exportModel of a stream foreign"),
    "one write forgets the prefix": (Confined, "create", _unconfined("create"), "createStream of a stream foreign"),
    "the list forgets the prefix": (Confined, "list_streams", _unconfined("list_streams"), "leaked: listStreams"),
    "the observations forget the prefix": (Confined, "observe", _unconfined("observe"), "observe of a stream foreign"),
    "admin is implied by write": (
        Principal,
        "demand",
        lambda self, scope: None if Scope.WRITE in self.key.scopes else self.key.grants(scope),
        "deleteStream",
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(
    ground: GuardedServer, callers: list[Caller], monkeypatch: pytest.MonkeyPatch, hole: str
) -> None:
    """Negative controls: the same judge finds each hole, and names the call."""
    where, name, put, named = HOLES[hole]
    monkeypatch.setattr(where, name, put)
    some = [caller for caller in callers if caller.name in {"write ", "admin in/", "read+write in/"}]
    assert len(some) == 3
    assert any(named in fault for fault in faults(ground, some))


MANGLED: list[dict[str, Any]] = [
    {},
    {"content": b"{"},
    {"content": b"[]"},
    {"content": b"\xff"},
    {"json": {}},
    {"json": {"typo": 1}},
    {"json": {"x": {"v": "wrong"}}},
    {"json": {"x": {"v": 1}, "seq": 9}},
    {"json": [{"x": {"v": 1}}, {"y": 1}]},
    {"json": {"name": "?"}},
    {"json": {"to": "?"}},
    {"json": {"to": HIDDEN}},
    {"content": b"x", "headers": {"content-type": "text/plain"}},
    {"content": b"x", "headers": {"content-encoding": "gzip"}},
    {"params": {"horizon": "0"}},
    {"params": {"limit": "0", "results": "some", "replace": "perhaps"}},
    {"params": {"results": "full"}, "json": [{"x": {"v": 1}}]},
]


def test_what_is_wrong_with_a_request_does_not_tell_either(ground: GuardedServer, callers: list[Caller]) -> None:
    """Whatever else is wrong, a foreign stream, a foreign id and a missing one of one's own answer with equal bytes.

    What would make a stream cannot be compared with one's own.
    """
    admin = next(caller for caller in callers if caller.name == "admin in/")
    foreign, void, unborn = (target(ground, kind) for kind in ("foreign", "foreign, unborn", "own, unborn"))
    for call in calls_of(ground):
        if "{stream}" not in call.path:
            continue
        for mangled in MANGLED:
            answers = []
            for stream in (foreign, void, unborn):
                options = {**mangled, "headers": {**mangled.get("headers", {}), "x-request-id": "same"}}
                path = call.path.replace("{stream}", quote(stream)).replace("{name}", "kept")
                answers.append(seen(ground.call(admin.token, call.method, path, **options), stream))
            assert answers[0] == answers[1], (call, mangled)
            if call.name not in CREATING:
                assert answers[0] == answers[2], (call, mangled)


def test_lines_for_foreign_streams_are_refused_one_by_one(ground: GuardedServer, callers: list[Caller]) -> None:
    """In a request for many streams a foreign line is refused as that of an unknown stream; the others are learned."""
    token = next(caller.token for caller in callers if caller.name == "write in/")
    own, foreign, void, unborn = (target(ground, kind) for kind in ("own", "foreign", "foreign, unborn", "own, unborn"))

    def posted(*streams: str) -> Any:
        lines = "\n".join(json.dumps({"stream": stream, "x": {"v": 3}}) for stream in streams)
        return ground.call(token, "POST", "/v1/observations", content=lines, params={"results": "full"})

    reply = posted(foreign, own, void, unborn, own).json()
    assert (reply["accepted"], reply["rejected"]) == (2, 3)
    assert [(error["index"], error["code"]) for error in reply["errors"]] == [
        (0, "unknown_stream"), (2, "unknown_stream"), (3, "unknown_stream"),
    ]  # fmt: skip
    assert reply["streams"] == {own: {"accepted": 2, "last_seq": 3}}
    told = [re.sub(r"'.*'", "ID", error["detail"]) for error in reply["errors"]]
    assert len(set(told)) == 1
    only = [posted(stream).text.replace(stream, "ID") for stream in (foreign, void, unborn)]
    assert len(set(only)) == 1
    assert ground.server.last_seq(foreign) == 1


def test_both_ends_of_a_clone_are_one_s_own(ground: GuardedServer, callers: list[Caller]) -> None:
    """Neither from nor to a foreign stream, and a taken foreign id is not told from a free one."""
    token = next(caller.token for caller in callers if caller.name == "write in/")
    own, foreign, void, unborn = (target(ground, kind) for kind in ("own", "foreign", "foreign, unborn", "own, unborn"))

    def cloned(stream: str, to: str) -> tuple[int, str]:
        path = f"/v1/streams/{quote(stream)}/clone"
        response = ground.call(token, "POST", path, json={"to": to}, headers={"x-request-id": "same"})
        return response.status_code, response.text

    assert cloned(own, foreign)[0] == cloned(own, void)[0] == cloned(foreign, unborn)[0] == 404
    assert cloned(own, foreign)[1].replace(foreign, "ID") == cloned(own, void)[1].replace(void, "ID")
    assert cloned(own, unborn)[0] == 201


@pytest.mark.parametrize(
    ("prefix", "sees"),
    [("", True), ("i", True), ("in/", True), ("in/xx", True), ("in/zz", False), ("out/", False), ("a/secret", False)],
)
def test_a_list_shows_one_s_own(ground: GuardedServer, callers: list[Caller], prefix: str, sees: object) -> None:
    """Whatever prefix is asked for and whatever cursor is shown, no other stream is in it."""
    token = next(caller.token for caller in callers if caller.name == "read in/")
    target(ground, "own")
    target(ground, "foreign")
    streams: list[StreamInfo] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"prefix": prefix, "limit": "50", **({"cursor": cursor} if cursor else {})}
        page = ground.call(token, "GET", "/v1/streams", params=params).json()
        streams += page["streams"]
        cursor = page["next_cursor"]
    ids = [stream["id"] for stream in streams]  # type: ignore[index]
    assert all(id_.startswith(PREFIX) and id_.startswith(prefix) for id_ in ids)
    assert bool(ids) is sees


def test_paths_are_judged_as_they_are_routed(ground: GuardedServer, callers: list[Caller]) -> None:
    """However a foreign id is spelt in the path, it stays foreign."""
    token = next(caller.token for caller in callers if caller.name == "admin in/")
    for spelling in ("a%2fsecret", "%61%2Fsecret", "a%2Fsecre%74", "in%2F..%2Fa%2Fsecret", "in/../a/secret"):
        response = ground.call(token, "GET", f"/v1/streams/{spelling}")
        assert response.status_code == 404
        assert "spec" not in response.json()


@pytest.fixture(scope="module", autouse=True)
def _no_key_of_its_own(ground: GuardedServer) -> None:
    """The client shows only what a test gives it."""
    del ground.client.headers["authorization"]
    ground.server.last_seq = lambda stream: int(  # type: ignore[method-assign]
        ground.call(ground.root, "GET", f"/v1/streams/{quote(stream)}").json()["last_seq"]
    )
