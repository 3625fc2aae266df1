"""The client against a double of the service that fails on demand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest

from uoro_client import (
    AsyncClient,
    CategoryForecast,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    NumberForecast,
    Observation,
    OutOfSequence,
    Overloaded,
    Patience,
    ReplyLost,
    Unavailable,
    UnexpectedReply,
)
from uoro_client.testing import Fault, ServiceDouble

BRIEF = Patience(max_attempts=4, first_pause_s=0.0)


@pytest.fixture
def double() -> ServiceDouble:
    return ServiceDouble()


@pytest.fixture
def client(double: ServiceDouble) -> Client:
    return Client(transport=double.transport(), patience=BRIEF)


def test_an_observation_is_answered_with_types(client: Client) -> None:
    """Numbers come back as number forecasts, categories as category forecasts."""
    first = client.observe("taxi", {"value": 10.0, "kind": "a"}, t=0)
    second = client.observe("taxi", {"value": 11.0, "kind": "a"}, t=datetime(2024, 1, 1, tzinfo=UTC))
    assert first.prediction is None
    assert second.seq == 2
    assert second.prediction is not None
    assert isinstance(second.prediction.number("value"), NumberForecast)
    assert isinstance(second.prediction.category("kind"), CategoryForecast)
    assert second.prediction.category("kind").likeliest == "a"
    with pytest.raises(KeyError):
        second.prediction.number("kind")


@pytest.mark.parametrize("stream", ["a/b:c", "a-b.c_d", "a/../b", "0"])
def test_ids_are_percent_encoded(client: Client, double: ServiceDouble, stream: str) -> None:
    """A slash in an id is part of the id, not of the path."""
    client.observe(stream, {"v": 1})
    assert client.stream(stream).id == stream
    assert all(path.count("/") <= 4 for _, path in double.requests)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_carry_is_refused_before_it_is_sent(
    client: Client, double: ServiceDouble, value: float
) -> None:
    """NaN must not turn into a silent null."""
    with pytest.raises(ValueError, match="give None"):
        client.observe("a", {"v": value})
    assert double.requests == []


def test_a_naive_datetime_is_refused(client: Client) -> None:
    """A moment without a time zone is not a moment."""
    with pytest.raises(ValueError, match="time zone"):
        client.observe("a", {"v": 1}, t=datetime(2024, 1, 1))  # noqa: DTZ001 - the point of the test


def test_numpy_scalars_are_numbers(client: Client, double: ServiceDouble) -> None:
    """A row of an array can be posted as it is."""
    client.observe_many("a", [{"v": np.float64(1.5)}, {"v": np.int64(2)}])
    assert double.learned["a"] == [{"v": 1.5}, {"v": 2}]


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST])
def test_without_seq_a_lost_reply_is_not_sent_again(client: Client, double: ServiceDouble, fault: Fault) -> None:
    """Sent once, whether or not it was taken; the error says that it is in doubt."""
    double.faults.append(fault)
    with pytest.raises(ReplyLost) as caught:
        client.observe("a", {"v": 1})
    assert caught.value.is_in_doubt
    assert len(double.requests) == 1


def test_without_seq_a_503_stands(client: Client, double: ServiceDouble) -> None:
    """The log may hold the observation, so sending it again could learn it twice."""
    double.faults.append(Fault.UNAVAILABLE_AFTERWARDS)
    with pytest.raises(Unavailable) as caught:
        client.observe("a", {"v": 1})
    assert caught.value.code == "store_unavailable"
    assert double.learned["a"] == [{"v": 1}]


@pytest.mark.parametrize("fault", [Fault.OVERLOADED, Fault.REFUSE_CONNECTION])
def test_without_seq_what_was_not_taken_is_sent_again(client: Client, double: ServiceDouble, fault: Fault) -> None:
    """A 429 and a refused connection prove that nothing was taken."""
    double.faults += [fault, fault]
    assert client.observe("a", {"v": 1}).seq == 1
    assert double.learned["a"] == [{"v": 1}]


@pytest.mark.parametrize("fault", list(Fault))
def test_with_seq_everything_is_sent_again_and_learned_once(
    client: Client, double: ServiceDouble, fault: Fault
) -> None:
    """Whatever befalls two attempts, the observation is learned exactly once."""
    double.faults += [fault, fault]
    assert client.observe("a", {"v": 1}, seq=1).seq == 1
    assert double.learned["a"] == [{"v": 1}]


def test_attempts_end(client: Client, double: ServiceDouble) -> None:
    """A service that stays full is given up after the last allowed attempt."""
    double.faults += [Fault.OVERLOADED] * 4
    with pytest.raises(Overloaded) as caught:
        client.observe("a", {"v": 1})
    assert not caught.value.is_in_doubt
    assert len(double.requests) == 4


def test_a_deletion_whose_reply_was_lost_succeeds(client: Client, double: ServiceDouble) -> None:
    """Not being there any more is what was asked for; without doubt it is an error."""
    client.observe("a", {"v": 1})
    double.faults.append(Fault.LOSE_REPLY)
    client.delete_stream("a")
    with pytest.raises(NotFound):
        client.delete_stream("a")


def test_errors_are_typed(client: Client) -> None:
    """The problem's code, detail and members arrive on an error of its kind."""
    client.create_stream("a", {"fields": {"v": {"type": "number"}}})
    with pytest.raises(OutOfSequence) as gap:
        client.observe("a", {"v": 1}, seq=5)
    assert (gap.value.status, gap.value.expected_seq) == (409, 1)
    with pytest.raises(InvalidRequest) as misfit:
        client.observe("a", {"v": "high"})
    assert (misfit.value.code, misfit.value.field) == ("invalid_observation", "v")
    with pytest.raises(Conflict, match="stream_exists"):
        client.create_stream("a", {"fields": {"w": {"type": "number"}}})


