"""Snappy's block format, whose length is known, and bounded, before anything is unpacked."""

from __future__ import annotations

import cramjam

from uoro.errors import BodyTooLarge, MalformedBody

MAX_LENGTH_BYTES = 5
"""The block begins with its unpacked length, 32 bits in groups of seven, lowest first."""


def unpack(block: bytes, max_bytes: int) -> bytes:
    """The content of a block. Raises BodyTooLarge if it would be over `max_bytes`, MalformedBody."""
    num_bytes = _length(block)
    if num_bytes > max_bytes:
        raise BodyTooLarge(f"the body may have {max_bytes} bytes when it is unpacked and says that it has {num_bytes}")
    content = bytearray(num_bytes)
    try:
        written = cramjam.snappy.decompress_raw_into(block, content)
    except cramjam.DecompressionError as error:
        raise MalformedBody("the body is not a block of snappy") from error
    if written != num_bytes:
        raise MalformedBody("the body is a block of snappy that does not keep what it promises")
    return bytes(content)


def _length(block: bytes) -> int:
    length = 0
    for place, byte in enumerate(block[:MAX_LENGTH_BYTES]):
        length |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return length
    raise MalformedBody("the body is not a block of snappy")
