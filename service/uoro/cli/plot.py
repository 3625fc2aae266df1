"""Lines and bands drawn with braille characters: two columns and four rows of dots a character. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from uoro.cli.terminal import number

BRAILLE = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of each dot, by column and row."""
ACROSS, DOWN = 2, 4
LABEL_CHARS = 11
MARGIN = 0.05
"""Of the range, left free above and below."""


@dataclass(frozen=True, slots=True)
class Line:
    """Values from left to right; a None breaks the line."""

    values: Sequence[float | None]
    style: str


@dataclass(frozen=True, slots=True)
class Band:
    """What lies between two bounds at each place; shaded."""

    bounds: Sequence[tuple[float, float] | None]
    style: str


def plot(shapes: Sequence[Line | Band], width: int, height: int) -> Text:
    """Shapes of equal length in `height` lines of `width` characters, the range at the left; later ones lie on top.

    Returns an empty picture where no value is known or there is no room.
    """
    known = [value for shape in shapes for value in _values(shape)]
    columns = width - LABEL_CHARS - 1
    if not known or columns < 1 or height < 1:
        return Text()
    low, high = min(known), max(known)
    # Halves first: the range of two numbers of 1e308 would be infinite.
    pad = MARGIN * (high / 2 - low / 2) * 2 or max(abs(high) * MARGIN, 1e-300)
    canvas = _Canvas(columns, height, low - pad, high + pad)
    for shape in shapes:
        canvas.shade(shape) if isinstance(shape, Band) else canvas.draw(shape)
    labels = {0: high, height // 2: low / 2 + high / 2, height - 1: low} if height > 2 else {0: high}
    picture = Text()
    for row in range(height):
        label = number(labels[row]) if row in labels else ""
        picture.append(f"{label:>{LABEL_CHARS}} ", "dim")
        picture.append_text(canvas.line(row))
        picture.append("\n" if row < height - 1 else "")
    return picture


class _Canvas:
    def __init__(self, columns: int, height: int, low: float, high: float) -> None:
        self._columns, self._rows = columns, height
        self._low, self._high = low, high
        self._dots = [[0] * columns for _ in range(height)]
        self._styles = [[""] * columns for _ in range(height)]

    def draw(self, line: Line) -> None:
        """Connect neighbours that are both known."""
        before: tuple[int, int] | None = None
        for place, value in enumerate(line.values):
            if value is None:
                before = None
                continue
            at = self._across(place, len(line.values)), self._down(value)
            for x, y in _between(before or at, at):
                self._set(x, y, line.style)
            before = at

    def shade(self, band: Band) -> None:
        """Every other dot, so that a line on it is seen."""
        num = len(band.bounds)
        for x in range(self._columns * ACROSS):
            bounds = band.bounds[min(num - 1, round(x * (num - 1) / max(1, self._columns * ACROSS - 1)))]
            if bounds is not None:
                for y in range(self._down(bounds[1]), self._down(bounds[0]) + 1):
                    if x % 2 == 0 and y % 2 == 0:
                        self._set(x, y, band.style)

    def line(self, row: int) -> Text:
        """One line of characters."""
        text = Text()
        for dots, style in zip(self._dots[row], self._styles[row], strict=True):
            text.append(chr(BRAILLE + dots) if dots else " ", style)
        return text

    def _set(self, x: int, y: int, style: str) -> None:
        self._dots[y // DOWN][x // ACROSS] |= DOTS[x % ACROSS][y % DOWN]
        self._styles[y // DOWN][x // ACROSS] = style

    def _across(self, place: int, num: int) -> int:
        return round(place * (self._columns * ACROSS - 1) / max(1, num - 1))

    def _down(self, value: float) -> int:
        share = (self._high / 2 - value / 2) / (self._high / 2 - self._low / 2)
        return min(self._rows * DOWN - 1, max(0, int(share * self._rows * DOWN)))


def _values(shape: Line | Band) -> list[float]:
    if isinstance(shape, Line):
        return [value for value in shape.values if value is not None]
    return [value for bounds in shape.bounds if bounds is not None for value in bounds]


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots from one to another, in steps of at most one."""
    num = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * n / num), round(start[1] + (end[1] - start[1]) * n / num))
        for n in range(num + 1)
    ]
