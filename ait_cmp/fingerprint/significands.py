"""The bits of float32 significands that a tensor's elements use."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ait_cmp.fingerprint.value import SATURATED
from ait_cmp.values.dtypes import DType

__all__ = ["bits_in_any", "bits_in_use"]

Look = Callable[[torch.Tensor, float], tuple[int, int]]

_SIGNIFICAND = 23
_LEAST = 2.0**-14  # smaller magnitudes have fewer bits in some types
_SAMPLE = 4096  # elements which mostly use all bits that the type has
_AT_ONCE = 1 << 22


def bits_in_use(values: torch.Tensor, dtype: DType, look: Look | None = None) -> tuple[int, int]:
    """A bitwise or over elements of at least 2**-14 that are finite, and how many were looked at:
    a sample, where that uses all bits that `dtype` has. `look` tells both of some elements, below
    an end, as torch operations do."""
    look = look or _bits
    end = SATURATED * min(dtype.largest, 3.4e38)
    flat = values.view(-1)
    unused = max(_SIGNIFICAND + 1 - dtype.digits, 0)
    possible = (1 << _SIGNIFICAND) - (1 << unused)
    bits, looked_at = look(flat[:: max(flat.numel() // _SAMPLE, 1)][:_SAMPLE], end)
    if bits == possible:
        return bits, looked_at
    bits = looked_at = 0
    for start in range(0, flat.numel(), _AT_ONCE):
        some, count = look(flat[start : start + _AT_ONCE], end)
        bits, looked_at = bits | some, looked_at + count
        if bits == possible:
            break
    return bits, looked_at


def _bits(flat: torch.Tensor, end: float) -> tuple[int, int]:
    x = flat.to(torch.float32).contiguous()
    told = (x.abs() >= _LEAST) & (x.abs() < end)
    bits = torch.where(told, x.view(torch.int32) & ((1 << _SIGNIFICAND) - 1), 0)
    return int(bits_in_any(bits)), int(told.sum())


def bits_in_any(bits: torch.Tensor) -> torch.Tensor:
    """The bitwise or of a flat tensor, which torch has no reduction by."""
    while len(bits) > 1:
        half = len(bits) // 2
        folded = bits[:half] | bits[half : 2 * half]
        bits = torch.cat((folded, bits[2 * half :])) if len(bits) % 2 else folded
    return bits[0]
