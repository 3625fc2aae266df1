"""The moments that a query asks about, as Prometheus reads them. Each raises InvalidRequest naming the parameter."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request

from uoro import limits
from uoro.api.timestamps import epoch_s
from uoro.errors import InvalidObservation, InvalidRequest

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_SPAN = re.compile(r"([0-9]{1,9})(ms|[smhdwy])")
_NUMBER = re.compile(r"[+-]?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})([eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True)
class Moments:
    """Evenly spaced ones, both ends included."""

    start_s: float
    end_s: float
    step_s: float

    def times(self) -> list[float]:
        """Each as epoch seconds."""
        num = int((self.end_s - self.start_s) / self.step_s) + 1
        return [self.start_s + self.step_s * place for place in range(num)]


def moments(request: Request) -> Moments:
    """`start`, `end` and `step`."""
    start_s, end_s, step_s = moment(request, "start"), moment(request, "end"), _span(request, "step")
    if end_s < start_s:
        raise InvalidRequest("end must not be before start", field="end")
    if (end_s - start_s) / step_s >= limits.MAX_RANGE_POINTS:
        raise InvalidRequest(f"a range may have {limits.MAX_RANGE_POINTS} points; take a longer step", field="step")
    return Moments(start_s, end_s, step_s)


def text_of(request: Request, name: str) -> str:
    """A parameter that must be there."""
    text = request.query_params.get(name)
    if not text:
        raise InvalidRequest(f"{name} is missing", field=name)
    return text


def moment(request: Request, name: str) -> float:
    """Epoch seconds or RFC 3339, as epoch seconds."""
    text = text_of(request, name)
    if _NUMBER.fullmatch(text):
        time_s = float(text)
    else:
        try:
            time_s = epoch_s(text)
        except InvalidObservation as error:
            raise InvalidRequest(f"{name} must be epoch seconds or an RFC 3339 timestamp", field=name) from error
    if abs(time_s) > limits.MAX_ABS_EPOCH_S:
        raise InvalidRequest(f"{name} is out of range", field=name)
    return time_s


def _span(request: Request, name: str) -> float:
    text = text_of(request, name)
    unit = _SPAN.fullmatch(text)
    span_s = float(text) if _NUMBER.fullmatch(text) else int(unit[1]) * _UNITS_S[unit[2]] if unit else 0.0
    if span_s < limits.MIN_RANGE_STEP_S:
        raise InvalidRequest(
            f"{name} must be seconds or a span such as 15s, and at least {limits.MIN_RANGE_STEP_S}", field=name
        )
    return span_s
