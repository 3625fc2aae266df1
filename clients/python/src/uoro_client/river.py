"""A stream as a River forecaster: `learn_one(y, x)`, `forecast(horizon)`; needs the extra `river`.

A time series forecaster and no `Regressor`: the service says what is expected *before* an observation arrives, with
its features, so there is no prediction for features at hand. They are listened to, and bear on what is said next.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from typing import Any

from river.time_series.base import Forecaster

from uoro_client.client import Client
from uoro_client.observations import Value
from uoro_client.wire import DEFAULT_URL
from uoro_client.writers import Writer


class StreamForecaster(Forecaster):
    """A forecaster whose model lives in the service, in a stream of its own.

    Nothing is asked of the service before the first `learn_one`, which creates the stream: the target and, as inputs,
    the features that came with it. Features that only come later are left out, missing ones are masked. A datetime
    among the features is the time of the observation (UTC if it names no zone). Every observation is learned once,
    through lost replies and restarts of the service.

    `clone` gives a new forecaster with a new stream, `copy.deepcopy` one whose stream is a clone of this one's, and a
    pickled forecaster goes on with its stream, which it must not share. A key is taken from UORO_API_KEY, since River
    shows parameters.

    Args:
        url: address of the service.
        prefix: what the stream's id begins with; the rest is unique.
        target: name of the field to forecast.
        spec: more of the stream's spec than its fields, such as {"hidden_size": 32}; None is the default.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        prefix: str = "river",
        target: str = "y",
        spec: dict[str, Any] | None = None,
    ) -> None:
        self.url = url
        self.prefix = prefix
        self.target = target
        self.spec = spec
        self._stream: str | None = None
        self._inputs: frozenset[str] = frozenset()
        self._writer: Writer | None = None
        self._client: Client | None = None

    @property
    def stream(self) -> str | None:
        """The stream's id, for whatever a forecaster does not offer; None before the first observation."""
        return self._stream

    def learn_one(self, y: float | None, x: dict[str, Any] | None = None) -> None:
        """Learn the next value; None is a missing one. Raises ClientError, and ValueError for what is no number."""
        features, moment = _features(x or {})
        if self.target in features:
            raise ValueError(f"the feature {self.target!r} has the name of the target")
        if self._stream is None:
            self._create(features)
        values = {name: value for name, value in features.items() if name in self._inputs}
        self._writing().observe(self._stream or "", {self.target: y, **values}, t=moment)

    def forecast(self, horizon: int, xs: list[dict[str, Any]] | None = None) -> list[float]:  # noqa: ARG002 - River's
        """The means of the next `horizon` values; zeros before the first observation. Raises ClientError.

        `xs`, features of times to come, are not used: the service forecasts from what was.
        """
        said = () if self._stream is None else self._calling().predict(self._stream, horizon)
        return [prediction.number(self.target).mean for prediction in said] or [0.0] * horizon

    def __del__(self) -> None:
        # River's estimators are never closed; without this a connection would lie open until its own end.
        if (client := self.__dict__.get("_client")) is not None:
            client.close()

    def __deepcopy__(self, _: dict[int, Any]) -> StreamForecaster:
        copied = type(self)(self.url, self.prefix, self.target, self.spec)
        if self._stream is not None:
            second = self._calling().clone(self._stream, self._new_id())
            copied.__dict__.update(_inputs=self._inputs, _stream=second.id)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None, "_writer": None}

    def _create(self, features: dict[str, Value]) -> None:
        fields: dict[str, Any] = {self.target: {"type": "number"}}
        for name, value in features.items():
            kind = {"type": "category", "size": 64} if isinstance(value, str | bool) else {"type": "number"}
            fields[name] = {**kind, "role": "input"}
        stream = self._new_id()
        self._calling().create_stream(stream, {**(self.spec or {}), "fields": fields})
        self._stream, self._inputs = stream, frozenset(features)

    def _new_id(self) -> str:
        return f"{self.prefix}/{uuid.uuid4()}"

    def _calling(self) -> Client:
        if self._client is None:
            self._client = Client(self.url)
        return self._client

    def _writing(self) -> Writer:
        if self._writer is None:
            self._writer = self._calling().writer()
        return self._writer


def _features(x: dict[str, Any]) -> tuple[dict[str, Value], datetime | None]:
    """What can be a value of a field, by name; and the first moment among the features."""
    features: dict[str, Value] = {}
    moments: list[datetime] = []
    for name, given in x.items():
        if isinstance(given, date):
            whole = given if isinstance(given, datetime) else datetime.combine(given, time_of_day())
            moments.append(whole if whole.tzinfo is not None else whole.replace(tzinfo=UTC))
        else:
            value = given.item() if hasattr(given, "item") else given
            features[str(name)] = value
    return features, next(iter(moments), None)
