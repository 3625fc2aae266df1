"""What a watcher tells of results: one line each, or a picture that fits its terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from uoro.cli.sighting import Sighting, moment
from uoro_client import CategoryForecast, ClientError, NumberForecast, ObservationReply, Prediction


def result(seq: int, came: float | None = 10.0, *, life: float = 0.5) -> ObservationReply:
    said = Prediction(v=NumberForecast(9.0, 8.0, 10.0))
    return ObservationReply(
        seq, "taxi", 1_700_000_000.0 + seq, False, said, life, 1.0, 0.25, said, {"v": came}
    )  # fmt: skip


def seen(*results: ObservationReply, field: str | None = None) -> Sighting:
    sighting = Sighting("taxi", field)
    for one in results:
        sighting.add(one, 0.0)
    return sighting


def drawn(sighting: Sighting, width: int, height: int, outage: Exception | None = None, missed: int = 0) -> list[str]:
    console = Console(width=width, height=height, emoji=False)
    with console.capture() as captured:
        console.print(sighting.picture(width, height, outage, missed, 5.0))
    return captured.get().splitlines()


def test_a_result_in_one_line() -> None:
    """Place, time, value, what was said, loss, skill, anomaly."""
    line = seen(result(41)).line()
    assert line == (
        "seq 41  2023-11-14T22:14:01Z  v 10 said 9 [8, 10]  loss 0.5  skill 50.0 %  anomaly 25.0 %"
    )  # fmt: skip


def test_a_category_in_one_line() -> None:
    """The likeliest category with its probability; before anything was said, a dash."""
    said = Prediction(kind=CategoryForecast({"a": 0.7, "b": 0.1}, 0.2))
    assert "kind b said a 70.0 %" in seen(ObservationReply(2, prediction=said, x={"kind": "b"})).line()
    assert "kind true  loss –  skill –  anomaly –" in seen(ObservationReply(1, x={"kind": True})).line()


def test_what_callers_wrote_moves_no_cursor() -> None:
    """Escapes in categories, fields and times are shown as a sign, in the line and in the picture."""
    evil = "a\x1b[31m\r\nb"
    said = Prediction({evil: CategoryForecast({evil: 1.0}, 0.0)})
    sighting = seen(ObservationReply(1, "s", evil, prediction=said, next=said, x={evil: evil}))
    for text in (sighting.line(), "".join(drawn(sighting, 200, 30))):
        assert not set("\x1b\r\n") & set(text)
        assert "a�[31m" in text


def test_after_a_restore_the_newer_results_are_gone() -> None:
    """A place that comes again replaces what was there and after."""
    sighting = seen(*(result(seq) for seq in (1, 2, 3)), result(2, life=0.75))
    assert [(one.seq, one.loss) for one in sighting.results] == [(1, 0.5), (2, 0.75)]


def test_skill_is_of_the_latest_64() -> None:
    """Older results do not count; without losses there is no skill."""
    assert (
        seen(*(result(seq, life=9.0) for seq in range(1, 10)), *(result(seq) for seq in range(10, 74))).skill() == 0.5
    )
    assert Sighting("none").skill() is None


def test_the_rate_is_of_new_results() -> None:
    """What was there before watching does not count; what came ten seconds ago neither."""
    sighting = Sighting("taxi", live_after=10)
    for seq, now_s in ((9, 100.0), (10, 100.0), (11, 100.0), (12, 105.0)):
        sighting.add(result(seq), now_s)
    assert (sighting.rate(105.0), sighting.rate(112.0)) == (0.2, 0.1)


@given(st.integers(20, 200), st.integers(3, 60), st.integers(0, 80), st.none() | st.floats(-1e30, 1e30))
def test_the_picture_fits(width: int, height: int, num: int, came: float | None) -> None:
    """Whatever the terminal's size, the picture has no more lines and none longer."""
    lines = drawn(seen(*(result(seq, came) for seq in range(1, num + 1))), width, height)
    assert len(lines) <= max(height, 7)
    assert all(len(line) <= width for line in lines)


def test_the_picture_tells_what_is_wrong() -> None:
    """A lost connection and missed results stand at the top; the plot and the next prediction are there."""
    text = "\n".join(drawn(seen(result(1), result(2)), 200, 30, ClientError("no service answers"), 7))
    assert "reconnecting: no service answers" in text
    assert "7 missed" in text
    assert "next" in text
    assert any(0x2800 < ord(char) < 0x2900 for char in text)
    assert "● live" in drawn(Sighting("taxi"), 80, 24)[0]


def test_categories_are_plotted_as_probabilities() -> None:
    """The plot's range is that of the probabilities given to what came."""
    said = Prediction(kind=CategoryForecast({"a": 0.75}, 0.25))
    came = [ObservationReply(n, prediction=said, next=said, x={"kind": "ab"[n % 2]}) for n in range(1, 9)]
    text = "\n".join(drawn(seen(*came), 100, 30))
    assert "0.75 " in text
    assert "0.25 " in text


def test_moments() -> None:
    """Epochs and dates are told to the second; what is no date as it is."""
    assert moment(0) == moment(datetime(1970, 1, 1, tzinfo=UTC)) == "1970-01-01T00:00:00Z"
    assert moment(1e300) == "1e+300"
