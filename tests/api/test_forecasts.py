"""Forecasts ahead of now as a Prometheus would answer them, judged against `…/prediction?horizon=`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from api_ground import Server, quote, serving
from key_ground import guarded

from uoro import limits
from uoro.api.cadence import Cadence, cadence_of
from uoro.api.selector import FORECAST, Selector, parse
from uoro.domain import Result
from uoro.errors import InvalidRequest

START_S = 1_800_000_000.0
GAP_S = 60.0
NUM = 40
SERIES = {FORECAST: "mean", f"{FORECAST}_lower": "lower", f"{FORECAST}_upper": "upper"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for all."""
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def stream(server: Server) -> str:
    """A stream with a number and a category, an observation a minute, the newest at START_S."""
    stream = server.create("plant/timed")
    chance = random.Random(1)
    bodies = [
        {"x": {"v": chance.random(), "k": chance.choice("ab")}, "t": START_S + GAP_S * (place - NUM + 1)}
        for place in range(NUM)
    ]
    assert server.client.post(f"/v1/streams/{quote(stream)}/observations", json=bodies).json()["accepted"] == NUM
    return stream


def asked(server: Server, path: str, **parameters: Any) -> Any:
    """The answer's members; a refused query fails."""
    response = server.client.get(f"/api/v1/{path}", params=parameters)
    assert response.status_code == 200, response.text
    assert response.json()["status"] == "success"
    return response.json()


def predicted(server: Server, stream: str, horizon: int) -> list[dict[str, float]]:
    """What the judge says: the number's forecasts, the next one first."""
    reply = server.client.get(f"/v1/streams/{quote(stream)}/prediction", params={"horizon": horizon}).json()
    return [prediction["v"] for prediction in reply["predictions"]]


def test_each_future_moment_has_the_forecast_of_its_own_observation(server: Server, stream: str) -> None:
    """At the times when the next 30 observations are due stand the 30 predictions, number for number."""
    data = asked(
        server,
        "query_range",
        query=f'{{stream="{stream}"}}',
        start=START_S,
        end=START_S + 30 * GAP_S,
        step=GAP_S,
    )["data"]
    assert data["resultType"] == "matrix"
    assert {series["metric"]["__name__"] for series in data["result"]} == set(SERIES)
    expected = predicted(server, stream, 30)
    for series in data["result"]:
        assert series["metric"] == {"__name__": series["metric"]["__name__"], "field": "v", "stream": stream}
        told = [(time_s, float(value)) for time_s, value in series["values"]]
        part = SERIES[series["metric"]["__name__"]]
        assert told == [(START_S + GAP_S * (step + 1), of[part]) for step, of in enumerate(expected)]


def test_a_forecast_holds_until_the_next_is_due(server: Server, stream: str) -> None:
    """Asked for every 20 seconds, each value stands three times; before the first is due there is none."""
    (series,) = asked(
        server,
        "query_range",
        query=f'{FORECAST}{{stream="{stream}",field="v"}}',
        start=START_S + 20,
        end=START_S + 2 * GAP_S + 40,
        step="20s",
    )["data"]["result"]
    first, second = (of["mean"] for of in predicted(server, stream, 2))
    assert [time_s for time_s, _ in series["values"]] == [START_S + GAP_S + 20 * place for place in range(6)]
    assert [float(value) for _, value in series["values"]] == [first] * 3 + [second] * 3


def test_one_moment(server: Server, stream: str) -> None:
    """An instant query has the value that holds then, in any spelling of the time, and none long ago."""
    (third,) = predicted(server, stream, 3)[2:]
    for moment in (START_S + 3 * GAP_S + 1, datetime.fromtimestamp(START_S + 3 * GAP_S, UTC).isoformat()):
        data = asked(server, "query", query=f"{FORECAST}{{stream='{stream}'}}", time=moment)["data"]
        assert data["resultType"] == "vector"
        (sample,) = data["result"]
        assert float(sample["value"][1]) == third["mean"]
    assert asked(server, "query", query=f"{FORECAST}{{stream='{stream}'}}", time=1)["data"]["result"] == []


def test_what_grafana_calls_first(server: Server, stream: str) -> None:
    """Its test of the connection, the build, the labels, their values and the series."""
    data = asked(server, "query", query="1+1", time=5)["data"]
    assert data == {"resultType": "scalar", "result": [5.0, "2"]}
    assert asked(server, "status/buildinfo")["data"]["application"] == "uoro"
    assert asked(server, "labels")["data"] == ["__name__", "field", "stream"]
    assert asked(server, "label/__name__/values")["data"] == sorted(SERIES)
    assert stream in asked(server, "label/stream/values", **{"match[]": FORECAST})["data"]
    of_stream = {"match[]": f'{FORECAST}{{stream="{stream}"}}'}
    assert asked(server, "label/field/values", **of_stream)["data"] == ["v"]
    assert asked(server, "label/other/values")["data"] == []
    assert asked(server, "series", **of_stream)["data"] == [{"__name__": FORECAST, "field": "v", "stream": stream}]
    assert asked(server, "series", **{"match[]": f'{FORECAST}{{stream="nobody"}}'})["data"] == []


