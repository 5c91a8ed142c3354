"""Columns as bytes that take little room and that JavaScript reads without a parser.

Numbers are the bytes of their float64, all first bytes, then all second ones, …: neighbours are
alike, which is what compression lives on. Text is a list of the different values, and of each
line the number of its own. What this writes, `frontend/src/data.js` reads.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["PackedColumn", "pack_column"]

PackedColumn = tuple[dict[str, Any], bytes]  # what is said of a column, and its bytes

_HALF, _UPPER = np.uint64(1 << 31), np.uint64(0xFFFFFFFF00000000)
_NEAR_ONE = 0.99  # from here on every digit may tell whether it is one


def pack_column(name: str, column: pl.Series, *, exact: bool = True) -> PackedColumn:
    """A column of the report; empty cells are nan, or the number 0 of a text.

    Unless `exact`, numbers with fractions have six digits, but those that are near one.
    """
    if column.dtype == pl.String:
        return _packed_text(name, column)
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    bits = np.ascontiguousarray(values, np.float64).view(np.uint64)
    rounded, planes = _rounded(bits), 8
    may_round = not exact and not column.dtype.is_integer() and not _is_near_one(values)
    if may_round or np.array_equal(rounded, bits):
        bits, planes = rounded, 4
    said = {"name": name, "kind": "number", "planes": planes, "whole": column.dtype.is_integer()}
    return said, _in_planes(bits, 8)[-planes:].tobytes()


def _packed_text(name: str, column: pl.Series) -> PackedColumn:
    values = column.unique(maintain_order=True).drop_nulls()
    codes = column.replace_strict(
        values, range(1, len(values) + 1), default=0, return_dtype=pl.UInt32
    )
    planes = max(1, (len(values).bit_length() + 7) // 8)
    texts = json.dumps(values.to_list(), ensure_ascii=False).encode()
    said = {"name": name, "kind": "text", "planes": planes, "texts": len(texts)}
    return said, _in_planes(codes.to_numpy().copy(), 4)[:planes].tobytes() + texts


def _rounded(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Six digits: the upper half of a float64, which has its whole range."""
    return np.where(np.isfinite(bits.view(np.float64)), bits + _HALF, bits) & _UPPER


def _is_near_one(values: npt.NDArray[np.float64]) -> bool:
    """Whether these are shares or cosines, of which `almost` must not read as `all`."""
    size = np.abs(values[np.isfinite(values)])
    return bool(size.size and size.max() <= 1.0 and size.max() > _NEAR_ONE)


def _in_planes(values: npt.NDArray[Any], size: int) -> npt.NDArray[np.uint8]:
    """(size, values): the bytes of little-endian values, the lowest first."""
    return values.view(np.uint8).reshape(-1, size).T
