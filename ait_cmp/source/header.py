"""What a file says of one tensor in it: the answer of every format."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ait_cmp.values.dtypes import DType

__all__ = [
    "DIMS_LIMIT",
    "Elsewhere",
    "Header",
    "Kept",
    "UnsupportedError",
    "dense_strides",
    "is_possible",
    "reach",
]

DIMS_LIMIT = 64  # as many as an array can have
_BYTES_LIMIT = 1 << 63


class UnsupportedError(Exception):
    """The file is whole, but has what is not read; the message says what, and the way out."""


@dataclass(frozen=True, slots=True)
class Header:
    """Where the elements of a tensor lie in its file, and of which type they are.

    `offset` and `strides` are in bytes; without strides the elements lie in row-major order, one
    behind the other. `negated` tells that the values are stored with the other sign, `conjugated`
    that the second of each two is (both: only the first), `layout` is the memory format.
    """

    dtype: DType
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None
    big_endian: bool = False
    negated: bool = False
    conjugated: bool = False
    layout: str = "ND"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The file holds no data, but says which other file does, and what should be there."""

    path: str
    dtype: DType | None
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """The file holds what was kept of a tensor: a fingerprint of so many bytes."""

    offset: int
    size: int


def is_possible(shape: Sequence[int], itemsize: int) -> bool:
    """Whether an array can have this shape; an empty one, too, has bounds in all dimensions."""
    sizes = filter(None, shape) if 0 in shape else shape
    return len(shape) <= DIMS_LIMIT and math.prod(sizes) * itemsize < _BYTES_LIMIT


@functools.lru_cache(maxsize=256)  # few shapes come again and again
def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of a row-major tensor without gaps."""
    steps = [1]
    for size in shape[:0:-1]:
        steps.append(steps[-1] * size)
    return tuple(reversed(steps)) if shape else ()


def reach(shape: Sequence[int], strides: Sequence[int], itemsize: int = 1) -> int:
    """From the first element to the end of the last, in the unit of `strides`, none negative."""
    if 0 in shape:
        return 0
    return sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) + itemsize
