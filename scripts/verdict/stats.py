"""The statistics that the rule reads, computed plainly, in memory.

Every field is a sum, a count, a bitwise OR or the largest of something, so that the stats of
ranges of a pair can be merged.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ait_cmp.dtypes import DTYPES, DType

__all__ = [
    "BINS",
    "Mask",
    "RowStats",
    "Table",
    "Values",
    "dtype_of",
    "pair_stats",
    "plain_elements",
    "saturation",
]

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

BINS = 4096  # slices that a table tells apart
TOP = 8  # elements that are kept, those of the largest error
SATURATED = 0.99  # of the largest finite value: -65504 and -3.4e38 both mean "masked"
SMALLEST = 127 - 14  # exponent field of 2^-14: below it, float16 itself has fewer bits


@dataclass(frozen=True, eq=False)
class Table:
    """Sums over slices of the pair, one entry a bin; neighbouring slices share a bin."""

    d2: Values  # Σd²
    g2: Values  # Σg²
    d1: Values  # Σd
    gd: Values  # Σgd
    n: Values  # plain elements


@dataclass(frozen=True, eq=False)
class RowStats:
    """Stats of one pair: g golden, m my, d = m - g, summed over the `n` plain elements."""

    golden: DType
    my: DType
    shape: tuple[int, ...]
    n: int  # plain elements: finite on both sides, not saturated alike
    nonfinite: int  # elements that are non-finite, but neither NaN nor saturated alike
    mismatch: int  # elements with m != g, of all; NaN equals NaN
    g2: float  # Σg²
    d2: float  # Σd²
    my_bits: int  # significand bits in use by my, of the elements of at least 2^-14
    golden_bits: int  # the same of golden
    gridded: int  # elements that my_bits looked at
    top_d: Values = field(repr=False)  # d of the TOP largest |d|, descending
    top_g: Values = field(repr=False)  # g of these
    top_at: NDArray[np.intp] = field(repr=False)  # their index in the flat tensor
    channels: Table = field(repr=False)  # a slice is one index of the last axis
    lines: Table = field(repr=False)  # a slice is one run of the last axis

    @property
    def is_floating(self) -> bool:
        """Whether both sides are rounded; otherwise only `mismatch` counts."""
        return self.golden.is_floating and self.my.is_floating


def dtype_of(tensor: Tensor) -> DType:
    """The tensor's row in the table of types."""
    return DTYPES[str(tensor.dtype).removeprefix("torch.")]


def pair_stats(*, golden: Tensor, my: Tensor) -> RowStats:
    """The stats of one pair of equal shapes."""
    size = max(golden.shape[-1], 1) if golden.ndim else 1
    g, m = (t.detach().double().numpy().reshape(-1, size) for t in (golden, my))
    plain, alike = plain_elements(g, m, saturation(golden, my))
    nonfinite = int((~plain & ~alike).sum())
    g, m = np.where(plain, g, 0.0), np.where(plain, m, 0.0)
    d = m - g
    my_bits, gridded = _significand_bits(my)
    at = np.argsort(-np.abs(d), axis=None, kind="stable")[:TOP]
    return RowStats(
        golden=dtype_of(golden),
        my=dtype_of(my),
        shape=tuple(golden.shape),
        n=int(plain.sum()),
        nonfinite=nonfinite,
        mismatch=int((d != 0).sum()) + nonfinite,
        g2=float((g * g).sum()),
        d2=float((d * d).sum()),
        my_bits=my_bits,
        golden_bits=_significand_bits(golden)[0],
        gridded=gridded,
        top_d=d.ravel()[at],
        top_g=g.ravel()[at],
        top_at=at,
        channels=_table(d, g, plain, axis=0),
        lines=_table(d, g, plain, axis=1),
    )


def plain_elements(g: Values, m: Values, saturation: float) -> tuple[Mask, Mask]:
    """Which elements have an error to speak of, and which are both NaN or saturated alike."""
    with np.errstate(invalid="ignore"):
        large = (np.abs(g) >= saturation) & (np.abs(m) >= saturation)
        alike = (large & (np.sign(g) == np.sign(m))) | (np.isnan(g) & np.isnan(m))
    return np.isfinite(g) & np.isfinite(m) & ~alike, alike


def saturation(*tensors: Tensor) -> float:
    """From where on a value stands for infinity: the end of the coarser type's range."""
    floating = [t.dtype for t in tensors if t.is_floating_point()]
    return SATURATED * min((torch.finfo(dtype).max for dtype in floating), default=np.inf)


def _table(d: Values, g: Values, plain: Mask, axis: int) -> Table:
    """Sums over `axis` of (lines, channels)."""
    size = d.shape[1 - axis]
    bins = min(size, BINS)
    owner = (np.arange(size) * bins) // max(size, 1)

    def fold(values: Values | Mask) -> Values:
        sums = values.sum(axis=axis, dtype=np.float64)
        folded: Values = np.bincount(owner, weights=sums, minlength=bins).astype(np.float64)
        return folded

    return Table(fold(d * d), fold(g * g), fold(d), fold(g * d), fold(plain))


def _significand_bits(x: Tensor) -> tuple[int, int]:
    """Bits of the float32 significand in use, 1 (powers of two) to 24; the elements looked at."""
    if not x.is_floating_point():
        return 0, 0
    raw = x.detach().float().contiguous().view(torch.int32).numpy().ravel()
    exponent = (raw >> 23) & 0xFF
    raw = raw[(exponent >= SMALLEST) & (exponent != 0xFF)]
    used = int(np.bitwise_or.reduce(raw & 0x7FFFFF, initial=0))
    trailing_zeros = (used & -used).bit_length() - 1 if used else 23
    return (24 - trailing_zeros if raw.size else 0), raw.size
