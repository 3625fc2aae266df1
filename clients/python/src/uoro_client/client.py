"""The client for synchronous code, the twin of `AsyncClient`. What both decide alike is in other files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self, TypeVar

import httpx

from uoro_client import calls, flows, wire
from uoro_client.attempts import Attempts
from uoro_client.calls import Call, Delivered
from uoro_client.errors import ClientError
from uoro_client.flows import Flow
from uoro_client.observations import Observation, Observations, Timestamp, Value, observation
from uoro_client.order import Order
from uoro_client.replies import (
    BatchReply,
    Metrics,
    NamedSnapshot,
    ObservationReply,
    Prediction,
    Readiness,
    StreamInfo,
)
from uoro_client.retry import Patience
from uoro_client.subscription import Subscription
from uoro_client.tails import Tail
from uoro_client.writers import Writer

T = TypeVar("T")


class Client:
    """Speaks to one service. Safe to share between threads; close it, or use it in a `with`.

    Args:
        url: address of the service.
        api_key: sent as a bearer token, if the service asks for keys; UORO_API_KEY if left out, "" for none.
        timeout_s: seconds to wait for one reply.
        patience: how failed calls are tried again.
        transport: another httpx transport, for tests.
    """

    def __init__(
        self,
        url: str = wire.DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = wire.DEFAULT_TIMEOUT_S,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = wire.base_url(url)
        self._api_key = wire.key_of(api_key)
        self._timeout_s = timeout_s
        self._patience = patience or Patience()
        self._http = httpx.Client(
            headers=wire.headers(self._api_key), timeout=wire.timeout(timeout_s), transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._url!r})"

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def ready(self) -> Readiness:
        """Whether the service serves now, asked once. Raises ConnectionFailed, ReplyLost."""
        return wire.readiness(self._exchange(Call("GET", "/readyz", bytes)))

    def create_stream(
        self,
        stream: str,
        spec: Mapping[str, object] | None = None,
        *,
        labels: Mapping[str, str] | None = None,
    ) -> StreamInfo:
        """Create a stream; one with the same spec is answered as it is. Raises Conflict, InvalidRequest."""
        return self._send(calls.create_stream(stream, spec, labels))

    def stream(self, stream: str) -> StreamInfo:
        """A stream's spec, labels and state. Raises NotFound."""
        return self._send(calls.describe(stream))

    def streams(
        self,
        *,
        prefix: str = "",
        labels: Mapping[str, str] | None = None,
        page_size: int = 500,
        glance: bool = False,
    ) -> Iterator[StreamInfo]:
        """All streams by id, fetched page by page; `glance` asks for losses, newest values and a trend of each."""
        cursor: str | None = None
        while True:
            page = self._send(
                calls.list_streams(cursor=cursor, page_size=page_size, prefix=prefix, labels=labels, glance=glance)
            )
            yield from page.streams
            cursor = page.cursor
            if cursor is None:
                return

    def delete_stream(self, stream: str) -> None:
        """Forget a stream, its log and its snapshots. Raises NotFound."""
        self._send(calls.delete_stream(stream))

    def observe(
        self, stream: str, x: Mapping[str, Value], *, t: Timestamp | None = None, seq: int | None = None
    ) -> ObservationReply:
        """Post one observation; it is predicted, then learned. With `seq` it is safely sent again."""
        return self._send(calls.observe(stream, observation(Observation(x, t, seq))))

    def observe_many(self, stream: str, observations: Observations, *, full: bool = False) -> BatchReply:
        """Post observations of one stream in order, in chunks; `full` asks for every result."""
        return self.follow(flows.observe_many(stream, observations, full=full))

    def observe_streams(self, observations: Observations, *, full: bool = False) -> BatchReply:
        """Post observations of several streams, each naming its own, in chunks."""
        return self.follow(flows.observe_many(None, observations, full=full))

    def writer(self) -> Writer:
        """A writer that numbers what it posts, so that nothing is ever learned twice."""
        return Writer(self)

    def predict(self, stream: str, horizon: int = 1) -> tuple[Prediction, ...]:
        """The next `horizon` predictions, nearest first; none before the first observation."""
        return self._send(calls.predict(stream, horizon))

    def metrics(self, stream: str) -> Metrics:
        """How well a stream is predicted, next to the naive forecast."""
        return self._send(calls.metrics(stream))

    def results(self, stream: str, limit: int | None = None) -> tuple[ObservationReply, ...]:
        """The most recent results, newest last."""
        return self._send(calls.results(stream, limit))

    def freeze(self, stream: str) -> StreamInfo:
        """Predict from now on without learning; the state still advances."""
        return self._send(calls.set_frozen(stream, is_frozen=True))

    def unfreeze(self, stream: str) -> StreamInfo:
        """Learn again."""
        return self._send(calls.set_frozen(stream, is_frozen=False))

    def export(self, stream: str) -> bytes:
        """The whole model as one self-describing safetensors file."""
        return self._send(calls.export(stream))

    def import_model(self, stream: str, file: bytes, *, replace: bool = False) -> StreamInfo:
        """Make a stream of an exported file. Raises Conflict if the id is taken, unless `replace`."""
        return self._send(calls.import_model(stream, file, replace=replace))

    def snapshot(self, stream: str, name: str) -> NamedSnapshot:
        """Keep the model as it is now under a name."""
        return self._send(calls.save_snapshot(stream, name))

    def snapshots(self, stream: str) -> tuple[NamedSnapshot, ...]:
        """The named versions of a stream's model."""
        return self._send(calls.snapshots(stream))

    def restore(self, stream: str, name: str) -> StreamInfo:
        """Go back to a named version, `seq` included. Raises NotFound."""
        return self._send(calls.restore(stream, name))

    def clone(self, stream: str, to: str) -> StreamInfo:
        """A second stream that starts from this one's model. Raises Conflict if `to` exists."""
        return self._send(calls.clone(stream, to))

    def subscribe(self, *streams: str) -> Subscription:
        """Every result of these streams from now on, whoever posts; without ids, of all streams."""
        return Subscription(self._url, self._api_key, self._timeout_s, streams)

    def tail(self, stream: str, *, after: int | None = None, patience: Patience | None = None) -> Tail:
        """Every result of a stream, once and in order, through lost connections and restarts of the service.

        Args:
            stream: id of the stream. It must exist: otherwise NotFound is raised.
            after: the `seq` after which to begin, as far as the service keeps results (the latest 64); None begins
                with what comes from now on.
            patience: how long one outage is sat out; the client's own if left out.
        """
        return Tail(stream, self.subscribe, self._recent, Order(after), patience or self._patience)

    def _recent(self, stream: str) -> tuple[ObservationReply, ...]:
        return self.results(stream, calls.MAX_RECENT_RESULTS)

    def _send(self, call: Call[T]) -> T:
        return self._deliver(call).value

    def follow(self, flow: Flow[T]) -> T:
        """Drive a flow to its answer."""
        try:
            call = next(flow)
            while True:
                try:
                    delivered = self._deliver(call)
                except ClientError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(delivered)
        except StopIteration as end:
            answer: T = end.value
            return answer

    def _deliver(self, call: Call[T]) -> Delivered[T]:
        attempts = Attempts(call, self._patience)
        while True:
            try:
                return attempts.delivered(wire.value(call, self._exchange(call)))
            except ClientError as error:
                outcome = attempts.failed(error)
            if isinstance(outcome, Delivered):
                return outcome
            time.sleep(outcome)

    def _exchange(self, call: Call[T]) -> httpx.Response:
        request = self._http.build_request(
            call.method,
            self._url + call.path,
            params=call.query or None,
            content=call.content,
            headers=wire.content_headers(call),
        )
        try:
            return self._http.send(request)
        except httpx.TransportError as error:
            raise wire.mapped(error, self._url) from error
