"""The compiled slopes against finite differences of the losses, and the compiled CRPS against its integral."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from losses_oracle import LOSSES

from uoro.learning.kernel.alone import losses
from uoro.learning.kernel.scoring import crps

moderate = st.floats(-3, 3)


def slopes(name: str, raw: np.ndarray, target: float) -> np.ndarray:
    """The compiled slope, (1,) or (2,)."""
    return np.atleast_1d(getattr(losses, name)(*raw.tolist(), target))


@pytest.mark.parametrize("name", ["huber", "squared", "gaussian"])
@given(location=moderate, log_variance=moderate, target=moderate)
def test_slope_is_the_derivative(name: str, location: float, log_variance: float, target: float) -> None:
    """In float64 a central difference agrees where the loss is smooth and the slope unbounded."""
    function = LOSSES[name]
    raw = np.array([location, log_variance] if name == "gaussian" else [location])
    slope = slopes(name, raw, target)
    step = 1e-6
    for i in range(len(raw)):
        up, down = raw.copy(), raw.copy()
        up[i] += step
        down[i] -= step
        difference = (function(up, target)[0] - function(down, target)[0]) / (2 * step)
        if name == "gaussian" and abs(target - location) * math.exp(-0.5 * log_variance) > 9.9:
            continue
        assert slope[i] == pytest.approx(difference, abs=1e-5, rel=1e-5)


@given(
    name=st.sampled_from(["huber", "squared", "gaussian"]),
    raw=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
    target=st.floats(-50, 50),
)
def test_slopes_are_bounded(name: str, raw: tuple[float, float], target: float) -> None:
    """However far off, the slope is finite, and within what the module promises."""
    slope = slopes(name, np.array(raw[: 2 if name == "gaussian" else 1]), target)
    assert np.isfinite(slope).all()
    bound = {"huber": losses.HUBER_WIDTH, "squared": losses.MAX_SLOPE, "gaussian": 10 * math.exp(5)}[name]
    assert np.abs(slope).max() <= bound * (1 + 1e-9)


def test_variance_beyond_its_bounds_comes_back() -> None:
    """Beyond the bound of the variance the slope points inside or is zero."""
    assert losses.gaussian(0.0, 20.0, 0.0)[1] > 0
    assert losses.gaussian(0.0, -20.0, 0.0)[1] == 0
    assert losses.gaussian(0.0, -20.0, 1.0)[1] < 0


@pytest.mark.parametrize(("mean", "std", "value"), [(0.0, 1.0, 0.5), (1.0, 2.0, -3.0), (0.0, 0.5, 0.0)])
def test_crps_is_its_integral(mean: float, std: float, value: object) -> None:
    """Against ∫ (Φ - step)² dy by a fine sum."""
    y = np.linspace(mean - 12 * std, mean + 12 * std, 200_001)
    cdf = np.array([0.5 * (1 + math.erf((point - mean) / (std * math.sqrt(2)))) for point in y])
    expected = float(((cdf - (y >= value)) ** 2).sum() * (y[1] - y[0]))
    assert crps(mean, std, value) == pytest.approx(expected, rel=1e-3)


def test_crps_at_the_extremes() -> None:
    """No spread: the absolute error. Far out: the distance less σ/√π. NaN stays NaN; nothing overflows."""
    assert crps(1.0, 0.0, 3.0) == 2.0
    assert crps(0.0, 1e-30, 1e30) == pytest.approx(1e30)
    assert 0 < crps(0.0, 1e30, 1e30) < 1e30
    assert math.isnan(crps(0.0, 1.0, math.nan))
