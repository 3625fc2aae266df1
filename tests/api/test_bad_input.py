"""No input gives a 500 or moves a stream: limits at their value and one past it, broken bytes, anything at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from api_ground import Server, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from uoro import limits
from uoro.limits import Limits

BODY_BYTES = 20_000
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with small limits on bodies."""
    with serving(limits=Limits(max_body_bytes=BODY_BYTES, max_observations_per_request=50)) as ground:
        yield ground


@pytest.fixture(scope="module")
def stream(server: Server) -> str:
    """One stream, to which nothing in this file may happen unless a test says so."""
    return server.create()


INVALID = [
    (b'{"x":{"v":NaN}}', "v"),
    (b'{"x":{"v":Infinity}}', "v"),
    (b'{"x":{"v":-Infinity}}', "v"),
    (b'{"x":{"v":1e400}}', "v"),
    (b'{"x":{"v":1.0000001e30}}', "v"),
    (b'{"x":{"v":-1e31}}', "v"),
    (b'{"x":{"v":1' + b"0" * 31 + b"}}", "v"),
    (b'{"x":{"v":' + b"9" * 10_000 + b"}}", "v"),
    (b'{"x":{"v":[1]}}', "v"),
    (b'{"x":{"v":{}}}', "v"),
    (b'{"x":{"v":"text"}}', "v"),
    (b'{"x":{"k":1}}', "k"),
    (b'{"x":{"v":true}}', "v"),
    (b'{"x":{"k":"\\ud800"}}', "k"),
    (b'{"x":{"\\ud800":1}}', "?"),
    (b'{"x":{"k":"' + b"a" * 129 + b'"}}', "k"),
    (b'{"x":{"k":"' + "é".encode() * 65 + b'"}}', "k"),
    (b'{"x":{"":1}}', ""),
    (b'{"x":{"' + b"n" * 101 + b'":1}}', "n" * 100),
    (b'{"x":{' + b",".join(b'"f%d":1' % i for i in range(65)) + b"}}", "x"),
    (b'{"x":{"other":1}}', "other"),
    (b'{"x":[]}', "x"),
    (b'{"x":null}', "x"),
    (b"{}", "x"),
    (b'{"x":{"v":1},"y":1}', "y"),
    (b'{"x":{"v":1},"stream":"s"}', "stream"),
    (b'{"x":{"v":1},"seq":0}', "seq"),
    (b'{"x":{"v":1},"seq":-1}', "seq"),
    (b'{"x":{"v":1},"seq":1.5}', "seq"),
    (b'{"x":{"v":1},"seq":"1"}', "seq"),
    (b'{"x":{"v":1},"seq":true}', "seq"),
    (b'{"x":{"v":1},"seq":9007199254740993}', "seq"),
    (b'{"x":{"v":1},"seq":' + b"9" * 5000 + b"}", "seq"),
    (b'{"x":{"v":1},"t":"2026-01-31"}', "t"),
    (b'{"x":{"v":1},"t":"yesterday"}', "t"),
    (b'{"x":{"v":1},"t":"2026-02-30T00:00:00Z"}', "t"),
    (b'{"x":{"v":1},"t":"9999-01-01T00:00:00Z"}', "t"),
    (b'{"x":{"v":1},"t":"2026-01-31T12:00:00+99:00"}', "t"),
    (b'{"x":{"v":1},"t":""}', "t"),
    (b'{"x":{"v":1},"t":100000000001}', "t"),
    (b'{"x":{"v":1},"t":NaN}', "t"),
    (b'{"x":{"v":1},"t":false}', "t"),
    (b'{"x":{"v":1},"t":[]}', "t"),
    (b"7", None),
    (b"null", None),
    (b'"text"', None),
]


@pytest.mark.parametrize(("content", "field"), INVALID)
def test_a_value_that_does_not_fit_is_422_and_names_the_field(
    server: Server, stream: str, content: bytes, field: str | None
) -> None:
    """Alone it is a 422 problem; in an array, and on a line, it is refused by itself with the same words."""
    reply = server.post(stream, content)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_observation"), reply.text
    assert reply.json().get("field") == field
    for several in (
        server.post(stream, b"[" + content + b"]"),
        server.post(stream, content, content_type=NDJSON),
    ):
        assert several.status_code == 200, several.text
        (error,) = several.json()["errors"]
        assert (error["index"], error["code"], error.get("field")) == (0, "invalid_observation", field)
        assert error["detail"] == reply.json()["detail"]
    assert server.last_seq(stream) == 0