@pytest.mark.parametrize("times", [[None] * 9, [1.0, 2.0], [5.0] * 9])
def test_a_stream_without_a_clock_is_told_so(server: Server, times: list[float | None]) -> None:
    """No `t`, one gap only, or a time that stands still: nothing is invented, a warning names the stream."""
    stream = server.create("clockless")
    bodies = [{"x": {"v": 1.0}, **({} if t is None else {"t": t})} for t in times]
    server.client.post(f"/v1/streams/{stream}/observations", json=bodies).raise_for_status()
    reply = asked(server, "query_range", query=f'{{stream="{stream}"}}', start=0, end=100, step=1)
    assert reply["data"]["result"] == []
    (warning,) = reply["warnings"]
    assert stream in warning
    assert "give them a t" in warning


def test_before_the_first_observation_and_of_no_stream(server: Server) -> None:
    """A stream that is new is told of; one that is not there is like a series that Prometheus does not have."""
    stream = server.create("unborn")
    reply = asked(server, "query", query=f'{{stream="{stream}"}}')
    assert (reply["data"]["result"], len(reply["warnings"])) == ([], 1)
    assert "warnings" not in asked(server, "query", query='{stream="nobody"}')


def test_the_horizon_at_its_limit_and_one_past(server: Server, stream: str) -> None:
    """The furthest forecast is told; a range that goes on beyond it says where forecasts end."""
    last_s = START_S + limits.MAX_HORIZON_STEPS * GAP_S
    within, beyond = (
        asked(server, "query_range", query=f'{FORECAST}{{stream="{stream}"}}', start=START_S, end=end_s, step=GAP_S)
        for end_s in (last_s, last_s + GAP_S)
    )
    for reply in (within, beyond):
        (series,) = reply["data"]["result"]
        assert len(series["values"]) == limits.MAX_HORIZON_STEPS
        assert series["values"][-1][0] == last_s
    assert "warnings" not in within
    assert "500 steps ahead" in beyond["warnings"][0]


BAD = {
    "no query": {"query": None},
    "a function": {"query": "rate(uoro_stream_forecast[5m])"},
    "an operator": {"query": 'uoro_stream_forecast{stream="a"} + 1'},
    "no stream": {"query": FORECAST},
    "a regular expression": {"query": '{stream=~"a.*"}'},
    "two values": {"query": '{stream="a",stream="b"}'},
    "an open quote": {"query": '{stream="a}'},
    "a query one too long": {"query": '{stream="' + "a" * (limits.MAX_QUERY_CHARS - 10) + '"}'},
    "no start": {"start": None},
    "a start that is no time": {"start": "yesterday"},
    "a start out of range": {"start": "1e12"},
    "not a number": {"start": "nan"},
    "an end before the start": {"end": "-1"},
    "no step": {"step": None},
    "a step of nothing": {"step": "0"},
    "a step below its limit": {"step": str(limits.MIN_RANGE_STEP_S * 0.99)},
    "a span of nobody's": {"step": "5 fortnights"},
    "a point too many": {"end": str(limits.MAX_RANGE_POINTS), "step": "1"},
}


@pytest.mark.parametrize("wrong", BAD)
def test_what_does_not_fit_is_refused_as_prometheus_does(server: Server, wrong: str) -> None:
    """400 with `errorType` and one sentence."""
    good = {"query": '{stream="a"}', "start": "0", "end": "10", "step": "1"}
    parameters = {name: value for name, value in {**good, **BAD[wrong]}.items() if value is not None}
    response = server.client.get("/api/v1/query_range", params=parameters)
    assert response.status_code == 400
    assert (response.json()["status"], response.json()["errorType"]) == ("error", "bad_data")
    assert response.json()["error"]


def test_limits_at_their_values_are_taken(server: Server) -> None:
    """The most points, the shortest step, the longest query and the most selectors."""
    longest = '{stream="' + "a" * (limits.MAX_QUERY_CHARS - 11) + '"}'
    assert len(longest) == limits.MAX_QUERY_CHARS
    asked(server, "query_range", query=longest, start=0, end=limits.MAX_RANGE_POINTS - 1, step=1)
    asked(server, "query_range", query='{stream="a"}', start=0, end=0, step=limits.MIN_RANGE_STEP_S)
    most = {"match[]": ['{stream="a"}'] * limits.MAX_SELECTORS}
    assert asked(server, "series", **most)["data"] == []
    most["match[]"].append("{}")
    assert server.client.get("/api/v1/series", params=most).status_code == 400


