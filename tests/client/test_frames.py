"""Frames out and in: every value its own, times to the moment, missing ones missing."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise

import pytest

pd = pytest.importorskip("pandas", exc_type=ImportError)

from uoro_client import (  # noqa: E402 - pandas may be absent
    CategoryForecast,
    Client,
    NumberForecast,
    ObservationReply,
    Patience,
    Prediction,
)
from uoro_client.frames import forecast_frame, frame_observations, observe_frame, results_frame  # noqa: E402
from uoro_client.testing import Fault, ServiceDouble  # noqa: E402


@pytest.fixture
def double() -> ServiceDouble:
    return ServiceDouble()


@pytest.fixture
def client(double: ServiceDouble) -> Client:
    return Client(transport=double.transport(), patience=Patience(max_attempts=4, first_pause_s=0.0))


def hours(num: int, zone: str | None = None) -> pd.DatetimeIndex:
    return pd.date_range("2024-03-31", periods=num, freq="h", tz=zone)


def test_rows_become_observations() -> None:
    """Numbers, booleans and words keep their kinds; whatever stands for missing is None."""
    frame = pd.DataFrame(
        {
            "v": [1.5, math.nan, 3.0],
            "n": pd.array([1, None, 3], dtype="Int64"),
            "k": pd.Categorical(["a", None, "b"]),
            "b": pd.array([True, None, False], dtype="boolean"),
        },
        index=hours(3),
    )
    rows = list(frame_observations(frame))
    assert [row.x for row in rows] == [
        {"v": 1.5, "n": 1, "k": "a", "b": True},
        {"v": None, "n": None, "k": None, "b": None},
        {"v": 3.0, "n": 3, "k": "b", "b": False},
    ]
    assert [row.t for row in rows] == [datetime(2024, 3, 31, n, tzinfo=UTC).timestamp() for n in range(3)]


def test_times_have_their_zone() -> None:
    """An index of Berlin is told in UTC, across the hour that does not exist; one without times gives none."""
    rows = list(frame_observations(pd.DataFrame({"v": range(4)}, index=hours(4, "Europe/Berlin"))))
    assert rows[0].t == datetime(2024, 3, 30, 23, tzinfo=UTC).timestamp()
    assert [b.t - a.t for a, b in pairwise(rows)] == [3600.0] * 3  # type: ignore[operator]
    assert next(frame_observations(pd.DataFrame({"v": [1]}))).t is None


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "same name"),
        (pd.DataFrame({"v": [1]}, index=pd.DatetimeIndex([None])), "missing"),
        (pd.DataFrame({"v": [math.inf]}), "give None"),
    ],
)
def test_what_cannot_be_posted_is_refused(client: Client, double: ServiceDouble, frame: object, reason: str) -> None:
    """The caller is told before anything is sent."""
    with pytest.raises(ValueError, match=reason):
        observe_frame(client.writer(), "a", frame)
    assert double.learned == {}


def test_a_frame_is_learned_once(client: Client, double: ServiceDouble, capsys: pytest.CaptureFixture[str]) -> None:
    """In chunks, through faults, with a bar beside; results come back as a frame by time."""
    double.faults += [None, Fault.LOSE_REPLY, Fault.OVERLOADED, None, Fault.UNAVAILABLE_AFTERWARDS]
    frame = pd.DataFrame({"v": [float(n) for n in range(2500)]}, index=hours(2500, "UTC"))
    reply = observe_frame(client.writer(), "a", frame, full=True, progress=True)
    assert [x["v"] for x in double.learned["a"]] == list(range(2500))
    told = results_frame(reply.results or ())
    assert told.index.equals(frame.index)
    assert told["seq"].tolist() == list(range(1, 2501))
    assert {"v.mean", "v.lower", "v.upper"} <= set(told.columns)
    assert "100%" in capsys.readouterr().err


def test_results_become_a_frame() -> None:
    """What came, what was said of numbers and categories, and how good it was; by `seq` without times."""
    said = Prediction(v=NumberForecast(2.0, 1.0, 3.0), k=CategoryForecast({"a": 0.75, "b": 0.25}, 0.0))
    first = ObservationReply(1, x={"v": 1.0})
    second = ObservationReply(2, prediction=said, loss=0.5, baseline_loss=1.0, anomaly=0.1, x={"v": 2.5})
    frame = results_frame([first, second])
    assert frame.index.tolist() == [1, 2]
    assert math.isnan(frame["loss"].iloc[0])
    assert frame.iloc[1].to_dict() == {
        "seq": 2, "loss": 0.5, "baseline_loss": 1.0, "anomaly": 0.1, "duplicate": False, "v": 2.5,
        "v.mean": 2.0, "v.lower": 1.0, "v.upper": 3.0, "k.likeliest": "a", "k.probability": 0.75,
    }  # fmt: skip
    assert results_frame([]).empty


@pytest.mark.parametrize("t", [1_700_000_000.25, "2023-11-14T22:13:20.25Z", "2023-11-14T23:13:20.25+01:00"])
def test_times_come_back_in_utc(t: float | str) -> None:
    """Whichever way a time was written, the index has the moment."""
    (moment,) = results_frame([ObservationReply(1, t=t)]).index
    assert moment == pd.Timestamp("2023-11-14T22:13:20.25Z")


def test_forecasts_become_a_frame() -> None:
    """One row a step ahead."""
    frame = forecast_frame([Prediction(v=NumberForecast(n, n - 1.0, n + 1.0)) for n in (5.0, 6.0)])
    assert frame.index.tolist() == [1, 2]
    assert frame["v.upper"].tolist() == [6.0, 7.0]
    assert forecast_frame(()).empty
