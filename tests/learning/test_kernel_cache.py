"""Where compiled code is kept, and the finite test that reordered arithmetic cannot fold away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from uoro.learning.kernel import jit as kernel_jit
from uoro.learning.kernel.jit import cache_directory, is_finite, jit


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache and a directory for temporary files below one path; no directory chosen."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_jit.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    return tmp_path


def test_the_directory_is_below_the_first_that_can_be_written(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's choice, else the user's cache, else a directory for temporary files, else none."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(homes / "chosen"))
    assert cache_directory().parent == homes / "chosen"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert cache_directory().parent == homes / "cache" / "uoro"
    (homes / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(homes / "file"))
    assert cache_directory().parent == homes / "tmp"
    monkeypatch.setattr(kernel_jit.tempfile, "gettempdir", lambda: str(homes / "file"))
    assert cache_directory() is None


def test_a_directory_that_others_can_write_to_is_not_used(homes: Path) -> None:
    """Whoever can write there could have their code run by us."""
    mine = cache_directory()
    assert mine.stat().st_mode & 0o077 == 0
    mine.chmod(0o777)
    assert cache_directory() != mine


def test_the_directory_is_one_of_these_sources(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed kernel or another compiler has another directory; the same kernel the same one."""
    sources = homes / "kernel"
    (sources / "part").mkdir(parents=True)
    (sources / "jit.py").write_text("one")
    (sources / "part" / "a.py").write_text("two")
    monkeypatch.setattr(kernel_jit, "__file__", str(sources / "jit.py"))
    first = cache_directory()
    assert cache_directory() == first
    (sources / "part" / "a.py").write_text("three")
    second = cache_directory()
    monkeypatch.setattr(kernel_jit.numba, "__version__", "0")
    assert len({first, second, cache_directory()}) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sum_that_is_not_finite_is_found(bad: float, dtype: type) -> None:
    """Where x is computed, x - x may be folded to 0, so that is no test; ours is."""

    @jit
    def is_sum_finite(values):  # noqa: ANN001, ANN202
        total = values[0]
        for i in range(1, values.size):
            total += values[i]
        return is_finite(total)

    values = np.ones(9, dtype)
    assert is_sum_finite(values)
    values[4] = bad
    assert not is_sum_finite(values)
