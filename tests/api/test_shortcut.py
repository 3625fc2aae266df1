"""The short way of observations past the framework answers like the long one, and is measured like it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from api_ground import CountingMeter, Server, TestClient, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uoro.api.app import create_app
from uoro.errors import Overloaded, StoreUnavailable, UoroError
from uoro.limits import Limits

LIMITS = Limits(drain_timeout_s=1.0, max_body_bytes=2048, max_observations_per_request=3)

PATHS = """
    /v1/streams/{s}/observations /v1/streams/{s}/observations?results=full /v1/streams/{s}/observations?results=odd
    /v1/streams/unknown/observations /v1/streams/%2F/observations /v1/streams/a%2Fb/observations
    /v1/streams//observations /v1/streams/a/b/observations /v1/streams/{s}/observations/
    /v1/observations /v1/observations?results=full /v1/observations/
"""
paths = st.sampled_from(PATHS.split())
observation = st.sampled_from(['{"x":{"v":1.5}}', '{"x":{"v":2,"k":"w"},"t":"2026-01-01T00:00:00Z"}', '{"x":{"w":1}}'])
named = st.sampled_from(['{"stream":"s","x":{"v":1.5}}', '{"stream":"no","x":{"v":1}}', '{"x":{"v":NaN}}'])
bodies = st.one_of(
    observation,
    st.lists(observation, max_size=4).map(lambda its: "[" + ",".join(its) + "]"),
    st.lists(st.one_of(observation, named), max_size=4).map("\n".join),
    st.sampled_from(["", "{", "[1]", '{"x":{"v":1},"seq":9}', '{"x":{"v":1},"seq":1}', " " * 2049]),
).map(str.encode)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            ["application/json", "application/x-ndjson", "text/plain", "application/json;a"]
        ),
        "content-encoding": st.sampled_from(["gzip", "identity"]),
        "x-request-id": st.sampled_from(["mine", "not sane!"]),
    },
)


@pytest.fixture(scope="module")
def ways() -> Iterator[tuple[Server, Server]]:
    """Two servers alike, one of them without the short way."""
    with serving(limits=LIMITS) as short, serving(limits=LIMITS, has_shortcut=False) as long:
        for server in (short, long):
            server.create_as("s")
        yield short, long


def ask(server: Server, method: str, path: str, body: bytes, given_headers: dict[str, str]) -> tuple[Any, ...]:
    """Status, headers and body of an answer, and what the meter was told."""
    before, refusals = len(server.meter.requests), server.meter.refusals.copy()
    reply = server.client.request(method, path.replace("{s}", "s"), content=body, headers=given_headers)
    told = {name: value for name, value in reply.headers.items() if name != "x-request-id"}
    content = reply.content.replace(reply.headers["x-request-id"].encode(), b"its id")
    return reply.status_code, told, content, server.meter.requests[before:], server.meter.refusals - refusals


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["POST"] * 5 + ["GET", "PUT", "HEAD"]), paths, bodies, headers)
def test_both_ways_answer_alike(
    ways: tuple[Server, Server], method: str, path: str, body: bytes, given_headers: dict[str, str]
) -> None:
    """Any request: equal status, headers, body and measures; the streams go on alike, so results are equal too."""
    short, long = (ask(server, method, path, body, given_headers) for server in ways)
    assert short == long


@pytest.mark.parametrize("error", [Overloaded("full"), StoreUnavailable("away"), UoroError("odd"), ValueError("bug")])
def test_failures_are_answered_alike(error: Exception) -> None:
    """429, 503 and 500 have the same bodies and headers either way, and are counted."""

    def fail(*_: object) -> None:
        raise error

    answers = []
    for has_shortcut in (True, False):
        meter = CountingMeter()
        engine = SimpleNamespace(observe=fail, hub=SimpleNamespace(bind=lambda _: None))
        app = create_app(engine, LIMITS, meter, has_shortcut=has_shortcut)  # type: ignore[arg-type]
        with TestClient(app, raise_server_exceptions=False) as client:
            reply = client.post(
                "/v1/streams/s/observations", content=b'{"x":{"v":1}}', headers={"x-request-id": "mine"}
            )
        answers.append((reply.status_code, dict(reply.headers), reply.content, meter.requests))
    assert answers[0] == answers[1]
