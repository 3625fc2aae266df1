"""What a scrape says of the service, judged by prometheus_client's own parser."""

import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from scrape import kinds, ours, samples

from uoro.engine.meter import Meter, Status
from uoro.limits import Limits
from uoro.observability.metrics import CONNECTION_ENDS, MAX_REQUEST_SERIES, PrometheusMeter
from uoro.wire.guard import REASONS

Build: TypeAlias = Callable[..., Any]

PLAIN_COUNTERS = {
    "uoro_observations_total",
    "uoro_snapshots_total",
    "uoro_evictions_total",
    "uoro_replayed_observations_total",
    "uoro_numeric_resets_total",
}
PLAIN_GAUGES = {
    "uoro_queue_length",
    "uoro_log_bytes",
    "uoro_resident_bytes",
    "uoro_resident_streams",
    "uoro_subscribers",
    "uoro_connections",
    "uoro_stream_metrics_truncated",
}
PLAIN_HISTOGRAMS = {
    "uoro_step_duration_seconds",
    "uoro_batch_size",
    "uoro_log_append_duration_seconds",
    "uoro_snapshot_duration_seconds",
    "uoro_load_duration_seconds",
    "uoro_recovery_duration_seconds",
    "uoro_loss",
    "uoro_skill_ratio",
}
LABELLED = {
    "uoro_observations_rejected_total": "counter",
    "uoro_remote_write_samples_total": "counter",
    "uoro_requests_refused_total": "counter",
    "uoro_connections_cut_total": "counter",
    "uoro_streams": "gauge",
    "uoro_build_info": "gauge",
    "uoro_memory_budget_bytes": "gauge",
    "uoro_request_duration_seconds": "histogram",
    "uoro_stream_loss": "gauge",
    "uoro_stream_baseline_loss": "gauge",
    "uoro_stream_skill_ratio": "gauge",
    "uoro_stream_anomaly_ratio": "gauge",
    "uoro_stream_observations_total": "counter",
    "uoro_stream_value": "gauge",
    "uoro_stream_prediction": "gauge",
    "uoro_stream_prediction_lower": "gauge",
    "uoro_stream_prediction_upper": "gauge",
    "uoro_stream_estimate_noise_ratio": "gauge",
    "uoro_stream_estimate_weight_ratio": "gauge",
    "uoro_stream_influence_norm": "gauge",
}


def meter(stream_metrics_max: int = 200) -> PrometheusMeter:
    return PrometheusMeter("0.1.0", "cpu", stream_metrics_max)


def test_it_is_a_meter() -> None:
    """The engine's protocol and its implementation have the same methods with the same parameters."""
    promised = {name: method for name, method in vars(Meter).items() if inspect.isfunction(method) and name[0] != "_"}
    assert len(promised) == 10
    for name, method in promised.items():
        assert inspect.signature(getattr(PrometheusMeter, name)) == inspect.signature(method)


def test_every_metric_is_there_from_the_first_scrape() -> None:
    """Before any event every promised name, type and zero sample is present, and no other `uoro_` name."""
    first = meter().scrape()
    expected = (
        LABELLED
        | dict.fromkeys(PLAIN_COUNTERS, "counter")
        | dict.fromkeys(PLAIN_GAUGES, "gauge")
        | dict.fromkeys(PLAIN_HISTOGRAMS, "histogram")
    )
    assert {name: kind for name, kind in kinds(first).items() if name.startswith("uoro_")} == expected
    found = ours(first)
    for name in PLAIN_COUNTERS | PLAIN_GAUGES:
        assert found[name, ()] == 0, name
    for name in PLAIN_HISTOGRAMS:
        assert found[f"{name}_count", ()] == 0, name
        assert found[f"{name}_sum", ()] == 0, name
        assert found[f"{name}_bucket", (("le", "+Inf"),)] == 0, name
    for state in ("learning", "frozen", "damaged"):
        assert found["uoro_streams", (("state", state),)] == 0
    assert found["uoro_build_info", (("backend", "cpu"), ("version", "0.1.0"))] == 1
    for code in (
        "invalid_observation",
        "out_of_sequence",
        "overloaded",
        "store_unavailable",
        "malformed_body",
    ):
        assert found["uoro_observations_rejected_total", (("code", code),)] == 0
    for code in ("unauthorized", "forbidden", "rate_limited", "foreign_origin"):
        assert found["uoro_requests_refused_total", (("code", code),)] == 0
    assert CONNECTION_ENDS == REASONS
    for reason in REASONS:
        assert found["uoro_connections_cut_total", (("reason", reason),)] == 0


def test_the_memory_budget_is_told() -> None:
    """The bound of all states is the one that the meter was built with, the limit's default unless said."""
    told = PrometheusMeter("0.1.0", "cpu", 200, memory_budget_bytes=2**20)
    assert ours(told.scrape())["uoro_memory_budget_bytes", ()] == 2**20
    assert ours(meter().scrape())["uoro_memory_budget_bytes", ()] == Limits().memory_budget_bytes


