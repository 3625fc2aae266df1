"""The example's pendulum gives its damping away to the learners that see the whole past."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "pendulum.py"


@pytest.fixture(scope="module")
def pendulum() -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("pendulum_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("learner", ["uoro", "rtrl"])
def test_the_damping_is_learned_while_it_swings(pendulum: ModuleType, learner: str) -> None:
    """After 150 s of swinging the damping, at first more than three times too high, is within 5 %."""
    *_, last = pendulum.learn(learner, num_steps=3000, seed=0)
    assert last.damping == pytest.approx(pendulum.DAMPING, rel=0.05)


def test_ten_steps_back_are_not_enough_for_plain_descent(pendulum: ModuleType) -> None:
    """TBPTT(10) with the same descent moves the right way and is still more than 30 % off."""
    *_, last = pendulum.learn("tbptt", num_steps=3000, seed=0)
    assert 1.3 * pendulum.DAMPING < last.damping < pendulum.FIRST_GUESS


def test_the_command_says_what_it_found(
    pendulum: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run too short to learn says that the damping was not found."""
    monkeypatch.setattr(sys, "argv", ["pendulum.py", "--learner", "rtrl", "--steps", "20"])
    pendulum.main()
    assert "not found: damping" in capsys.readouterr().out
