"""Every alert and every recorded series by Prometheus' own unit tests (`promtool test rules`).

Each alert has a course of its series for which it fires, and one just short of each of its conditions.
A control moves each threshold and each waiting time a little, and the same courses must tell.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_server import RULES

FILES = ("recording.yml", "alerts.yml")
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
RECORDED = {
    rule["record"]
    for group in yaml.safe_load((RULES / "recording.yml").read_text())["groups"]
    for rule in group["rules"]
}
SERVER = {"instance": "uoro:8000", "job": "uoro"}
STREAM = {**SERVER, "stream": "taxi"}
DAY_MIN = 1440

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="the program promtool is not installed (Debian: prometheus)"
)

Courses = dict[str, str]
"""Values, a minute apart, in promtool's notation by series."""


@dataclass(frozen=True)
class Case:
    """An alert between its courses.

    Attributes:
        at_min: when it is asked, in both.
        labels: those of the alert beside its severity. summary: as it is told.
        other_silent: where two conditions must hold, a course just below the other one.
    """

    alert: str
    fires: Courses
    silent: Courses
    at_min: int
    summary: str
    labels: dict[str, str] = field(default_factory=lambda: SERVER)
    other_silent: Courses = field(default_factory=dict)


def series(name: str, values: str, of: dict[str, str] = SERVER, **more: str) -> Courses:
    """One series with its labels."""
    labels = ",".join(f'{key}="{value}"' for key, value in {**of, **more}.items())
    return {f"{name}{{{labels}}}": values}


def stream(values: dict[str, str]) -> Courses:
    """Series of one stream, by the end of their names."""
    return {key: text for name, text in values.items() for key in series(f"uoro_stream_{name}", text, STREAM)}


def appends(slow: int) -> Courses:
    """100 appends a minute, so many of them slower than 100 ms and none than 250."""
    bounds = {"0.05": 0, "0.1": 100 - slow, "0.25": 100, "+Inf": 100}
    return {
        key: text
        for bound, num in bounds.items()
        for key, text in series("uoro_log_append_duration_seconds_bucket", f"0+{num}x30", le=bound).items()
    }


