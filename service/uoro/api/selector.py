"""The little of Prometheus' query language that forecasts are asked with: one selector, such as
`uoro_stream_forecast{stream="taxi", field="value"}`, and Grafana's test of a connection, `1+1`.

No functions, no operators, and labels are compared for equality only: whoever wants more lets Prometheus do it on
what it scraped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from uoro.errors import InvalidRequest
from uoro.limits import MAX_QUERY_CHARS

FORECAST = "uoro_stream_forecast"
SERIES = {FORECAST: "mean", f"{FORECAST}_lower": "lower", f"{FORECAST}_upper": "upper"}
"""Part of a forecast by the name of its series."""

NAME = "__name__"
LABELS = (NAME, "field", "stream")

_SELECTOR = re.compile(r"\s*(?P<name>[A-Za-z_:][\w:]*)?\s*(?:\{(?P<matchers>.*)\})?\s*", re.DOTALL | re.ASCII)
_MATCHER = re.compile(
    r"""\s*(?P<label>[A-Za-z_]\w*)\s*(?P<how>=~|!~|!=|=)\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|`(?P<plain>[^`]*)`)\s*(?P<end>,|$)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TEST = re.compile(r"\s*1\s*\+\s*1\s*")


@dataclass(frozen=True)
class Selector:
    """Which series are meant.

    Attributes:
        equal: the value that a label must have, by label; `__name__` among them.
    """

    equal: dict[str, str] = field(default_factory=dict)

    @property
    def stream(self) -> str | None:
        """The stream that is asked for; None for any."""
        return self.equal.get("stream")

    def names(self) -> tuple[str, ...]:
        """The series' names that fit."""
        return tuple(name for name in SERIES if self.equal.get(NAME, name) == name)

    def takes(self, labels: dict[str, str]) -> bool:
        """Whether a series with these labels is meant; a label that it lacks is empty."""
        return all(labels.get(label, "") == value for label, value in self.equal.items())


def is_test(query: str) -> bool:
    """Whether it is the sum by which Grafana tests a connection."""
    return _TEST.fullmatch(query) is not None


def parse(query: str) -> Selector:
    """A selector from its text. Raises InvalidRequest."""
    if len(query) > MAX_QUERY_CHARS:
        raise InvalidRequest(f"a query may have {MAX_QUERY_CHARS} characters", field="query")
    match = _SELECTOR.fullmatch(query)
    if match is None or not query.strip():
        raise InvalidRequest(
            f'a query is one selector such as {FORECAST}{{stream="taxi"}}; no functions and no operators', field="query"
        )
    equal = {} if match["name"] is None else {NAME: match["name"]}
    rest, place = match["matchers"] or "", 0
    while rest[place:].strip():
        matcher = _MATCHER.match(rest, place)
        if matcher is None:
            raise InvalidRequest('labels are selected like stream="taxi", separated by commas', field="query")
        label, value = matcher["label"], _value(matcher)
        if matcher["how"] != "=":
            raise InvalidRequest(f"{label}{matcher['how']}…: labels are compared by = only", field="query")
        if equal.setdefault(label, value) != value:
            raise InvalidRequest(f"{label} is asked for with two values", field="query")
        place = matcher.end()
    return Selector(equal)


def _value(matcher: re.Match[str]) -> str:
    if matcher["plain"] is not None:
        return matcher["plain"]
    quoted = matcher["double"] if matcher["double"] is not None else matcher["single"]
    return _ESCAPED.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], quoted)
