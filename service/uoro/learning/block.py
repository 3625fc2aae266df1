"""The state of a stream is one contiguous block of bytes with named views into it.

A snapshot is a copy of the bytes, eviction is letting go of them, and a fused kernel can work on the same
block in place. A `Layout` says where each named part lies; a `Block` is one stream's bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from uoro.errors import CorruptRecord

ALIGNMENT_BYTES = 64
"""Every block and every part starts at such a multiple: vector code then rounds the same way each time."""


class Part(NamedTuple):
    """A named array inside a block."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "f8"


class Layout:
    """Where each part of a block lies.

    Attributes:
        offsets: (part, first byte) in order.
        nbytes: length of a block.
    """

    __slots__ = ("nbytes", "offsets")

    def __init__(self, parts: Iterable[Part]) -> None:
        offset = 0
        self.offsets: list[tuple[Part, int]] = []
        for part in parts:
            self.offsets.append((part, offset))
            size = math.prod(part.shape) * np.dtype(part.dtype).itemsize
            offset += -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        self.nbytes = offset


class Block:
    """One stream's state: `nbytes` bytes from `address` on, and a view of each part by its name."""

    __slots__ = ("address", "bytes", "views")

    def __init__(self, layout: Layout) -> None:
        raw = np.zeros(layout.nbytes + ALIGNMENT_BYTES, dtype=np.uint8)
        start = -raw.ctypes.data % ALIGNMENT_BYTES
        self.address = raw.ctypes.data + start
        self.bytes = raw[start : start + layout.nbytes]
        self.views: dict[str, np.ndarray] = {
            part.name: np.ndarray(part.shape, part.dtype, buffer=self.bytes, offset=offset)
            for part, offset in layout.offsets
        }

    def __getitem__(self, name: str) -> np.ndarray:
        return self.views[name]

    def dump(self) -> bytes:
        """A copy of the whole state."""
        return self.bytes.tobytes()

    def restore(self, state: bytes | memoryview) -> None:
        """Overwrite the whole state. Raises CorruptRecord if the length is another."""
        if len(state) != self.bytes.size:
            raise CorruptRecord(f"a state of {len(state)} bytes does not fit a block of {self.bytes.size}")
        self.bytes[:] = np.frombuffer(state, dtype=np.uint8)
