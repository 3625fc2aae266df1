"""The engine's events as Prometheus metrics.

Rules:
1. Every metric is present from the first scrape; a metric without labels has a sample from then on.
2. Events come from several threads. Each takes the one lock for a moment; a scrape takes it only to copy,
   and makes its text afterwards.
3. Label sets are bounded: streams by `stream_metrics_max`, requests by MAX_REQUEST_SERIES, codes by the
   error tree.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from uoro import errors
from uoro.domain import Metrics, Observation, Result
from uoro.engine.meter import Status
from uoro.limits import Limits
from uoro.observability.histogram import Histogram, log_spaced
from uoro.observability.stream_series import StreamSeries, render

_LIMITS = Limits()

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `scrape` returns."""

STATES = ("learning", "frozen", "damaged")
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "WEBSOCKET"})
MAX_REQUEST_SERIES = 1000
"""Label sets of uoro_request_duration_seconds; later ones are counted as route and method "other"."""

REFUSALS: tuple[type[errors.UoroError], ...] = (
    errors.MalformedBody,
    errors.UnknownStream,
    errors.OutOfSequence,
    errors.BodyTooLarge,
    errors.InvalidRequest,
    errors.InvalidObservation,
    errors.Overloaded,
    errors.NotReady,
    errors.StoreUnavailable,
    errors.StreamDamaged,
    errors.StaleEpoch,
)
"""What can keep an observation out: counted from zero, so that a rate sees the first one."""

INGESTED = ("learned", "missing", "duplicate", "stale", "left_out", "refused")
"""What becomes of a sample that is written remotely, counted from zero too."""

DOOR_REFUSALS = ("unauthorized", "forbidden", "rate_limited", "foreign_origin")
"""Codes of refusals at the door, counted from zero too."""

CONNECTION_ENDS = (
    "too_many",
    "head_timeout",
    "head_too_large",
    "too_many_pipelined",
    "too_many_fragments",
    "stalled",
)
"""Why the service refuses or ends connections, counted from zero too."""

