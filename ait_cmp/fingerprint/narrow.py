"""Whole numbers in as few bits as their range needs."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from ait_cmp.values.dtypes import DType

__all__ = ["narrowed", "narrowed_size", "widened"]

_LEAST = struct.Struct(
    "<QB"
)  # the least number, modulo 2**64, and the bits of what others are above


def narrowed_size(count: int, span: int) -> int:
    """The bytes of so many numbers, the largest of which is `span` above the least."""
    return _LEAST.size + -(-count * span.bit_length() // 8)


def narrowed(elements: bytes, dtype: DType) -> bytes:
    """Stored bits of a type that is not rounded: the least number, and how far each is above it."""
    numbers = np.frombuffer(elements, dtype.storage)
    least = int(numbers.min())
    above = numbers.astype(np.uint64) - np.uint64(least % (1 << 64))  # modulo 2**64 as well
    bits = int(above.max()).bit_length()
    each = above[:, None] >> _shifts(bits) & np.uint64(1)
    return _LEAST.pack(least % (1 << 64), bits) + np.packbits(each.astype(np.uint8)).tobytes()


def widened(packed: bytes, dtype: DType, count: int) -> bytes:
    """The stored bits of so many numbers. Raises ValueError if damaged."""
    least, bits = _LEAST.unpack_from(packed)
    if bits > 64 or len(packed) != _LEAST.size + -(-count * bits // 8):
        raise ValueError(f"the fingerprint has {len(packed)} bytes for {count} elements")
    each = np.unpackbits(np.frombuffer(packed, np.uint8, offset=_LEAST.size), count=count * bits)
    above = (each.reshape(count, bits).astype(np.uint64) << _shifts(bits)).sum(1, dtype=np.uint64)
    stored: bytes = (above + np.uint64(least)).astype(dtype.storage).tobytes()
    return stored


def _shifts(bits: int) -> npt.NDArray[np.uint64]:
    return np.arange(bits, dtype=np.uint64)
