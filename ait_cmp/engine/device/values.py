"""Elements as float64, on their own device."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ait_cmp.source import Array
from ait_cmp.values.dtypes import DType

__all__ = ["Pairs", "as_tensor", "pairs_of", "power_of_two"]

_CARRIERS = {1: "|u1", 2: "<i2", 4: "<i4", 8: "<i8"}
_HALF = 1 << 32
_BIAS, _SIGNIFICAND = 1023, 52  # of float64


class Pairs(NamedTuple):
    """A run of elements of both sides, and their difference, rounded once."""

    golden: torch.Tensor
    my: torch.Tensor
    difference: torch.Tensor


def as_tensor(bits: Array, dtype: DType) -> torch.Tensor:
    """Stored bits in memory as a tensor of their type."""
    carried = torch.from_numpy(bits.astype(dtype.storage).view(_CARRIERS[dtype.itemsize]))
    if dtype.name == "bool":  # any byte but 0 is true
        return carried.ne(0)
    found: torch.Tensor = carried.view(getattr(torch, dtype.name))
    return found


def pairs_of(golden: torch.Tensor, my: torch.Tensor) -> Pairs:
    """The elements of two flat tensors of equal size on one device."""
    (g, g_low), (m, m_low) = _halves(golden), _halves(my)
    if g_low is None and m_low is None:
        return Pairs(g, m, m - g)
    low = (0.0 if m_low is None else m_low) - (0.0 if g_low is None else g_low)
    difference = (m - g) + low
    return Pairs(g if g_low is None else g + g_low, m if m_low is None else m + m_low, difference)


def _halves(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The values; those of 64-bit integers, which float64 does not hold, as an upper and a lower
    half."""
    if values.dtype in (torch.int64, torch.uint64):
        whole = values.view(torch.int64)
        high = whole >> 32
        if values.dtype is torch.uint64:
            high &= _HALF - 1
        return high.double() * _HALF, (whole & (_HALF - 1)).double()
    if values.is_floating_point() and values.itemsize == 1:
        values = values.float()
    return values.double(), None


def power_of_two(exponent: torch.Tensor) -> torch.Tensor:
    """2 to a whole exponent between -1022 and 1023, exactly."""
    return ((exponent + _BIAS) << _SIGNIFICAND).view(torch.float64)
