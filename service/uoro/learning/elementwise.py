"""What sets the linear recurrent unit apart from the gated cells: its parameters, memories, and how it is drawn.

θ is rows of H units: Re B (I inputs, then the bias), Im B, ν, φ; the equations are in `reference.lru`.
"""

from __future__ import annotations

import math

import numpy as np

from uoro.learning import noise
from uoro.learning.spec import LearnerSpec

LONGEST = 100.0
"""Steps that the longest memory takes to fall to 1/e at first."""


def num_rows(num_inputs: int) -> int:
    """Rows of θ, a number a unit each."""
    return 2 * (num_inputs + 1) + 2


def is_exact(learner: LearnerSpec) -> bool:
    """Whether a learner comes to the exact influence of an element-wise recurrence.

    RTRL keeps nothing that SnAp-1 does not keep, and behind SnAp-1 as control variate no remainder is left to estimate.
    """
    return learner.name in {"rtrl", "snap1"} or (learner.name == "uoro" and learner.control_variate == "snap1")


def draw(seed: int, num_inputs: int, num_units: int) -> np.ndarray:
    """θ (P,) float32: memories e^-ν log-uniform from 1 to LONGEST steps, φ = π v², v uniform; B of variance 1/(I + 1).

    Nothing is known of the time scale of a stream, so all are equally likely. Of real signals φ and -φ say the same,
    and most vary slowly against their sampling: half of the units turn once in eight steps or slower, the rest reach
    up to π. Inputs of unit variance make states of unit size.
    """
    theta = noise.uniform(seed, noise.INIT_STEP, num_rows(num_inputs) * num_units)
    rows = theta.reshape(-1, num_units)
    rows[:-2] *= np.float32(math.sqrt(1.5 / (num_inputs + 1)))
    rows[-2] = np.float32(-0.5 * math.log(LONGEST)) * (1.0 + rows[-2])
    rows[-1] = np.float32(0.25 * math.pi) * (1.0 + rows[-1]) ** 2
    return theta


def memories(num_inputs: int, num_units: int, num_copies: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the exact influence, real and imaginary parts of I + 3 traces a unit; or of the copies of UORO."""
    if num_copies == 0:
        return {"influence": (2, num_inputs + 3, num_units)}
    return {
        "s_tilde": (num_copies, 3 * num_units),
        "theta_tilde": (num_copies, num_rows(num_inputs) * num_units),
    }


def is_inside(activations: np.ndarray) -> bool:
    """Whether what a step left says |λ| < 1 and γ in [0, 1], as every step does; before the first all is zero."""
    by_re, by_im, gamma = activations.reshape(6, -1).astype(np.float64)[:3]
    return bool((by_re**2 + by_im**2 < 1.0).all() and (gamma >= 0.0).all() and (gamma <= 1.0).all())
