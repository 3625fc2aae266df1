"""What tells one series from another: its labels."""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names with their values, by name, ascending."""

NAME = "__name__"


def fingerprint_of(labels: Labels) -> bytes:
    """128 bits of a label set. No byte of UTF-8 is 0xff, so that no two sets run together."""
    joined = b"\xff".join(part.encode() for pair in labels for part in pair)
    return blake2b(joined, digest_size=16).digest()
