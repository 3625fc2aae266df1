"""The engine as one caller may know it behind a websocket.

The door lets any key in there, since messages differ in what they need: each asks for its own scope here.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from uoro.api import rights
from uoro.api.confined import Confined
from uoro.api.ports import Hub
from uoro.domain import Prediction, Run, StreamInfo
from uoro.engine.outcomes import Outcomes


class Conversing(Confined):
    """A confined engine that asks for scopes."""

    @property
    def hub(self) -> Hub:
        """Where results are published, with the scope that following them needs."""
        self._principal.demand(rights.SUBSCRIBE)
        return super().hub

    def observe(self, runs: Sequence[Run]) -> Future[Outcomes]:
        """As before, with the scope that the message needs."""
        self._principal.demand(rights.OBSERVE)
        return super().observe(runs)

    def describe(self, stream: str) -> StreamInfo:
        """As before; a prediction asks this first."""
        self._principal.demand(rights.PREDICT)
        return super().describe(stream)

    def predict(self, stream: str, horizon: int) -> Future[list[Prediction] | None]:
        """As before, with the scope that the message needs."""
        self._principal.demand(rights.PREDICT)
        return super().predict(stream, horizon)
