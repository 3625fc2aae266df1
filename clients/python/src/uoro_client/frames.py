"""Between pandas and the service: frames of observations out, results and forecasts back as frames.

Needs the extra `pandas`. Rules:
1. A column is a field; NaN, NaT, NA and None are missing. Infinities are refused.
2. A DatetimeIndex gives the times, in UTC if it names no zone; any other index gives none.
3. Column names of what comes back: the field for what came; `field.mean`, `field.lower`, `field.upper` for what was
   said of a number; `field.likeliest`, `field.probability` for what was said of a category.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Self

import pandas as pd

from uoro_client.observations import Observation, Value
from uoro_client.replies import BatchReply, NumberForecast, ObservationReply, Prediction
from uoro_client.writers import Writer

_US = 1_000_000
"""Microseconds in a second: finer times do not survive as floats."""


def frame_observations(frame: pd.DataFrame) -> Iterator[Observation]:
    """The rows of a frame (n, fields) in order, as observations; works with any `observe_many`.

    Raises ValueError if two columns have the same name or a time is missing.
    """
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    times = _epochs(frame.index)
    columns = [_values(frame.iloc[:, place]) for place in range(len(names))]
    for row, time in enumerate(times):
        yield Observation({name: column[row] for name, column in zip(names, columns, strict=True)}, time)


def observe_frame(
    writer: Writer, stream: str, frame: pd.DataFrame, *, full: bool = False, progress: bool = False
) -> BatchReply:
    """Post a frame's rows to one stream, in order; none is lost or learned twice.

    Args:
        writer: numbers the rows; after an error it may be given `error.remaining`.
        stream: id of the stream.
        frame: (n, fields); see the rules above.
        full: ask for every result; `results_frame(reply.results or ())` makes a frame of them.
        progress: show a bar on stderr.

    Raises:
        ClientError: as `Writer.observe_many`.
        ValueError: for what cannot be an observation.
    """
    rows = frame_observations(frame)
    with _bar(len(frame)) if progress else nullcontext() as bar:
        return writer.observe_many(stream, rows if bar is None else _counted(rows, bar), full=full)


def results_frame(results: Iterable[ObservationReply]) -> pd.DataFrame:
    """Results, one a row: seq, loss, baseline_loss, anomaly, duplicate, and columns for each field.

    The index is the time in UTC if every result has one, else `seq`.
    """
    told = list(results)
    frame = pd.DataFrame(
        {
            "seq": pd.Series([result.seq for result in told], dtype="int64"),
            **{
                name: pd.Series([getattr(result, name) for result in told], dtype="float64")
                for name in ("loss", "baseline_loss", "anomaly")
            },
            "duplicate": pd.Series([result.duplicate for result in told], dtype="bool"),
        }
    )
    came = [dict(result.x or {}) for result in told]
    said = [_said(result.prediction) for result in told]
    for rows in (came, said):
        for name in dict.fromkeys(name for row in rows for name in row):
            frame[name] = pd.Series([row.get(name) for row in rows])
    if told and all(result.t is not None for result in told):
        frame.index = pd.DatetimeIndex(
            [_moment(result.t) for result in told if result.t is not None], name="t"
        ).as_unit("us")
        return frame
    return frame.set_index("seq", drop=False).rename_axis("seq")


def forecast_frame(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Predictions as `Client.predict(stream, horizon)` answers them; the index is the step ahead, from 1."""
    steps = pd.RangeIndex(1, len(predictions) + 1, name="step")
    return pd.DataFrame([_said(prediction) for prediction in predictions], index=steps)


def _epochs(index: pd.Index[Any]) -> list[float | None]:
    if not isinstance(index, pd.DatetimeIndex):
        return [None] * len(index)
    if index.hasnans:
        raise ValueError("a time of the index is missing")
    utc = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    return [int(us) / _US for us in utc.as_unit("us").asi8]


def _values(column: pd.Series[Any]) -> list[Value]:
    """A column's values as Python's own, None where one is missing."""
    return [None if missing else value for value, missing in zip(column.tolist(), column.isna().tolist(), strict=True)]


def _said(prediction: Prediction | None) -> dict[str, float | str]:
    told: dict[str, float | str] = {}
    for field, forecast in (prediction or Prediction()).items():
        if isinstance(forecast, NumberForecast):
            told |= {
                f"{field}.mean": forecast.mean,
                f"{field}.lower": forecast.lower,
                f"{field}.upper": forecast.upper,
            }
        elif forecast.likeliest:
            told |= {
                f"{field}.likeliest": forecast.likeliest,
                f"{field}.probability": forecast.probabilities[forecast.likeliest],
            }
    return told


def _moment(t: float | str) -> pd.Timestamp:
    if isinstance(t, int | float):
        return pd.Timestamp(round(t * _US), unit="us", tz="UTC")
    moment = pd.Timestamp(t).as_unit("us")
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


class _Bar:
    """A bar that a row moves when the next is asked for: then it has been posted, or stands in the chunk at hand."""

    def __init__(self, num: int) -> None:
        from rich.console import Console  # noqa: PLC0415 - only who wants a bar needs the library
        from rich.progress import Progress  # noqa: PLC0415

        self._progress = Progress(console=Console(stderr=True))
        self._bar = self._progress.add_task("observations", total=num)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One row further."""
        self._progress.advance(self._bar)


def _bar(num: int) -> _Bar:
    return _Bar(num)


def _counted(rows: Iterable[Observation], bar: _Bar) -> Iterator[Observation]:
    for row in rows:
        yield row
        bar.advance()
