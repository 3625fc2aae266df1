"""SECURITY.md names its judges; they must exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text()


def test_every_test_that_is_named_exists() -> None:
    """Each `tests/….py` is a file, and each `::name` a test in it."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 20
    for path, name in named:
        text = (ROOT / path).read_text()
        assert not name or f"def {name}(" in text, (path, name)


def test_every_risk_of_the_ten_has_a_line() -> None:
    """API1 to API10, each once, with what judges it or the statement that nothing does."""
    assert re.findall(r"^\| API(\d+) ", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]