def test_events_are_counted(event: Build) -> None:
    """Each event moves its own metrics by what it said and nothing else."""
    told = meter()
    before = ours(told.scrape())
    told.batch_formed(3)
    told.appended(0.002)
    told.rejected("overloaded", 7)
    told.rejected("a_new_code", 1)
    told.ingested("learned", 5)
    told.ingested("a_new_end", 1)
    told.refused("unauthorized")
    told.connections(5)
    told.cut("stalled")
    told.numeric_reset(2)
    told.snapshot_written(0.03)
    told.brought(0.004)
    told.let_go()
    told.recovered(1.5, 400)
    event().tell(told, "a", duration_s=0.0003)
    event(loss=None, skill=None).tell(told, "a", duration_s=0.0001)
    after = ours(told.scrape())
    moved = {
        name if not labels else (name, *dict(labels).values()): after[name, labels]
        for name, labels in after
        if after[name, labels] != before.get((name, labels), 0)
        and not name.endswith("_bucket")
        and not name.startswith("uoro_stream_")
    }
    assert moved == pytest.approx(
        {
            "uoro_batch_size_count": 1,
            "uoro_batch_size_sum": 3,
            "uoro_log_append_duration_seconds_count": 1,
            "uoro_log_append_duration_seconds_sum": 0.002,
            ("uoro_observations_rejected_total", "overloaded"): 7,
            ("uoro_observations_rejected_total", "a_new_code"): 1,
            ("uoro_remote_write_samples_total", "learned"): 5,
            ("uoro_remote_write_samples_total", "a_new_end"): 1,
            ("uoro_requests_refused_total", "unauthorized"): 1,
            ("uoro_connections_cut_total", "stalled"): 1,
            "uoro_connections": 5,
            "uoro_numeric_resets_total": 2,
            "uoro_load_duration_seconds_count": 1,
            "uoro_load_duration_seconds_sum": 0.004,
            "uoro_evictions_total": 1,
            "uoro_snapshots_total": 1,
            "uoro_snapshot_duration_seconds_count": 1,
            "uoro_snapshot_duration_seconds_sum": 0.03,
            "uoro_replayed_observations_total": 400,
            "uoro_recovery_duration_seconds_count": 1,
            "uoro_recovery_duration_seconds_sum": 1.5,
            "uoro_observations_total": 2,
            "uoro_step_duration_seconds_count": 2,
            "uoro_step_duration_seconds_sum": 0.0004,
            "uoro_loss_count": 1,
            "uoro_loss_sum": 0.25,
            "uoro_skill_ratio_count": 1,
            "uoro_skill_ratio_sum": 0.5,
        }
    )


def test_status_is_read_at_each_scrape() -> None:
    """Gauges follow the status; a state that only the engine knows is shown as well."""
    told = meter()
    now = Status(
        queue_length=4,
        log_bytes=5,
        streams={"learning": 6, "odd": 1},
        resident_streams=9,
        resident_bytes=7,
        subscribers=8,
    )
    told.watch(lambda: now)
    found = ours(told.scrape())
    assert found["uoro_queue_length", ()] == 4
    assert found["uoro_log_bytes", ()] == 5
    assert found["uoro_resident_bytes", ()] == 7
    assert found["uoro_subscribers", ()] == 8
    states = {dict(labels)["state"]: value for (name, labels), value in found.items() if name == "uoro_streams"}
    assert states == {"learning": 6, "frozen": 0, "damaged": 0, "odd": 1}
    now = Status(queue_length=0, log_bytes=0, streams={}, resident_streams=0, resident_bytes=0, subscribers=0)
    assert ours(told.scrape())["uoro_queue_length", ()] == 0


def test_requests_are_labelled() -> None:
    """Route, method and status label a request's duration; a method nobody defined is "other"."""
    told = meter()
    told.request("/v1/streams/{id}", "GET", 200, 0.004)
    told.request("/v1/streams/{id}", "GET", 200, 0.006)
    told.request("/v1/streams/{id}", "BREW", 405, 0.001)
    counts = {
        labels: value
        for (name, labels), value in ours(told.scrape()).items()
        if name.endswith("_seconds_count") and labels
    }
    assert counts == {
        (("method", "GET"), ("route", "/v1/streams/{id}"), ("status", "200")): 2,
        (("method", "other"), ("route", "/v1/streams/{id}"), ("status", "405")): 1,
    }


def test_request_labels_are_bounded() -> None:
    """One label set past the limit is counted as "other"; those that have a place go on."""
    told = meter()
    for number_ in range(MAX_REQUEST_SERIES + 2):
        told.request(f"/{number_}", "GET", 200, 0.001)
    told.request("/0", "GET", 200, 0.001)
    counts = {
        dict(labels)["route"]: value
        for (name, labels), value in samples(told.scrape()).items()
        if name == "uoro_request_duration_seconds_count"
    }
    assert len(counts) == MAX_REQUEST_SERIES + 1
    assert (counts["/0"], counts["other"]) == (2, 2)


def test_process_metrics_are_there() -> None:
    """Memory and garbage collection of the process come along."""
    names = {name for name, _ in samples(meter().scrape())}
    assert "python_gc_collections_total" in names
    if sys.platform == "linux":
        assert "process_resident_memory_bytes" in names


def test_no_event_is_lost_between_threads(event: Build) -> None:
    """Counts are exact after four threads told events while a fifth scraped, and no scrape was torn."""
    told = meter(10)
    done = threading.Event()
    seen = []

    def tell(stream: str) -> None:
        for _ in range(500):
            event().tell(told, stream)
            told.rejected("overloaded", 1)
            told.request("/", "GET", 200, 0.001)

    def scrape() -> None:
        while not done.is_set():
            seen.append(ours(told.scrape()))

    reader = threading.Thread(target=scrape)
    writers = [threading.Thread(target=tell, args=(f"s{number_}",)) for number_ in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    for found in (*seen, ours(told.scrape())):
        assert found["uoro_observations_total", ()] == found["uoro_loss_count", ()]
    assert found["uoro_observations_total", ()] == 2000
    assert found["uoro_observations_rejected_total", (("code", "overloaded"),)] == 2000
    assert found["uoro_request_duration_seconds_count", (("method", "GET"), ("route", "/"), ("status", "200"))] == 2000