def test_more_streams_than_a_list_shows_are_said_to_be_left_out(
    server: Server, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit of a page of streams all are listed without a word; one past it there is a warning."""
    num = len(server.client.get("/v1/streams").json()["streams"])
    assert num > 1
    monkeypatch.setattr(limits, "MAX_LIST_PAGE", num)
    assert "warnings" not in asked(server, "series")
    monkeypatch.setattr(limits, "MAX_LIST_PAGE", num - 1)
    assert asked(server, "series")["warnings"] == [f"the first {num - 1} streams are listed"]


def test_a_prefix_hides_every_other_stream(tmp_path: Path) -> None:
    """A key with a prefix is answered of a foreign stream as of none, in values, labels and series."""
    with guarded(tmp_path / "keys.json") as ground:
        for stream in ("in/a", "out/a"):
            path = f"/v1/streams/{quote(stream)}"
            body = {"spec": {"fields": {"v": {"type": "number"}}, "hidden_size": 2}}
            assert ground.call(ground.root, "PUT", path, json=body).status_code == 201
            bodies = [{"x": {"v": 1.0 * n}, "t": 1000 + n} for n in range(9)]
            assert ground.call(ground.root, "POST", f"{path}/observations", json=bodies).status_code == 200
        token = ground.keys.make("read", prefix="in/")
        while ground.call(token, "GET", "/v1/streams").status_code == 401:
            pass

        def told(path: str, **parameters: Any) -> Any:
            return ground.call(token, "GET", f"/api/v1/{path}", params=parameters).json()

        at = {"time": 1010}
        assert told("query", query='{stream="in/a"}', **at)["data"]["result"]
        foreign, missing = (told("query", query=f'{{stream="{id_}"}}', **at) for id_ in ("out/a", "out/b"))
        assert foreign == missing == {"status": "success", "data": {"resultType": "vector", "result": []}}
        assert told("label/stream/values")["data"] == ["in/a"]
        assert {labels["stream"] for labels in told("series")["data"]} == {"in/a"}
        assert told("series", **{"match[]": '{stream="out/a"}'})["data"] == []
        for path in ("query", "query_range", "labels", "series", "label/stream/values", "status/buildinfo"):
            assert ground.call(ground.keys.make("write"), "GET", f"/api/v1/{path}").status_code in {401, 403}


def result(seq: int, t: float | str | None) -> Result:
    return Result(seq, t, None, None, None, None, None)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0.0, 10.0, 20.0], Cadence(20.0, 10.0)),
        ([0.0, 10.0, 500.0, 510.0], Cadence(510.0, 10.0)),
        (["2027-01-15T08:00:00Z", "2027-01-15T08:00:05Z", "2027-01-15T10:00:10+02:00"], Cadence(1_800_000_010.0, 5.0)),
        ([0.0, 10.0, 20.0, None, None], Cadence(40.0, 10.0)),
        ([0.0, None, 20.0, None, 40.0], None),
        ([20.0, 10.0, 0.0], None),
        ([None, None], None),
        ([0.0, 10.0], None),
        ([], None),
    ],
)
def test_the_clock_of_a_stream(times: list[float | str | None], expected: Cadence | None) -> None:
    """The median gap between neighbours that both have a time, and the newest time, counted on where it is missing."""
    assert cadence_of([result(seq, t) for seq, t in enumerate(times, 1)]) == expected


@pytest.mark.parametrize(
    ("text", "equal"),
    [
        (FORECAST, {"__name__": FORECAST}),
        ('{stream="a"}', {"stream": "a"}),
        (" x { stream = 'a' , field=`b\\` , } ", {"__name__": "x", "stream": "a", "field": "b\\"}),
        (r'{stream="a\"b\\c\nd"}', {"stream": 'a"b\\c\nd'}),
        ('{__name__="x",stream="p/q:r"}', {"__name__": "x", "stream": "p/q:r"}),
        ("{}", {}),
    ],
)
def test_selectors_are_read(text: str, equal: dict[str, str]) -> None:
    """Names, the three kinds of quotes, escapes, blanks and a last comma."""
    assert parse(text) == Selector(equal)


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "{", "{a}", '{a="b" c="d"}', '{,a="b"}', '{a="b",,}', "{a=b}", "a[5m]"]
)
def test_what_is_no_selector(text: str) -> None:
    """Everything else is refused."""
    with pytest.raises(InvalidRequest):
        parse(text)