def test_a_proxys_error_page_is_still_an_error() -> None:
    """A reply that is no problem document is told by its status."""
    page = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>"))
    with pytest.raises(NotFound) as caught:
        Client(transport=page).stream("a")
    assert caught.value.code == "http_404"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"seq": "x"}', b"\xff"])
def test_a_nonsensical_reply_is_an_error(body: bytes) -> None:
    """A reply that is not what the service promises is never half-read."""
    page = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    with pytest.raises(UnexpectedReply):
        Client(transport=page).observe("a", {"v": 1})


def test_a_wrong_address_is_refused_at_once() -> None:
    """The constructor says what an address looks like."""
    with pytest.raises(ValueError, match="looks like"):
        Client("localhost:8000")


def test_nobody_there() -> None:
    """A closed port is a ConnectionFailed that names the address."""
    with (
        Client("http://127.0.0.1:9", patience=Patience(max_attempts=1)) as client,
        pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:9"),
    ):
        client.ready()


def test_readiness(client: Client, double: ServiceDouble) -> None:
    """Recovering is an answer, not an error."""
    assert client.ready().is_ready
    double.is_recovering = True
    readiness = client.ready()
    assert not readiness.is_ready
    assert "not_ready" in readiness.reason


def test_many_observations_go_in_chunks(client: Client, double: ServiceDouble) -> None:
    """2,001 observations take three requests, and their replies add up."""
    reply = client.observe_many("a", ({"v": n} for n in range(2001)), full=True)
    assert reply.accepted == 2001
    assert reply.results is not None
    assert [result.seq for result in reply.results] == list(range(1, 2002))
    assert len(double.requests) == 3


def test_refusals_name_the_callers_index(client: Client) -> None:
    """An index counts from the first observation given, not from its chunk."""
    client.create_stream("a", {"fields": {"v": {"type": "number"}}})
    rows = [{"v": "x" if n in {3, 1500} else n} for n in range(1600)]
    reply = client.observe_many("a", rows)
    assert (reply.accepted, reply.rejected) == (1598, 2)
    assert [refusal.index for refusal in reply.errors] == [3, 1500]