def observed(before: int, stalls_at_min: int) -> Courses:
    """A stream with an observation every `before` minutes until it stalls."""
    told = [str(minute // before) for minute in range(stalls_at_min)]
    last = stalls_at_min // before
    return stream({"observations_total": " ".join([*told, f"{last}x60"])})


def budget(used: int) -> Courses:
    return series("uoro_resident_bytes", f"{used}x30") | series("uoro_memory_budget_bytes", "1000x30")


CASES = (
    Case(
        "UoroDown",
        series("up", "1 0x5"),
        series("up", "1 1 0x5"),
        at_min=2,
        summary="uoro:8000 cannot be scraped",
    ),
    Case(
        "UoroStoreAway",
        series("uoro_observations_rejected_total", "0 0 1x20", code="store_unavailable"),
        series("uoro_observations_rejected_total", "0 0 0x20", code="store_unavailable")
        | series("uoro_observations_rejected_total", "0 0 1x20", code="invalid_observation"),
        at_min=4,
        summary="uoro:8000 refuses observations because Redis is away",
        labels={**SERVER, "code": "store_unavailable"},
    ),
    Case(
        "UoroOverloaded",
        series("uoro_observations_rejected_total", "0+1x20", code="overloaded"),
        series("uoro_observations_rejected_total", "0 1x20", code="overloaded"),
        at_min=8,
        summary="uoro:8000 refuses observations because its queue is full",
        labels={**SERVER, "code": "overloaded"},
    ),
    Case(
        "UoroAppendSlow",
        appends(slow=2),
        appends(slow=1),
        at_min=20,
        summary="One append in a hundred takes 175ms on uoro:8000",
    ),
    Case(
        "UoroLogGrowing",
        series("uoro_log_bytes", "536870913x30"),
        series("uoro_log_bytes", "536870912x30"),
        at_min=15,
        summary="The log of uoro:8000 has 512MiB and is not trimmed",
    ),
    Case(
        "UoroStreamsDamaged",
        series("uoro_streams", "1x5", state="damaged"),
        series("uoro_streams", "0x5", state="damaged") | series("uoro_streams", "9x5", state="frozen"),
        at_min=1,
        summary="1 streams of uoro:8000 are set aside",
        labels={**SERVER, "state": "damaged"},
    ),
    Case(
        "UoroNumericResets",
        series("uoro_numeric_resets_total", "4 4 4 5x30"),
        series("uoro_numeric_resets_total", "5x30"),
        at_min=10,
        summary="Learners of uoro:8000 dropped non-finite values",
    ),
    Case(
        "UoroSkillNegative",
        stream({"skill_ratio": "-0.01x60", "observations_total": "1001x60"}),
        stream({"skill_ratio": "-0.01x60", "observations_total": "1000x60"}),
        at_min=30,
        summary="taxi is predicted worse than by its last value",
        labels=STREAM,
        other_silent=stream({"skill_ratio": "0x60", "observations_total": "1001x60"}),
    ),
    Case(
        "UoroSkillLost",
        stream({"skill_ratio": f"0.11x{DAY_MIN} -0.01x60"}),
        stream({"skill_ratio": f"0.1x{DAY_MIN} -0.01x60"}),
        at_min=DAY_MIN + 16,
        summary="taxi was predicted better than by its last value for a day, and is no more",
        labels=STREAM,
        other_silent=stream({"skill_ratio": f"0.11x{DAY_MIN} 0x60"}),
    ),
    Case(
        "UoroDrift",
        stream({"loss": f"1x{DAY_MIN} 2.1x60", "observations_total": "1001x2000"}),
        stream({"loss": f"1x{DAY_MIN} 1.95x60", "observations_total": "1001x2000"}),
        at_min=DAY_MIN + 32,
        summary="The loss of taxi is more than twice what it was over the day before",
        labels=STREAM,
        other_silent=stream({"loss": f"1x{DAY_MIN} 2.1x60", "observations_total": "1000x2000"}),
    ),
    Case(
        "UoroAnomaly",
        stream({"anomaly_ratio": "0.5 0.9991 0.5x9"}),
        stream({"anomaly_ratio": "0.5 0.999 0.5x9"}),
        at_min=4,
        summary="taxi has just shown something like nothing before",
        labels=STREAM,
    ),
    Case(
        "UoroAnomalyHigh",
        stream({"anomaly_ratio": "0.96x30"}),
        stream({"anomaly_ratio": "0.95x30"}),
        at_min=10,
        summary="taxi is unlike anything it has shown before",
        labels=STREAM,
    ),
    Case(
        "UoroStreamStalled",
        observed(before=14, stalls_at_min=DAY_MIN),
        observed(before=15, stalls_at_min=DAY_MIN),
        at_min=DAY_MIN + 20,
        summary="taxi has had no observation for a quarter of an hour",
        labels=STREAM,
        other_silent=stream({"observations_total": f"0+0.1x{DAY_MIN + 60}"}),
    ),
    Case(
        "UoroMemoryBudget",
        budget(901),
        budget(900),
        at_min=12,
        summary="The streams of uoro:8000 take 90.1% of the memory they may",
    ),
    Case(
        "UoroRecovering",
        series("uoro_recovery_duration_seconds_count", "0x9"),
        series("uoro_recovery_duration_seconds_count", "0x4 1x9"),
        at_min=5,
        summary="uoro:8000 has been recovering for minutes and takes no observations",
    ),
    Case(
        "UoroRestarting",
        series("process_start_time_seconds", "100x5 200x5 300x5 400x20"),
        series("process_start_time_seconds", "100x5 200x5 300x20"),
        at_min=25,
        summary="uoro:8000 has started 3 times within an hour",
    ),
    Case(
        "UoroMetricsTruncated",
        series("uoro_stream_metrics_truncated", "1x30"),
        series("uoro_stream_metrics_truncated", "0x30"),
        at_min=15,
        summary="1 streams of uoro:8000 have no metrics of their own",
    ),
)

UNLIKE = {
    "UoroSkillLost had none": ("UoroSkillLost", stream({"skill_ratio": "-0.01x1600"}), DAY_MIN + 16),
    "UoroAnomaly is over": ("UoroAnomaly", stream({"anomaly_ratio": "0.5 0.9991 0.5x20"}), 7),
    "UoroRestarting another program": (
        "UoroRestarting",
        series("process_start_time_seconds", "100x5 200x5 300x5 400x20", {"job": "node", "instance": "n"}),
        25,
    ),
}
"""More silences: the alert, the course and the minute."""


def of_two_servers(name: str, one: str, other: str, **labels: str) -> Courses:
    return series(name, one, **labels) | series(name, other, {"instance": "b:8000", "job": "uoro"}, **labels)


RECORDINGS: dict[str, tuple[Courses, dict[str, float]]] = {
    "fleet:uoro_streams:sum": (
        of_two_servers("uoro_streams", "3x10", "4x10", state="learning"),
        {'fleet:uoro_streams:sum{state="learning"}': 7},
    ),
    "fleet:uoro_observations:rate5m": (
        of_two_servers("uoro_observations_total", "0+60x10", "0+120x10"),
        {"fleet:uoro_observations:rate5m": 3},
    ),
    "fleet:uoro_observations_rejected:rate5m": (
        of_two_servers("uoro_observations_rejected_total", "0+60x10", "0+60x10", code="overloaded"),
        {'fleet:uoro_observations_rejected:rate5m{code="overloaded"}': 2},
    ),
    "fleet:uoro_request_duration_seconds:p99_5m": (
        series("uoro_request_duration_seconds_bucket", "0+0x10", le="0.1")
        | series("uoro_request_duration_seconds_bucket", "0+100x10", le="0.2")
        | series("uoro_request_duration_seconds_bucket", "0+100x10", le="+Inf"),
        {"fleet:uoro_request_duration_seconds:p99_5m": 0.199},
    ),
    "fleet:uoro_skill_ratio:median5m": (
        of_two_servers("uoro_skill_ratio_bucket", "0+0x10", "0+0x10", le="-0.05")
        | of_two_servers("uoro_skill_ratio_bucket", "0+50x10", "0+0x10", le="0.0")
        | of_two_servers("uoro_skill_ratio_bucket", "0+100x10", "0+50x10", le="0.3")
        | of_two_servers("uoro_skill_ratio_bucket", "0+100x10", "0+50x10", le="+Inf"),
        {"fleet:uoro_skill_ratio:median5m": 0.075},
    ),
    "instance:uoro_log_append_duration_seconds:p99_5m": (
        appends(slow=2),
        {'instance:uoro_log_append_duration_seconds:p99_5m{instance="uoro:8000",job="uoro"}': 0.175},
    ),
    "instance:uoro_resident_bytes:budget_ratio": (
        budget(250),
        {'instance:uoro_resident_bytes:budget_ratio{instance="uoro:8000",job="uoro"}': 0.25},
    ),
}
"""By recorded series: courses, and what is recorded of them after ten minutes."""


def inputs(courses: Courses) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in courses.items()]


def alert_test(name: str, alert: str, courses: Courses, at_min: int, expected: list[Any]) -> dict[str, Any]:
    asked = {"alertname": alert, "eval_time": f"{at_min}m", "exp_alerts": expected}
    return {"name": name, "interval": "1m", "input_series": inputs(courses), "alert_rule_test": [asked]}


def courses_of(case: Case) -> list[dict[str, Any]]:
    """All courses of a case in promtool's form."""
    rule = ALERTS[case.alert]
    told = {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {"summary": case.summary, "description": rule["annotations"]["description"]},
    }
    silent = [courses for courses in (case.silent, case.other_silent) if courses]
    return [
        alert_test(f"{case.alert} fires", case.alert, case.fires, case.at_min, [told]),
        *(alert_test(f"{case.alert} is silent", case.alert, courses, case.at_min, []) for courses in silent),
    ]


def verdict(home: Path, tests: list[dict[str, Any]], alerts: str | None = None) -> subprocess.CompletedProcess[str]:
    """What promtool says of tests, with another text of the alerts if one is given."""
    for name in FILES:
        (home / name).write_text((RULES / name).read_text())
    if alerts is not None:
        (home / "alerts.yml").write_text(alerts)
    asked = {"rule_files": list(FILES), "evaluation_interval": "1m", "tests": tests}
    (home / "tests.yml").write_text(yaml.safe_dump(asked, sort_keys=False))
    return subprocess.run(
        ["promtool", "test", "rules", "tests.yml"], cwd=home, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_for_its_reason_and_not_just_below(case: Case, tmp_path: Path) -> None:
    """One course raises the alert, with its labels and words, and those just below raise none."""
    told = verdict(tmp_path, courses_of(case))
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("name", UNLIKE)
def test_an_alert_is_silent_for_what_only_looks_like_its_reason(name: str, tmp_path: Path) -> None:
    """Courses that share a part of an alert's condition do not raise it."""
    alert, courses, at_min = UNLIKE[name]
    told = verdict(tmp_path, [alert_test(name, alert, courses, at_min, [])])
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("recorded", RECORDINGS)
def test_a_recorded_series_is_what_its_name_says(recorded: str, tmp_path: Path) -> None:
    """After ten minutes of known courses each recorded number is the one worked out by hand."""
    courses, expected = RECORDINGS[recorded]
    asked = {
        "expr": recorded,
        "eval_time": "10m",
        "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
    }
    test = {"interval": "1m", "input_series": inputs(courses), "promql_expr_test": [asked]}
    told = verdict(tmp_path, [test])
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_rule_has_its_case() -> None:
    """No alert and no recording rule is without one, and none is judged that is not shipped."""
    assert sorted(case.alert for case in CASES) == sorted(ALERTS)
    assert set(RECORDINGS) == RECORDED


def moved(rule: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rule with each of its bounds moved either way, by what was done."""
    changed = {}
    for match in re.finditer(r"(?<=[<>=] )-?[\d.]+(?= and| \*|$)", rule["expr"]):
        bound = float(match[0])
        for other in (2 * bound + 2 * (bound == 0), bound / 2 - 0.5 * (bound == 0)):
            expr = f"{rule['expr'][: match.start()]}{other}{rule['expr'][match.end() :]}"
            changed[f"{bound:g} became {other:g}"] = {**rule, "expr": expr}
    if "for" in rule:
        changed["four times as long"] = {**rule, "for": f"{4 * int(rule['for'][:-1])}m"}
    return changed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_a_rule_that_is_moved_is_caught(case: Case, tmp_path: Path) -> None:
    """With a threshold half or twice as large (-0.5 or 2 for zero), or a longer wait, the same courses fail."""
    shipped = ALERTS[case.alert]
    assert moved(shipped)
    for what, rule in moved(shipped).items():
        text = yaml.safe_dump({"groups": [{"name": "moved", "rules": [rule]}]})
        told = verdict(tmp_path, courses_of(case), text)
        assert told.returncode != 0, f"{case.alert}: {what}, and no test fails"
