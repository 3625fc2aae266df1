"""Influence balancing (Tallec & Ollivier 2017, slides): what the next steps say and what the long run says disagree.

    python benchmarks/learning/balancing.py

    s' = A s + θ u,  A_ii = A_{i,i+1} = ½,  n = 23,  u = +1 on the first 10 coordinates and -1 on the other 13,
    ℓ = ½ (s¹ - 1)².  Fixed point s¹ = -6 θ: θ* = -1/6, least loss 0.

float64, plain descent with η/√(1+t), 10⁶ steps, θ from ½, s from 1. A chunk of TBPTT moves θ once, by the sum of its
gradients.
"""

from __future__ import annotations

import math

import numpy as np
from rich.console import Console
from rich.table import Table

from uoro.learning.kernel.jit import jit
from uoro.learning.kernel.noise import signs

UNITS, POSITIVE = 23, 10
STEPS, NUM_POINTS = 1_000_000, 100
EPSILON = 1e-7
UORO, RTRL = 1, 0
KINDS = {"UORO rank 1": UORO, "RTRL": RTRL, "TBPTT(1)": -1, "TBPTT(10)": -10, "TBPTT(100)": -100, "TBPTT(200)": -200}
RATES = (3e-4, 1e-3)
LOSS = 1e-9


@jit
def run(kind, rate, seed, curve):  # noqa: ANN001, ANN201 - compiled
    """curve: the largest loss in each equal part of the run, infinite once it has diverged. Returns θ."""
    n = UNITS
    every = STEPS // curve.size
    s, moved, a = np.ones(n), np.zeros(n), np.zeros(n)
    s_tilde, nu, u = np.zeros(n), np.zeros(n, np.float32), np.ones(n)
    u[POSITIVE:] = -1.0
    theta, theta_tilde, total = 0.5, 0.0, 0.0
    curve[:] = 0.0
    for t in range(STEPS):
        for i in range(n):
            moved[i] = 0.5 * s[i] + (0.5 * s[i + 1] if i + 1 < n else 0.0) + theta * u[i]
            a[i] = 0.5 * s_tilde[i] + (0.5 * s_tilde[i + 1] if i + 1 < n else 0.0)
        s[:] = moved
        error = s[0] - 1.0
        loss = 0.5 * error * error
        place = min(t // every, curve.size - 1)
        if not loss < 1e30:
            curve[place:] = np.inf
            return theta
        curve[place] = max(curve[place], loss)
        step = rate / math.sqrt(1.0 + t)
        if kind == UORO:
            theta -= step * error * (a[0] * theta_tilde + u[0])
            signs(seed, t, nu)
            norm_a, d = 0.0, 0.0
            for i in range(n):
                norm_a += a[i] * a[i]
                d += u[i] * nu[i]
            rho_0 = math.sqrt((abs(theta_tilde) + EPSILON) / (math.sqrt(norm_a) + EPSILON))
            rho_1 = math.sqrt((abs(d) + EPSILON) / (math.sqrt(float(n)) + EPSILON))
            for i in range(n):
                s_tilde[i] = rho_0 * a[i] + rho_1 * nu[i]
            theta_tilde = theta_tilde / rho_0 + d / rho_1
        else:
            for i in range(n):
                s_tilde[i] = a[i] + u[i]  # exact: one parameter, so the influence is a vector
            total += error * s_tilde[0]
            if kind == RTRL or (t + 1) % -kind == 0:
                theta -= step * total
                total = 0.0
                if kind != RTRL:
                    s_tilde[:] = 0.0
    return theta


def reached(curve: np.ndarray) -> str:
    """From which step on the loss stays below LOSS."""
    above = np.flatnonzero(~(curve < LOSS))
    if above.size and above[-1] == curve.size - 1:
        return f"never ({curve[-1]:.1e})"
    return f"{(above[-1] + 1) * STEPS // curve.size // 1000 if above.size else 0}k"


def main() -> None:
    """Every learner at both rates; UORO with five seeds."""
    table = Table(
        "learner", *(f"η = {rate:g}/√(1+t)" for rate in RATES), title=f"steps until the loss stays below {LOSS:g}"
    )
    for name, kind in KINDS.items():
        cells = []
        for rate in RATES:
            curve = np.zeros(NUM_POINTS)
            found = []
            for seed in range(5 if kind == UORO else 1):
                run(kind, rate, seed, curve)
                found.append(reached(curve))
            cells.append(" ".join(found))
        table.add_row(name, *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
