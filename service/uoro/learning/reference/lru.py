"""The linear recurrent unit: an element-wise recurrence, whose every parameter touches one unit only.

Orvieto et al. 2023 (arXiv 2303.06349), learned online as by Zucchet et al. 2023 (2305.15947) and Elelimy et al. 2024
(recurrent trace units). Unit u keeps a complex number z_u, and what is read out is the hyperbolic tangent of its real
part:

    d = B [x; 1],  B complex      z' = λ z + γ d      h' = tanh(Re z')                                              (1)
    λ = exp(-(e^ν + FLOOR) + iφ)      γ = √(1 - |λ|²)                                                               (2)

γ is a function of ν, not a parameter, and is differentiated through: it keeps z of one size however long its memory.
FLOOR bounds a memory at 4,096 steps, so that |λ| < 1 and γ > 0 in float32 whatever ν is; above LARGEST_NU the unit
remembers nothing (|λ| < 1e-8) and ν is held there, with slope 0.

The state is [h; Re z; Im z]; θ is a matrix (2 (I + 1) + 2, H) of rows Re B (inputs, then bias), Im B, ν, φ, a column a
unit. Only real and imaginary part are recurrent:

    ∂z'/∂z = λ    ∂z'/∂Re B_j = γ x_j    ∂z'/∂Im B_j = iγ x_j    ∂z'/∂φ = iλz    ∂z'/∂ν = e^ν (γ⁻¹|λ|² d - λz)      (3)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uoro.learning import noise
from uoro.learning.reference.linearization import Unfactored

FLOOR = 2.0**-12
LARGEST_NU = 3.0
LONGEST = 100.0
"""Steps that the longest memory takes to fall to 1/e at first."""


class Lru:
    """The unit as a cell of the reference. Activations: Re λ, Im λ, γ, e^ν (0 where ν is held), Re d, Im d."""

    num_states = 3

    def __init__(self, hidden_size: int, input_size: int) -> None:
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.state_size = self.num_states * hidden_size
        self.num_gates = 2 * (input_size + 1) + 2
        self.num_parameters = self.num_gates * hidden_size
        self.num_activations = 6 * hidden_size

    def init(self, seed: int) -> Tensor:
        """θ (P,) float32: memories e^-ν log-uniform from 1 to LONGEST steps, φ = π v², v uniform; B in a square.

        `uoro.learning.elementwise` says why. B's variance is 1/(I + 1): inputs of unit variance make z of unit size.
        """
        theta = torch.from_numpy(noise.uniform(seed, noise.INIT_STEP, self.num_parameters))
        rows = theta.view(self.num_gates, -1)
        rows[:-2] *= math.sqrt(1.5 / (self.input_size + 1))
        rows[-2] = -0.5 * math.log(LONGEST) * (1.0 + rows[-2])
        rows[-1] = 0.25 * math.pi * (1.0 + rows[-1]).square()
        return theta

    def forward(self, theta: Tensor, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """(1), in real arithmetic."""
        rows = theta.view(self.num_gates, -1)
        num = self.input_size + 1
        inputs = torch.cat((x, x.new_ones(1)))
        drive_re, drive_im = inputs @ rows[:num], inputs @ rows[num : 2 * num]
        nu, phase = rows[2 * num], rows[2 * num + 1]
        _, re, im = state.view(3, -1)
        fade = nu.clamp(max=LARGEST_NU).exp()
        radius = torch.exp(-(fade + FLOOR))
        by_re, by_im = radius * phase.cos(), radius * phase.sin()
        gamma = (1.0 - radius.square()).sqrt()
        new_re = by_re * re - by_im * im + gamma * drive_re
        new_im = by_re * im + by_im * re + gamma * drive_im
        slope = torch.where(nu < LARGEST_NU, fade, torch.zeros_like(fade))
        return (
            torch.cat((new_re.tanh(), new_re, new_im)),
            torch.cat((by_re, by_im, gamma, slope, drive_re, drive_im)),
        )

    def linearize(self, theta: Tensor, previous: Tensor, x: Tensor, activations: Tensor) -> LruLinearization:
        """The step from `previous` at which `forward` left these activations."""
        return LruLinearization(theta, previous, x, activations)


class LruLinearization(Unfactored):
    """(3) at one step. A vector w = [w_h; w_re; w_im] acts on z through w_re + (1 - h'²) w_h and w_im alone.

    Attributes:
        by_re, by_im: (H,) of λ. tanh_slope: (H,) 1 - h'². by_input: (H, I + 1) γ [x; 1] of each unit.
        by_nu, by_phase: (2, H) ∂z'/∂ν and ∂z'/∂φ, real and imaginary.
    """

    def __init__(self, theta: Tensor, previous: Tensor, x: Tensor, activations: Tensor) -> None:
        self.theta, self.previous, self.x = theta, previous, x
        _, re, im = previous.view(3, -1)
        self.by_re, self.by_im, gamma, fade, drive_re, drive_im = activations.view(6, -1)
        kept_re, kept_im = self.by_re * re - self.by_im * im, self.by_re * im + self.by_im * re
        self.tanh_slope = 1.0 - (kept_re + gamma * drive_re).tanh().square()
        self.by_input = torch.outer(torch.cat((x, x.new_ones(1))), gamma)
        by_gamma = (self.by_re.square() + self.by_im.square()) / gamma
        self.by_nu = fade * torch.stack((by_gamma * drive_re - kept_re, by_gamma * drive_im - kept_im))
        self.by_phase = torch.stack((-kept_im, kept_re))

    def jvp(self, v: Tensor) -> Tensor:
        """J v for each row of v (k, S)."""
        _, re, im = v.view(len(v), 3, -1).unbind(1)
        new_re, new_im = self.by_re * re - self.by_im * im, self.by_re * im + self.by_im * re
        return torch.cat((self.tanh_slope * new_re, new_re, new_im), dim=1)

    def vjp(self, w: Tensor) -> Tensor:
        """Jᵀ w for each row of w (k, S): a sum over each unit's own block, so that J - D is zero to the last bit."""
        parts = w.view(len(w), 3, 1, -1) * self.own_unit()
        return parts.sum(1).view(len(w), -1)

    def theta_vjp(self, w: Tensor) -> Tensor:
        """wᵀ∂F/∂θ (k, P) for each row of w (k, S)."""
        re, im = self._on_z(w)
        rows = (
            re[:, None] * self.by_input,
            im[:, None] * self.by_input,
            (re * self.by_nu[0] + im * self.by_nu[1])[:, None],
            (re * self.by_phase[0] + im * self.by_phase[1])[:, None],
        )
        return torch.cat(rows, dim=1).view(len(w), -1)

    def jacobian(self) -> Tensor:
        """J = ∂F/∂s, dense (S, S)."""
        return self.jvp(torch.eye(len(self.previous), dtype=self.theta.dtype)).T

    def dF_dtheta(self) -> Tensor:  # noqa: N802 - the mathematics' own name
        """∂F/∂θ, dense (S, P)."""
        return self.theta_vjp(torch.eye(len(self.previous), dtype=self.theta.dtype))

    def own_unit(self) -> Tensor:
        """(3, 3, H): all of J, since no unit hears another."""
        zero = torch.zeros_like(self.by_re)
        rows = (
            (zero, self.tanh_slope * self.by_re, -self.tanh_slope * self.by_im),
            (zero, self.by_re, -self.by_im),
            (zero, self.by_im, self.by_re),
        )
        return torch.stack([torch.stack(row) for row in rows])

    def add_own_unit(self, out: Tensor) -> Tensor:
        """Add each parameter's immediate effect on its own unit to out (3, P), in place; returns it."""
        zero = torch.zeros_like(self.by_input)
        re = torch.cat((self.by_input, zero, self.by_nu[:1], self.by_phase[:1]))
        im = torch.cat((zero, self.by_input, self.by_nu[1:], self.by_phase[1:]))
        return out.add_(torch.stack(((self.tanh_slope * re).view(-1), re.view(-1), im.view(-1))))

    def _on_z(self, w: Tensor) -> tuple[Tensor, Tensor]:
        by_h, re, im = w.view(len(w), 3, -1).unbind(1)
        return re + self.tanh_slope * by_h, im
