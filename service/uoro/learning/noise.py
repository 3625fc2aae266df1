"""Random numbers that are a function of (seed, step): no generator, no state, the same bits on every machine.

Word i of (seed, step) is SplitMix64's output function (Steele, Lea & Flood 2014) of a counter:

    mix(z):  z ^= z >> 30;  z *= 0xbf58476d1ce4e5b9;  z ^= z >> 27;  z *= 0x94d049bb133111eb;  z ^= z >> 31
    key  =   mix(mix(seed + G) + step·G)                      G = 0x9e3779b97f4a7c15, all modulo 2⁶⁴
    word =   mix(key + (i + 1)·G)

so that a replayed step draws what the live one drew, in whatever order steps are asked for.
"""

from __future__ import annotations

import numpy as np

INIT_STEP = 2**63
"""The step under which θ is drawn: no step of the noise ν ever has it."""
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = 2**64 - 1
_MANTISSA_BITS = 24


def words(seed: int, step: int, num: int) -> np.ndarray:
    """(num,) independent fair 64-bit words of a step, as uint64."""
    key = _mix((_mix((seed + _GOLDEN) & _MASK) + step * _GOLDEN) & _MASK)
    # Arrays of uint64 wrap around silently, which is the arithmetic modulo 2⁶⁴ meant here.
    z = np.arange(1, num + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(key)
    z ^= z >> np.uint64(30)
    z *= np.uint64(_FIRST)
    z ^= z >> np.uint64(27)
    z *= np.uint64(_SECOND)
    z ^= z >> np.uint64(31)
    return z


def signs(seed: int, step: int, shape: tuple[int, ...]) -> np.ndarray:
    """Independent fair signs -1 or +1 as float32, one bit each, lowest bit of the first word first."""
    num = int(np.prod(shape))
    little_endian = words(seed, step, -(-num // 64)).astype("<u8", copy=False)
    bits = np.unpackbits(little_endian.view(np.uint8), count=num, bitorder="little")
    out: np.ndarray = bits.astype(np.float32) * 2.0 - 1.0
    return out.reshape(shape)


def uniform(seed: int, step: int, num: int) -> np.ndarray:
    """(num,) numbers uniform in [-1, 1) as float32: multiples of 2⁻²³, exact on every machine."""
    top = (words(seed, step, num) >> np.uint64(64 - _MANTISSA_BITS)).astype(np.float64)
    out: np.ndarray = (top / 2 ** (_MANTISSA_BITS - 1) - 1.0).astype(np.float32)
    return out


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)
