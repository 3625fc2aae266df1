"""What the dashboards show: FLEET of all streams, STREAM of the one chosen, AHEAD what is expected of it."""  # noqa: INP001 - part of a program

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        queries: PromQL by legend.
        ahead: selectors by legend that the service itself answers, since they reach into the future.
        unit: Grafana's name of the values' unit.
        kind: Grafana's name of the panel type.
        width: in the 24 columns of the grid.
        band: legends of the lower and upper line that bound a filled band.
        bounds: of the axis, where the values have some.
    """

    title: str
    about: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    band: tuple[str, str] | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    ahead: dict[str, str] = field(default_factory=dict)


def rate(counter: str, by: str = "") -> str:
    """Per second, over all servers."""
    return f"sum{f' by ({by}) ' if by else ''}(rate({counter}[$__rate_interval]))"


def quantiles(histogram: str, *shares: float) -> dict[str, str]:
    """Quantiles of a histogram over all servers, by legend."""
    buckets = rate(f"{histogram}_bucket", by="le")
    return {f"{share:.0%}": f"histogram_quantile({share}, {buckets})" for share in shares}


def of_stream(series: str) -> str:
    """A metric of the stream that is looked at."""
    return f'{series}{{stream="$stream"}}'


def of_field(series: str) -> str:
    """A metric of the field that is looked at."""
    return f'{series}{{stream="$stream", field="$field"}}'


FLEET = (
    Panel("Streams", "Streams that learn.", {"": 'sum(uoro_streams{state="learning"})'}, kind="stat", width=4),
    Panel("Observations", "Applied since the start.", {"": "sum(uoro_observations_total)"}, kind="stat", width=4),
    Panel(
        "Recovery",
        "How long the last start took to replay the log.",
        {"": "max(uoro_recovery_duration_seconds_sum)"},
        unit="s",
        kind="stat",
        width=4,
    ),
    Panel(
        "Replayed observations",
        "Replayed from the log by the last start.",
        {"": "sum(uoro_replayed_observations_total)"},
        kind="stat",
        width=4,
    ),
    Panel(
        "Streams without own metrics",
        "Left out of the per-stream metrics; UORO_STREAM_METRICS_MAX moves the bound.",
        {"": "sum(uoro_stream_metrics_truncated)"},
        kind="stat",
        width=4,
    ),
    Panel("Version", "What runs.", {"{{version}} on {{backend}}": "uoro_build_info"}, kind="stat", width=4),
    Panel("Observations", "Applied a second.", {"observations": rate("uoro_observations_total")}, unit="cps"),
    Panel(
        "Rejections",
        "Observations refused a second, by problem code.",
        {"{{code}}": rate("uoro_observations_rejected_total", by="code")},
        unit="cps",
    ),
    Panel(
        "Requests",
        "Answered a second, by status.",
        {"{{status}}": rate("uoro_request_duration_seconds_count", by="status")},
        unit="reqps",
    ),
    Panel(
        "Request latency",
        "From a request's head to the end of its answer.",
        quantiles("uoro_request_duration_seconds", 0.5, 0.9, 0.99),
        unit="s",
    ),
    Panel(
        "Step duration",
        "Judging, learning from and predicting one observation.",
        quantiles("uoro_step_duration_seconds", 0.5, 0.99),
        unit="s",
    ),
    Panel(
        "Append duration",
        "Appending and flushing one record to the store.",
        quantiles("uoro_log_append_duration_seconds", 0.5, 0.99),
        unit="s",
    ),
    Panel(
        "Queue",
        "Observations admitted and not yet in a batch.",
        {"waiting": "sum(uoro_queue_length)"},
        bounds=(0, None),
    ),
    Panel("Batch size", "Observations in one batch.", quantiles("uoro_batch_size", 0.5, 0.99)),
    Panel("Log", "What the log takes in the store.", {"log": "sum(uoro_log_bytes)"}, unit="bytes", bounds=(0, None)),
    Panel("Snapshots", "Written a second.", {"snapshots": rate("uoro_snapshots_total")}, unit="cps"),
    Panel(
        "Snapshot duration",
        "Writing and verifying one stream's snapshot.",
        quantiles("uoro_snapshot_duration_seconds", 0.5, 0.99),
        unit="s",
    ),
    Panel("Streams by state", "", {"{{state}}": "sum by (state) (uoro_streams)"}, bounds=(0, None)),
    Panel(
        "Memory",
        "What the streams' states take, and the whole server.",
        {"states": "sum(uoro_resident_bytes)", "server": 'sum(process_resident_memory_bytes{job="uoro"})'},
        unit="bytes",
        bounds=(0, None),
    ),
    Panel(
        "Numeric resets",
        "Times a learner dropped non-finite values.",
        {"resets": "sum(increase(uoro_numeric_resets_total[$__rate_interval]))"},
        bounds=(0, None),
    ),
    Panel("Subscribers", "Open subscriptions.", {"subscribers": "sum(uoro_subscribers)"}, bounds=(0, None)),
    Panel("Loss", "Of all observations of all streams.", quantiles("uoro_loss", 0.1, 0.5, 0.9)),
    Panel(
        "Skill",
        "Recent skill of its stream at each observation; below zero the naive prediction is better.",
        quantiles("uoro_skill_ratio", 0.1, 0.5, 0.9),
        unit="percentunit",
    ),
    Panel(
        "Least skill",
        "The ten streams that beat the naive prediction least.",
        {"{{stream}}": "bottomk(10, uoro_stream_skill_ratio)"},
        unit="percentunit",
        kind="bargauge",
    ),
)

STREAM = (
    Panel(
        "$field: value and prediction",
        "Each value, what had been predicted for it, and the central 90 % interval of that prediction.",
        {
            "value": of_field("uoro_stream_value"),
            "prediction": of_field("uoro_stream_prediction"),
            "lower": of_field("uoro_stream_prediction_lower"),
            "upper": of_field("uoro_stream_prediction_upper"),
        },
        width=24,
        band=("lower", "upper"),
    ),
    Panel(
        "Loss",
        "Means over the recent window.",
        {"loss": of_stream("uoro_stream_loss"), "naive": of_stream("uoro_stream_baseline_loss")},
    ),
    Panel(
        "Skill",
        "1 - loss / naive loss over the recent window.",
        {"skill": of_stream("uoro_stream_skill_ratio")},
        unit="percentunit",
        bounds=(None, 1),
    ),
    Panel(
        "Anomaly",
        "1 is like nothing seen before.",
        {"anomaly": of_stream("uoro_stream_anomaly_ratio")},
        unit="percentunit",
        bounds=(0, 1),
    ),
    Panel(
        "Observations",
        "Applied a second.",
        {"observations": rate(of_stream("uoro_stream_observations_total"))},
        unit="cps",
        width=12,
    ),
    Panel(
        "Influence estimate",
        "Norms of its two parts.",
        {"{{part}}": of_stream("uoro_stream_influence_norm")},
        width=12,
    ),
    Panel(
        "Noise of the estimate",
        "Share of noise in the stochastic part of the gradient, and the weight that part is given for it.",
        {
            "noise": of_stream("uoro_stream_estimate_noise_ratio"),
            "weight": of_stream("uoro_stream_estimate_weight_ratio"),
        },
        unit="percentunit",
        bounds=(0, 1),
        width=12,
    ),
)

AHEAD = (
    Panel(
        "$field: value, and what is expected",
        "Each value, and the forecasts ahead with their central 90 % interval. They stand where "
        "the stream's own t put them: without t there are none.",
        {"value": of_field("uoro_stream_value"), "said before": of_field("uoro_stream_prediction")},
        width=24,
        band=("lower", "upper"),
        ahead={
            "forecast": of_field("uoro_stream_forecast"),
            "lower": of_field("uoro_stream_forecast_lower"),
            "upper": of_field("uoro_stream_forecast_upper"),
        },
    ),
)
