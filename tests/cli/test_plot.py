"""Plots of braille: every dot where its value is, and no number that breaks them."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from uoro.cli.plot import BRAILLE, DOTS, LABEL_CHARS, Band, Line, plot

VALUES = st.lists(st.none() | st.floats(-1e308, 1e308), max_size=50)


def dots(picture: str) -> set[tuple[int, int]]:
    """The dots of a picture, from the left and from the top."""
    return {
        (2 * column + x, 4 * row + y)
        for row, line in enumerate(picture.splitlines())
        for column, char in enumerate(line[LABEL_CHARS + 1 :])
        if char != " "
        for x in range(2)
        for y in range(4)
        if (ord(char) - BRAILLE) & DOTS[x][y]
    }


def test_a_slope_is_a_slope() -> None:
    """A line from the least to the greatest value: one dot a column, each no lower than the one before."""
    picture = plot([Line([float(n) for n in range(40)], "green")], LABEL_CHARS + 1 + 20, 10).plain
    heights = dict(sorted(dots(picture)))
    assert len(heights) == 40
    assert sorted(heights.values(), reverse=True) == list(heights.values())
    assert (min(heights.values()), max(heights.values())) == (1, 38)  # the margins
    assert [line[:LABEL_CHARS].strip() for line in picture.splitlines() if line[:LABEL_CHARS].strip()] == [
        "39",
        "19.5",
        "0",
    ]


def test_a_missing_value_breaks_the_line() -> None:
    """Nothing is drawn across what is not known."""
    picture = plot([Line([1.0, 1.0, None, None, None, None, 1.0, 1.0], "green")], LABEL_CHARS + 1 + 4, 3).plain
    assert {x for x, _ in dots(picture)} == {0, 1, 6, 7}


def test_a_line_is_seen_on_its_band() -> None:
    """A character that holds both has the line's colour; the band is where its bounds are."""
    picture = plot([Band([(0.0, 4.0)] * 8, "blue"), Line([2.0] * 8, "green")], LABEL_CHARS + 1 + 4, 5)
    styles = {str(span.style) for span in picture.spans}
    assert {"blue", "green"} <= styles
    assert {y for x, y in dots(picture.plain) if x == 0} >= {2, 4, 6}


@given(VALUES, st.integers(0, 40), st.integers(0, 8))
def test_any_numbers_make_a_picture_of_its_size(values: list[float | None], width: int, height: int) -> None:
    """Whatever the numbers, no line is too long, and there are as many as asked for, or none."""
    bounds = [None if value is None else (value, value + abs(value) * 0.01) for value in values]
    bounds = [None if pair is None or not math.isfinite(pair[1]) else pair for pair in bounds]
    lines = plot([Band(bounds, "blue"), Line(values, "green")], width, height).plain.split("\n")
    assert len(lines) in {1, height}
    assert all(len(line) <= max(width, LABEL_CHARS + 1) for line in lines)