@pytest.mark.parametrize(
    "content",
    [
        b"", b" ", b"{", b'{"x":', b'{"x":{}', b"[1,", b'{"x":{"v":01}}', b"{'x':{}}", b'{"x":{"v":1}}}',
        b'{"x":{"v":1}} {"x":{}}', b'{"x":{"v":+1}}', b'{"x":{"v":.5}}', b'{"x":{"k":"\x01"}}', b'{"x":{"k":"\\x"}}',
        b'{"x":{"k":"\xff"}}', b"\xef\xbb\xbf" + b'{"x":{"v":1}}', '{"x":{"v":1}}'.encode("utf-16"), b"\x00",
        b"[" * 10_000, b'{"x":' * 3_000, b'[{"x":{"v":1}},', b"nan", b"undefined",
    ],
)  # fmt: skip
def test_what_is_no_json_is_400_and_changes_nothing(server: Server, stream: str, content: bytes) -> None:
    """Whatever came before the fault, nothing of the body is learned."""
    reply = server.post(stream, content)
    assert (reply.status_code, reply.json()["code"]) == (400, "malformed_body"), reply.text
    assert server.last_seq(stream) == 0


@pytest.mark.parametrize(
    "content",
    [
        b'{"x":{"v":1e30}}',
        b'{"x":{"v":-1e30}}',
        b'{"x":{"v":1' + b"0" * 30 + b"}}",
        b'{"x":{"v":0.0000000000000000000000000001e-400}}',
        b'{"x":{"k":"' + b"a" * 128 + b'"}}',
        b'{"x":{"k":"' + "é".encode() * 64 + b'"}}',
        b'{"x":{"k":true}}',
        b'{"x":{"k":"\\u0000"}}',
        b'{"x":{"v":null,"k":null}}',
        b'{"x":{}}',
        b'{"x":{"v":1},"t":1e11}',
        b'{"x":{"v":1},"t":-100000000000}',
        b'{"x":{"v":1},"t":null,"seq":null}',
        b'{"x":{"v":1},"t":"2026-01-31t12:00:00.123456789z"}',
        b'{"x":{"v":1},"t":"2026-01-31 12:00:00"}',
        b'{"x":{"v":1},"t":"2016-12-31T23:59:60Z"}',
        b'{"x":{"v":1},"t":"2026-01-31T12:00:00-05:30"}',
        b'\n {"x":{"v":1}} \r\n',
    ],
)
def test_values_at_their_limits_are_learned(server: Server, content: bytes) -> None:
    """What is as large, as long or as odd as allowed is an observation."""
    own = server.create()
    reply = server.post(own, content)
    assert (reply.status_code, server.last_seq(own)) == (200, 1), reply.text


def test_as_many_fields_as_allowed(server: Server) -> None:
    """64 fields with names of 100 characters, once known to the spec, are an observation."""
    names = [f"{i:0100}" for i in range(limits.MAX_FIELDS)]
    own = server.create(fields={name: {"type": "number"} for name in names}, aggregation="none")
    reply = server.client.post(f"/v1/streams/{own}/observations", json={"x": dict.fromkeys(names, 1)})
    assert reply.status_code == 200, reply.text


def test_the_largest_seq_is_a_seq(server: Server, stream: str) -> None:
    """2^53 is read, and is a gap; one more is no seq at all."""
    reply = server.post(stream, b'{"x":{"v":1},"seq":9007199254740992}')
    assert (reply.status_code, reply.json()["expected_seq"]) == (409, 1)


def test_of_a_repeated_key_the_last_counts(server: Server) -> None:
    """As documented; both readers agree."""
    own = server.create()
    reply = server.post(own, b'[{"x":{"v":NaN,"v":2}},{"x":{"v":1},"x":{"v":2}}]')
    assert reply.json()["accepted"] == 2


