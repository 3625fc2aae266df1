"""The learning's tests run torch on one thread, as the composition root does."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """One thread, so that a sum is added up in one order."""
    torch.set_num_threads(1)
