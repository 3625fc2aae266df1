"""No learning in the recurrent part: its weights stay as they were drawn, only the readout learns.

The control that every claim about an estimator has to face (SCIENCE §7).
"""

from __future__ import annotations

import torch
from torch import Tensor

from uoro.learning.reference.estimators.protocol import Update
from uoro.learning.reference.linearization import Linearization


class Frozen:
    """Keeps nothing and returns nothing."""

    num_noise = 0

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def init(self, dtype: torch.dtype) -> dict[str, Tensor]:  # noqa: ARG002 - the protocol's signature
        return {}

    def update(
        self,
        state: dict[str, Tensor],  # noqa: ARG002 - same
        lin: Linearization,  # noqa: ARG002 - same
        dl_ds: Tensor | None,  # noqa: ARG002 - same
        nu: Tensor | None,  # noqa: ARG002 - same
    ) -> Update:
        return Update(None)

    def influence_norms(self, state: dict[str, Tensor]) -> dict[str, float]:  # noqa: ARG002 - same
        return {}
