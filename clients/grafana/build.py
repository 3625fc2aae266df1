"""Writes the dashboards, into dashboards/ or the folder that is named: `python clients/grafana/build.py`."""  # noqa: INP001 - a program

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from panels import AHEAD, FLEET, STREAM, Panel, of_stream

TARGET = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
FORECASTS = {"type": "prometheus", "uid": "${forecasts}"}
MIXED = {"type": "datasource", "uid": "-- Mixed --"}
FORECASTS_NAME = "UORO forecasts"
COLUMNS = 24
HEIGHT = 8


def main_dashboard() -> dict[str, Any]:
    """All streams, and one of them."""
    rows = (("All streams", FLEET), ("Stream $stream", STREAM))
    return dashboard("uoro", "UORO", "Streams that learn from every observation.", rows, ("now-15m", "now"))


def forecast_dashboard() -> dict[str, Any]:
    """One stream up to now and beyond; a dashboard of its own, since its time reaches into the future."""
    about = "What a stream showed and what is expected of it; the right half is the future."
    rows = (("Stream $stream", AHEAD),)
    return dashboard("uoro-forecasts", "UORO forecasts", about, rows, ("now-30m", "now+30m"))


def dashboard(
    uid: str, title: str, about: str, rows: tuple[tuple[str, tuple[Panel, ...]], ...], time: tuple[str, str]
) -> dict[str, Any]:
    """A dashboard of rows of panels."""
    panels: list[dict[str, Any]] = []
    bottom = 0
    for heading, row in rows:
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": bottom}
        panels.append({"type": "row", "title": heading, "collapsed": False, "gridPos": place, "panels": []})
        bottom += 1
        left = tallest = 0
        for panel in row:
            height = HEIGHT // 2 if panel.kind == "stat" else 2 * HEIGHT if panel.ahead else HEIGHT
            if left + panel.width > COLUMNS:
                bottom, left, tallest = bottom + tallest, 0, 0
            place = {"h": height, "w": panel.width, "x": left, "y": bottom}
            panels.append(rendered(panel, place))
            left, tallest = left + panel.width, max(tallest, height)
        bottom += tallest
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["uoro"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": dict(zip(("from", "to"), time, strict=True)),
        "templating": {"list": variables(has_forecasts=any(panel.ahead for _, row in rows for panel in row))},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, start=1)],
    }


def rendered(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    """One panel in Grafana's form."""
    bounds = zip(("min", "max"), panel.bounds, strict=True)
    defaults: dict[str, Any] = {"unit": panel.unit, **{end: bound for end, bound in bounds if bound is not None}}
    options: dict[str, Any] = {}
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "spanNulls": False}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    elif panel.kind == "stat":
        shows_name = any(panel.queries)
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "name" if shows_name else "value"}
    elif panel.kind == "bargauge":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal"}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": MIXED if panel.ahead else SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": band(*panel.band) if panel.band else []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": FORECASTS if legend in panel.ahead else SOURCE,
                "expr": query,
                "legendFormat": legend,
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
            }
            for number, (legend, query) in enumerate({**panel.queries, **panel.ahead}.items())
        ],
    }


def band(lower: str, upper: str) -> list[dict[str, Any]]:
    """Two lines without a stroke, the space between them filled."""
    hidden = {"legend": True, "tooltip": False, "viz": False}
    invisible = [{"id": "custom.lineWidth", "value": 0}, {"id": "custom.hideFrom", "value": hidden}]
    filled = [{"id": "custom.fillBelowTo", "value": lower}, {"id": "custom.fillOpacity", "value": 15}]
    color = [{"id": "color", "value": {"mode": "fixed", "fixedColor": "blue"}}]
    return [
        {"matcher": {"id": "byName", "options": lower}, "properties": [*invisible, *color]},
        {"matcher": {"id": "byName", "options": upper}, "properties": [*invisible, *filled, *color]},
    ]


def variables(*, has_forecasts: bool) -> list[dict[str, Any]]:
    """The data sources, the stream and the field that are looked at."""
    chosen = {
        "stream": "label_values(uoro_stream_loss, stream)",
        "field": f"label_values({of_stream('uoro_stream_value')}, field)",
    }
    sources = {"datasource": ("Data source", f"/^(?!{FORECASTS_NAME})/")}
    if has_forecasts:
        sources["forecasts"] = ("Forecasts", f"/^{FORECASTS_NAME}/")
    return [
        *(
            {"name": name, "type": "datasource", "query": "prometheus", "regex": regex, "label": label}
            for name, (label, regex) in sources.items()
        ),
        *(
            {
                "name": name,
                "type": "query",
                "label": name.capitalize(),
                "datasource": SOURCE,
                "definition": query,
                "query": {"query": query, "refId": name},
                "refresh": 2,
                "sort": 1,
                "multi": False,
                "includeAll": False,
            }
            for name, query in chosen.items()
        ),
    ]


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    for built in (main_dashboard(), forecast_dashboard()):
        name = built["uid"].removeprefix("uoro-")
        (folder / f"{name}.json").write_text(json.dumps(built, indent=2) + "\n")
