"""Slopes of a number's loss with respect to the core's raw output, which is in units of the mean absolute change.

Of a location, or of a location and the logarithm of a variance. They are bounded where the loss is not: one far-off
value must not throw the core, and bounding ∂ℓ/∂y leaves UORO's estimate unbiased for that loss, which clipping the
estimate would not (SCIENCE §5).
"""

from __future__ import annotations

import math

from uoro.learning.kernel.alone.statistics import clip
from uoro.learning.kernel.jit import jit

HUBER_WIDTH = 0.5
MAX_SLOPE = 10.0
"""Bound on the slope of the squared error, and on the standardised error that the gaussian's slope sees."""
MAX_LOG_VARIANCE = 10.0
MIN_VARIANCE_SLOPE = -0.5 * MAX_SLOPE**2


@jit
def huber(location, target):
    """Of ℓ = e²/2 within HUBER_WIDTH of the target, linear beyond (Huber 1964); e = location - target."""
    return clip(location - target, HUBER_WIDTH)


@jit
def squared(location, target):
    """Of ℓ = e²/2, bounded by MAX_SLOPE (so linear beyond)."""
    return clip(location - target, MAX_SLOPE)


@jit
def gaussian(location, log_variance, target):
    """Both of ℓ = (log σ² + z²)/2, the negative log likelihood up to a constant; z = (target - location)/σ.

    They are those of the loss that is linear in z beyond |z| = MAX_SLOPE.
    """
    inverse_std = math.exp(-0.5 * clip(log_variance, MAX_LOG_VARIANCE))
    z = (target - location) * inverse_std
    bounded = clip(z, MAX_SLOPE)
    by_variance = max(0.5 * (1.0 - bounded * z), MIN_VARIANCE_SLOPE)
    # Beyond its bounds the variance is held: only a slope that leads back inside is kept.
    if log_variance > MAX_LOG_VARIANCE:
        by_variance = max(by_variance, 0.0)
    elif log_variance < -MAX_LOG_VARIANCE:
        by_variance = min(by_variance, 0.0)
    return -bounded * inverse_std, by_variance
