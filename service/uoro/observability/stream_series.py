"""The metrics that single streams have, for a bounded number of streams.

Rules:
1. First come, first kept: a stream that has a place keeps it until it is forgotten; then the next one that
   learns takes the place.
2. Keeping costs one dictionary entry, whatever the stream's fields; results are read, metrics measured and the text
   made when they are asked for.
   (Ten thousand streams as gauges of `prometheus_client` take 220 ms a scrape.)
3. A number that does not exist yet, or was missing in the newest observation, has no sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from uoro.domain import Metrics, NumberPrediction, Observation, Result

SERIES = {
    "uoro_stream_loss": ("gauge", "Mean loss over the recent window."),
    "uoro_stream_baseline_loss": ("gauge", "Mean loss of the naive prediction over the recent window."),
    "uoro_stream_skill_ratio": ("gauge", "1 - loss / baseline loss over the recent window."),
    "uoro_stream_anomaly_ratio": ("gauge", "Newest anomaly; 1 is like nothing seen before."),
    "uoro_stream_observations_total": ("counter", "Observations that the stream has had."),
    "uoro_stream_value": ("gauge", "Newest value of a number target."),
    "uoro_stream_prediction": ("gauge", "What had been predicted for the newest value."),
    "uoro_stream_prediction_lower": ("gauge", "Lower end of the central 90 % interval of that prediction."),
    "uoro_stream_prediction_upper": ("gauge", "Upper end of the central 90 % interval of that prediction."),
    "uoro_stream_estimate_noise_ratio": (
        "gauge",
        "Share of noise in the mean square of the gradient estimate's stochastic part.",
    ),
    "uoro_stream_estimate_weight_ratio": ("gauge", "Weight of that part in the gradient; 0 is deterministic."),
    "uoro_stream_influence_norm": ("gauge", "Norm of a part of the influence estimate."),
}
"""Type and help text by metric name."""


class Newest(NamedTuple):
    """The newest that is known of a stream.

    Attributes:
        results: of its newest run; the last one is read when it is shown.
        metrics: as of the last time that somebody asked; None before.
    """

    observation: Observation
    results: Sequence[Result]
    metrics: Metrics | None


class StreamSeries:
    """The newest of each stream that has a place; its owner holds the lock."""

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._newest: dict[str, Newest] = {}
        self._stale: set[str] = set()
        self._left_out: set[str] = set()

    @property
    def num_left_out(self) -> int:
        """Streams that learned and found no place."""
        return len(self._left_out)

    def keep(self, stream: str, observation: Observation, results: Sequence[Result]) -> None:
        """Take the newest of a stream if it has a place or there is one."""
        newest = self._newest.get(stream)
        if newest is None and len(self._newest) >= self._max_streams:
            self._left_out.add(stream)
            return
        self._left_out.discard(stream)
        self._newest[stream] = Newest(observation, results, None if newest is None else newest.metrics)
        self._stale.add(stream)

    def stale(self) -> list[str]:
        """Streams whose metrics are older than their newest; each is told once."""
        stale = list(self._stale)
        self._stale.clear()
        return stale

    def measured(self, stream: str, metrics: Metrics) -> None:
        """Take a stream's metrics of now, if it still has a place."""
        newest = self._newest.get(stream)
        if newest is not None:
            self._newest[stream] = newest._replace(metrics=metrics)

    def forget(self, streams: Iterable[str]) -> None:
        """Free the places of streams."""
        for stream in streams:
            self._newest.pop(stream, None)
            self._stale.discard(stream)
            self._left_out.discard(stream)

    def newest(self) -> list[tuple[str, Newest]]:
        """All that is kept, as values that later calls do not change."""
        return list(self._newest.items())


def render(streams: Sequence[tuple[str, Newest]]) -> str:
    """The streams' metrics in Prometheus' text format; each metric has its head even without samples."""
    lines: dict[str, list[str]] = {
        name: [f"# HELP {name} {text}\n# TYPE {name} {kind}\n"] for name, (kind, text) in SERIES.items()
    }
    for stream, newest in streams:
        label = f'stream="{escape(stream)}"'
        if newest.metrics is not None:
            for name, value in _of_stream(newest.metrics):
                if value is not None:
                    lines[name].append(f"{name}{{{label}}} {value!r}\n")
            for part, norm in newest.metrics.influence_norm.items():
                lines["uoro_stream_influence_norm"].append(
                    f'uoro_stream_influence_norm{{{label},part="{escape(part)}"}} {norm!r}\n'
                )
        for name, field, value in _of_fields(newest.observation, newest.results[-1]):
            lines[name].append(f'{name}{{{label},field="{escape(field)}"}} {value!r}\n')
    return "".join(line for of_metric in lines.values() for line in of_metric)


def escape(label_value: str) -> str:
    r"""A label's value as the text format wants it: `\`, `"` and newline escaped."""
    return label_value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _of_stream(metrics: Metrics) -> tuple[tuple[str, float | None], ...]:
    return (
        ("uoro_stream_loss", metrics.loss),
        ("uoro_stream_baseline_loss", metrics.baseline_loss),
        ("uoro_stream_skill_ratio", metrics.skill),
        ("uoro_stream_anomaly_ratio", metrics.anomaly),
        ("uoro_stream_observations_total", metrics.observations),
        ("uoro_stream_estimate_noise_ratio", metrics.estimate_noise),
        ("uoro_stream_estimate_weight_ratio", metrics.estimate_weight),
    )


def _of_fields(observation: Observation, result: Result) -> Iterable[tuple[str, str, float]]:
    """Metric, field and number of every number target; at the first observation `next` names the targets."""
    for field, prediction in (result.prediction or result.next or {}).items():
        if not isinstance(prediction, NumberPrediction):
            continue
        value = observation.x.get(field)
        if isinstance(value, (int, float)):
            yield "uoro_stream_value", field, value
        if result.prediction is not None:
            yield "uoro_stream_prediction", field, prediction.mean
            yield "uoro_stream_prediction_lower", field, prediction.lower
            yield "uoro_stream_prediction_upper", field, prediction.upper