REQUEST_SECONDS = log_spaced(0.001, 10.0, (1, 2.5, 5))
STEP_SECONDS = log_spaced(1e-6, 0.1, (1, 2.5, 5))
APPEND_SECONDS = log_spaced(1e-4, 10.0, (1, 2.5, 5))
SNAPSHOT_SECONDS = log_spaced(1e-4, 10.0, (1, 2.5, 5))
RECOVERY_SECONDS = log_spaced(0.01, 1000.0, (1, 3))
BATCH_SIZES = tuple(float(2**power) for power in range(13))
LOSSES = log_spaced(1e-6, 1e6, (1, 3.16))
SKILLS = (-10.0, -1.0, -0.5, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def _idle() -> Status:
    return Status(queue_length=0, log_bytes=0, streams={}, resident_streams=0, resident_bytes=0, subscribers=0)


class PrometheusMeter(Collector):
    """A Meter that is scraped. Any method may be called from any thread.

    Args:
        version: of the service. backend: what computes, e.g. "numba".
        stream_metrics_max: streams that have metrics of their own.
        memory_budget_bytes: what all streams' states may take.
    """

    def __init__(
        self,
        version: str,
        backend: str,
        stream_metrics_max: int,
        memory_budget_bytes: int = _LIMITS.memory_budget_bytes,
    ) -> None:
        self._build = (version, backend)
        self._memory_budget_bytes = memory_budget_bytes
        self._status: Callable[[], Status] = _idle
        self._lock = threading.Lock()
        self._observations = 0
        self._replayed = 0
        self._resets = 0
        self._snapshots = 0
        self._evictions = 0
        self._rejected = {error.code: 0 for error in REFUSALS}
        self._refused = dict.fromkeys(DOOR_REFUSALS, 0)
        self._num_connections = 0
        self._cut = dict.fromkeys(CONNECTION_ENDS, 0)
        self._ingested = dict.fromkeys(INGESTED, 0)
        self._requests: dict[tuple[str, str, str], Histogram] = {}
        self._step = Histogram(STEP_SECONDS)
        self._batch = Histogram(BATCH_SIZES)
        self._append = Histogram(APPEND_SECONDS)
        self._snapshot = Histogram(SNAPSHOT_SECONDS)
        self._load = Histogram(SNAPSHOT_SECONDS)
        self._recovery = Histogram(RECOVERY_SECONDS)
        self._loss = Histogram(LOSSES)
        self._skill = Histogram(SKILLS)
        self._streams = StreamSeries(stream_metrics_max)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def watch(self, status: Callable[[], Status]) -> None:
        """Name the function that tells the engine's status; it is called at each scrape, by its thread."""
        self._status = status

    def scrape(self) -> bytes:
        """Every metric in Prometheus' text format (CONTENT_TYPE)."""
        with self._lock:
            streams = self._streams.newest()
        return generate_latest(self._registry) + render(streams).encode("utf-8", "replace")

    def request(self, route: str, method: str, status: int, duration_s: float) -> None:
        """One request was answered. `route` is the route's template, never the path that came."""
        key = (route, method if method in METHODS else "other", str(status))
        with self._lock:
            if key not in self._requests and len(self._requests) >= MAX_REQUEST_SERIES:
                key = ("other", "other", str(status))
            histogram = self._requests.get(key)
            if histogram is None:
                histogram = self._requests[key] = Histogram(REQUEST_SECONDS)
            histogram.observe(duration_s)

    def batch_formed(self, num_observations: int) -> None:
        """A batch of so many observations is about to be appended."""
        with self._lock:
            self._batch.observe(num_observations)

    def appended(self, duration_s: float) -> None:
        """A record was appended and flushed."""
        with self._lock:
            self._append.observe(duration_s)

    def learned(
        self,
        stream: str,
        observations: Sequence[Observation],
        results: Sequence[Result],
        losses: Sequence[float],
        skill: float | None,
        duration_s: float,
    ) -> None:
        """Observations of one stream were applied in live operation, which took so long each."""
        with self._lock:
            self._observations += len(observations)
            self._step.observe(duration_s, len(observations))
            self._loss.observe_known(losses)
            if skill is not None:
                self._skill.observe(skill, len(observations))
            self._streams.keep(stream, observations[-1], results)

    def stale(self) -> list[str]:
        """Streams with metrics of their own that learned since they were last asked for here."""
        with self._lock:
            return self._streams.stale()

    def measured(self, stream: str, metrics: Metrics) -> None:
        """Such a stream's metrics of now."""
        with self._lock:
            self._streams.measured(stream, metrics)

    def rejected(self, code: str, num: int) -> None:
        """So many observations were refused with a problem code."""
        with self._lock:
            self._rejected[code] = self._rejected.get(code, 0) + num

    def ingested(self, outcome: str, num: int) -> None:
        """So many samples of a remote write came to this end."""
        with self._lock:
            self._ingested[outcome] = self._ingested.get(outcome, 0) + num

    def refused(self, code: str) -> None:
        """A request or a websocket was refused at the door."""
        with self._lock:
            self._refused[code] = self._refused.get(code, 0) + 1

    def connections(self, num: int) -> None:
        """So many connections are open now."""
        self._num_connections = num

    def cut(self, reason: str) -> None:
        """A connection was refused or ended by the service."""
        with self._lock:
            self._cut[reason] = self._cut.get(reason, 0) + 1

    def numeric_reset(self, num: int) -> None:
        """Learners dropped non-finite values so many times."""
        with self._lock:
            self._resets += num

    def snapshot_written(self, duration_s: float) -> None:
        """One stream's snapshot was written and verified."""
        with self._lock:
            self._snapshots += 1
            self._snapshot.observe(duration_s)

    def brought(self, duration_s: float) -> None:
        """The learner of a cold stream was brought into memory."""
        with self._lock:
            self._load.observe(duration_s)

    def let_go(self) -> None:
        """A learner was let go from memory."""
        with self._lock:
            self._evictions += 1

    def recovered(self, duration_s: float, num_observations: int) -> None:
        """Recovery is over; so many observations were replayed."""
        with self._lock:
            self._replayed += num_observations
            self._recovery.observe(duration_s)

    def forgot(self, streams: Sequence[str]) -> None:
        """Streams were deleted; their per-stream metrics go with them."""
        with self._lock:
            self._streams.forget(streams)

    def collect(self) -> Iterable[Metric]:
        """Every metric that is not a stream's own, as prometheus_client's families."""
        status = self._status()
        with self._lock:
            return [*self._events(), *self._distributions(), *_gauges(status)]

    def _events(self) -> Iterable[Metric]:
        build = GaugeMetricFamily("uoro_build_info", "What runs; always 1.", labels=("version", "backend"))
        build.add_metric(self._build, 1)
        yield build
        rejected = CounterMetricFamily(
            "uoro_observations_rejected", "Observations refused, by problem code.", labels=("code",)
        )
        for code, num in self._rejected.items():
            rejected.add_metric((code,), num)
        yield rejected
        refused = CounterMetricFamily(
            "uoro_requests_refused",
            "Requests and websockets refused for want of a right, by problem code.",
            labels=("code",),
        )
        for code, num in self._refused.items():
            refused.add_metric((code,), num)
        yield refused
        cut = CounterMetricFamily(
            "uoro_connections_cut", "Connections refused or ended by the service, by reason.", labels=("reason",)
        )
        for reason, num in self._cut.items():
            cut.add_metric((reason,), num)
        yield cut
        yield GaugeMetricFamily("uoro_connections", "Open connections.", value=self._num_connections)
        ingested = CounterMetricFamily(
            "uoro_remote_write_samples", "Samples of remote writes, by what became of them.", labels=("outcome",)
        )
        for outcome, num in self._ingested.items():
            ingested.add_metric((outcome,), num)
        yield ingested
        for name, text, num in (
            ("uoro_observations", "Observations applied.", self._observations),
            ("uoro_replayed_observations", "Observations replayed by recoveries.", self._replayed),
            ("uoro_numeric_resets", "Times a learner dropped non-finite values.", self._resets),
            ("uoro_snapshots", "Snapshots of streams written and verified.", self._snapshots),
            ("uoro_evictions", "Learners let go from memory to make room.", self._evictions),
        ):
            yield CounterMetricFamily(name, text, value=num)
        yield GaugeMetricFamily(
            "uoro_stream_metrics_truncated",
            "Streams left without metrics of their own.",
            value=self._streams.num_left_out,
        )
        yield GaugeMetricFamily(
            "uoro_memory_budget_bytes",
            "What the learners' states may take in memory.",
            value=self._memory_budget_bytes,
        )

    def _distributions(self) -> Iterable[Metric]:
        requests = HistogramMetricFamily(
            "uoro_request_duration_seconds",
            "From a request's head to the end of its answer.",
            labels=("route", "method", "status"),
        )
        for labels, histogram in self._requests.items():
            requests.add_metric(labels, histogram.buckets(), histogram.sum)
        yield requests
        for name, text, histogram in (
            ("uoro_step_duration_seconds", "Applying one observation: judge, learn, predict.", self._step),
            ("uoro_batch_size", "Observations in one batch.", self._batch),
            ("uoro_log_append_duration_seconds", "Appending and flushing one record.", self._append),
            ("uoro_snapshot_duration_seconds", "Writing and verifying one snapshot.", self._snapshot),
            ("uoro_load_duration_seconds", "Bringing a learner into memory from its snapshot.", self._load),
            ("uoro_recovery_duration_seconds", "From the start until the log is replayed.", self._recovery),
            ("uoro_loss", "Loss of each observation of every stream.", self._loss),
            ("uoro_skill_ratio", "Recent skill of its stream at each observation.", self._skill),
        ):
            family = HistogramMetricFamily(name, text)
            family.add_metric((), histogram.buckets(), histogram.sum)
            if histogram.bounds[0] < 0:
                # OpenMetrics drops count and sum beside negative bounds; Prometheus wants them.
                family.add_sample(f"{name}_count", {}, histogram.count)
                family.add_sample(f"{name}_sum", {}, histogram.sum)
            yield family


def _gauges(status: Status) -> Iterable[Metric]:
    for name, text, number in (
        ("uoro_queue_length", "Observations admitted and not yet in a batch.", status.queue_length),
        ("uoro_log_bytes", "What the log takes in the store.", status.log_bytes),
        ("uoro_resident_bytes", "What the learners' states take in memory.", status.resident_bytes),
        ("uoro_resident_streams", "Streams whose learners are in memory.", status.resident_streams),
        ("uoro_subscribers", "Open subscriptions.", status.subscribers),
    ):
        yield GaugeMetricFamily(name, text, value=number)
    streams = GaugeMetricFamily("uoro_streams", "Streams by state.", labels=("state",))
    for state in dict.fromkeys((*STATES, *status.streams)):
        streams.add_metric((state,), status.streams.get(state, 0))
    yield streams