def test_the_number_of_observations_is_bounded(server: Server) -> None:
    """Fifty are taken; fifty-one are 413 `too_many_observations` and none is learned."""
    own = server.create()
    for content_type, join in (("application/json", b"[%s]"), (NDJSON, b"%s")):
        separator = b"," if content_type != NDJSON else b"\n"
        content = join % separator.join([b'{"x":{"v":1}}'] * 51)
        reply = server.post(own, content, content_type=content_type)
        assert (reply.status_code, reply.json()["code"]) == (413, "too_many_observations")
    bad = server.post(own, b"[" + b",".join([b"NaN"] * 51) + b"]")
    assert bad.status_code == 413
    assert server.last_seq(own) == 0
    assert server.observe(own, *[1.0] * 50).json()["accepted"] == 50


def test_the_body_is_bounded_announced_or_not(server: Server, stream: str) -> None:
    """At the limit it is read; one byte more is 413, with Content-Length and chunked alike."""
    path = f"/v1/streams/{stream}/observations"
    for size, status in ((BODY_BYTES, 422), (BODY_BYTES + 1, 413)):
        content = b'{"x":{"k":[]}}'.ljust(size)
        announced = server.client.post(path, content=content)
        chunked = server.client.post(path, content=iter([content[:100], content[100:]]))
        assert (announced.status_code, chunked.status_code) == (status, status)
    assert chunked.json()["code"] == "body_too_large"
    assert chunked.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "text/plain"}, "unsupported_media_type"),
        ({"content-type": "application/x-www-form-urlencoded"}, "unsupported_media_type"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "unsupported_encoding"),
        ({"content-type": "application/json", "content-encoding": "identity, br"}, "unsupported_encoding"),
    ],
)
def test_other_kinds_of_body_are_415(server: Server, stream: str, headers: dict[str, str], code: str) -> None:
    """A body is JSON or NDJSON and not compressed."""
    path = f"/v1/streams/{stream}/observations"
    reply = server.client.post(path, content=b'{"x":{"v":1}}', headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (415, code)
    assert server.last_seq(stream) == 0


def test_json_needs_no_content_type(server: Server) -> None:
    """A missing one, an odd case and parameters are fine."""
    own = server.create()
    path = f"/v1/streams/{own}/observations"
    for headers in ({}, {"content-type": "Application/JSON;charset=utf-8"}, {"content-encoding": "identity"}):
        assert server.client.post(path, content=b'{"x":{"v":1}}', headers=headers).status_code == 200


def test_refusals_before_the_engine_are_counted(server: Server, stream: str) -> None:
    """One for a body that says nothing, one for each observation that does not fit."""
    before = server.meter.refusals.copy()
    server.post(stream, b"{")
    server.post(stream, b'[{"x":{"v":[]}},{"x":{"v":[]}}]')
    server.post(stream, b'{"x":{"v":[]}}')
    new = server.meter.refusals - before
    assert new == {"malformed_body": 1, "invalid_observation": 3}


def test_a_query_parameter_that_does_not_fit_is_named(server: Server, stream: str) -> None:
    """`results` is full or none."""
    reply = server.post(stream, b"[]", params={"results": "some"})
    assert (reply.status_code, reply.json()["field"]) == (422, "results")


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "t", "seq", "v", "k"]), inner),
    max_leaves=8,
)
_texts = _json.map(lambda value: json.dumps(value).encode())
_near = st.fixed_dictionaries(
    {"x": st.dictionaries(st.sampled_from(["v", "k", "w"]), _json, max_size=3)},
    optional={"t": _json, "seq": _json, "y": _json},
).map(lambda value: json.dumps(value).encode())


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=40) | _texts | _near | st.lists(_near | _texts, max_size=4).map(b"\n".join),
    content_type=st.sampled_from(["application/json", NDJSON]),
    is_many=st.booleans(),
)
def test_nothing_gives_a_server_error(server: Server, content: bytes, content_type: str, is_many: bool) -> None:
    """Arbitrary bytes and JSON, near misses included, are answered with a status below 500 in JSON."""
    stream = "any"
    path = "/v1/observations" if is_many else f"/v1/streams/{stream}/observations"
    reply: Any = server.client.post(path, content=content, headers={"content-type": content_type})
    assert reply.status_code < 500, reply.text
    reply.json()