def test_a_failure_half_way_tells_what_was_taken(client: Client, double: ServiceDouble) -> None:
    """The error carries the reply to the chunks before it."""
    double.faults += [None, Fault.LOSE_REQUEST]
    with pytest.raises(ReplyLost) as caught:
        client.observe_many("a", [{"v": n} for n in range(1500)])
    assert caught.value.partial is not None
    assert caught.value.partial.accepted == 1000


def test_several_streams_in_one_request(client: Client, double: ServiceDouble) -> None:
    """Every observation names its stream; one that does not is refused before anything is sent."""
    reply = client.observe_streams([Observation({"v": n}, stream="ab"[n % 2]) for n in range(5)])
    assert reply.streams is not None
    assert {id_: share.last_seq for id_, share in reply.streams.items()} == {"a": 3, "b": 2}
    with pytest.raises(ValueError, match="id of its stream"):
        client.observe_streams([Observation({"v": 1})])


def test_listing_goes_through_all_pages(client: Client, double: ServiceDouble) -> None:
    """Pages of two give all five streams, in order."""
    for name in "abcde":
        client.create_stream(name)
    double.requests.clear()
    assert [stream.id for stream in client.streams(page_size=2)] == list("abcde")
    assert len(double.requests) == 3


def test_models_go_out_and_in(client: Client) -> None:
    """An export can be imported under another id; a taken id needs `replace`."""
    client.observe("a", {"v": 1})
    file = client.export("a")
    assert client.import_model("b", file).last_seq == 1
    with pytest.raises(Conflict):
        client.import_model("b", file)
    assert client.import_model("b", file, replace=True).last_seq == 1


def test_reads(client: Client) -> None:
    """Metrics, results and predictions come back typed."""
    assert client.observe_many("a", [{"v": 1.0}, {"v": 2.0}]).accepted == 2
    assert client.metrics("a").total_skill == 0.5
    assert [result.seq for result in client.results("a")] == [1, 2]
    assert client.predict("a")[0].number("v").mean == 2.0
    assert client.freeze("a").last_seq == client.unfreeze("a").last_seq == 2


def test_the_key_goes_with_every_request() -> None:
    """A key is sent as a bearer token."""
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200)

    Client(api_key="k", transport=httpx.MockTransport(answer)).ready()
    assert seen == ["Bearer k"]


def test_the_async_twin(double: ServiceDouble) -> None:
    """The asynchronous client makes the same decisions: retries, chunks, pages, doubt."""

    async def story() -> None:
        async with AsyncClient(transport=double.transport(), patience=BRIEF) as client:
            double.faults += [Fault.LOSE_REPLY, Fault.OVERLOADED]
            assert (await client.observe("a", {"v": 1}, seq=1)).duplicate
            assert (await client.observe_many("a", [{"v": n} for n in range(1001)])).accepted == 1001
            assert [stream.id async for stream in client.streams()] == ["a"]
            writer = client.writer()
            double.faults += [None, Fault.UNAVAILABLE_AFTERWARDS]
            assert (await writer.observe("a", {"v": 7})).seq == 1003
            assert (await writer.observe_many("a", [{"v": 8}])).accepted == 1
            double.faults.append(Fault.LOSE_REPLY)
            with pytest.raises(ReplyLost):
                await client.observe("a", {"v": 9})
            await client.delete_stream("a")
            assert (await client.ready()).is_ready

    asyncio.run(story())


def test_twins_have_the_same_methods() -> None:
    """A method of one client exists in the other, with the same parameters."""
    import inspect  # noqa: PLC0415 - only this test looks at signatures

    renamed = {"close": "aclose"}
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            twin = getattr(AsyncClient, renamed.get(name, name))
            assert list(inspect.signature(method).parameters) == list(inspect.signature(twin).parameters), name
