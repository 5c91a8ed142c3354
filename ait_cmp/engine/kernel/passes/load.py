"""Stored bits of a block to float32, or to float64 where that is not enough; always exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi import kinds
from ait_cmp.engine.kernel.abi.arguments import Stored
from ait_cmp.engine.kernel.abi.flags import EXACT, INLINE, Bytes, Doubles, Singles

__all__ = ["convert", "load32", "load64"]

_INFINITY = np.uint32(0x7F800000)
_NAN = np.uint32(0x7FC00000)
_BIAS_112 = np.float32(2.0**112)  # float32's exponent bias less that of 5-bit exponents
_BIAS_120 = np.float32(2.0**120)  # and less that of 4-bit exponents
_BIAS_111 = np.float32(2.0**111)  # the same where there is no infinity: one more
_BIAS_119 = np.float32(2.0**119)


@njit(**INLINE)
def load32(data: Bytes, stored: Stored, start: int, stop: int, row: Singles) -> Singles:
    """Elements [start, stop) of a narrow type; float32 is not copied."""
    part = data[start * stored.itemsize : stop * stored.itemsize]
    if stored.kind == kinds.FLOAT32:
        return part.view(np.float32)
    _widen32(part, stored.kind, row[: stop - start])
    return row[: stop - start]


@njit(**INLINE)
def load64(
    data: Bytes,
    stored: Stored,
    start: int,
    stop: int,
    row: Doubles,
    low: Doubles,
    singles: Singles,
) -> Doubles:
    """Elements [start, stop) of any type; float64 is not copied.

    64-bit integers do not fit: row gets their upper halves and low, else left alone, the others.
    """
    part = data[start * stored.itemsize : stop * stored.itemsize]
    if stored.kind == kinds.FLOAT64:
        return part.view(np.float64)
    _widen64(part, stored.kind, row[: stop - start], low[: stop - start], singles[: stop - start])
    return row[: stop - start]


@njit(**EXACT)
def _widen32(part: Any, kind: int, row: Singles) -> None:
    if kind == kinds.FLOAT16:
        _float16(part.view(np.uint16), row)
    elif kind == kinds.BFLOAT16:
        _bfloat16(part.view(np.uint16), row)
    elif kind == kinds.E5M2:
        _e5m2(part, row)
    elif kind == kinds.E4M3:
        _e4m3(part, row)
    elif kind == kinds.E4M3_UZ:
        _fnuz(part, row, np.uint32(20), _BIAS_119)
    elif kind == kinds.E5M2_UZ:
        _fnuz(part, row, np.uint32(21), _BIAS_111)
    elif kind == kinds.E8M0:
        _e8m0(part, row)
    elif kind == kinds.BOOL:
        _bool(part, row)
    elif kind == kinds.INT8:
        convert(part.view(np.int8), row)
    elif kind == kinds.UINT8:
        convert(part, row)
    elif kind == kinds.INT16:
        convert(part.view(np.int16), row)
    elif kind == kinds.UINT16:
        convert(part.view(np.uint16), row)
    else:
        convert(part.view(np.float32), row)


@njit(**EXACT)
def _widen64(part: Any, kind: int, row: Doubles, low: Doubles, singles: Singles) -> None:
    if kind == kinds.INT32:
        convert(part.view(np.int32), row)
    elif kind == kinds.UINT32:
        convert(part.view(np.uint32), row)
    elif kind == kinds.INT64:
        _halves(part.view(np.int64), row, low)
    elif kind == kinds.UINT64:
        _halves(part.view(np.uint64), row, low)
    else:
        _widen32(part, kind, singles)
        convert(singles, row)


@njit(**EXACT)
def convert(source: Any, target: Any) -> None:
    """Each element as target's type has it."""
    for i in range(target.shape[0]):
        target[i] = source[i]


@njit(**EXACT)
def _float32(bits: Any) -> Any:
    return np.uint32(bits).view(np.float32)


@njit(**EXACT)
def _from_half(half: Any) -> Any:
    """Shift into float32's fields and multiply the exponent into place, subnormals included."""
    magnitude = np.uint32((half & np.uint32(0x7FFF)) << np.uint32(13))
    scaled = np.float32(_float32(magnitude) * _BIAS_112)
    bits = np.uint32(scaled.view(np.uint32) | ((half & np.uint32(0x8000)) << np.uint32(16)))
    # The largest exponent means inf or nan: it needs float32's largest exponent instead.
    special = _INFINITY if magnitude >= np.uint32(0x0F800000) else np.uint32(0)
    return _float32(bits | special)


@njit(**EXACT)
def _float16(source: Any, target: Singles) -> None:
    for i in range(target.shape[0]):
        target[i] = _from_half(np.uint32(source[i]))


@njit(**EXACT)
def _bfloat16(source: Any, target: Singles) -> None:
    for i in range(target.shape[0]):
        target[i] = _float32(np.uint32(source[i]) << np.uint32(16))


@njit(**EXACT)
def _e5m2(source: Any, target: Singles) -> None:
    """The upper byte of a float16."""
    for i in range(target.shape[0]):
        target[i] = _from_half(np.uint32(np.uint32(source[i]) << np.uint32(8)))


@njit(**EXACT)
def _e4m3(source: Any, target: Singles) -> None:
    """Only the magnitude of all ones is nan, and there is no infinity."""
    for i in range(target.shape[0]):
        byte = np.uint32(source[i])
        magnitude = np.uint32(byte & np.uint32(0x7F))
        scaled = np.float32(_float32(np.uint32(magnitude << np.uint32(20))) * _BIAS_120)
        bits = np.uint32(scaled.view(np.uint32) | ((byte & np.uint32(0x80)) << np.uint32(24)))
        special = _NAN if magnitude == np.uint32(0x7F) else np.uint32(0)
        target[i] = _float32(bits | special)


@njit(**EXACT)
def _fnuz(source: Any, target: Singles, shift: Any, bias: Any) -> None:
    """What would be a negative zero is nan, and there is no infinity."""
    for i in range(target.shape[0]):
        byte = np.uint32(source[i])
        magnitude = np.uint32((byte & np.uint32(0x7F)) << shift)
        scaled = np.float32(_float32(magnitude) * bias)
        bits = np.uint32(scaled.view(np.uint32) | ((byte & np.uint32(0x80)) << np.uint32(24)))
        target[i] = _float32(_NAN if byte == np.uint32(0x80) else bits)


@njit(**EXACT)
def _e8m0(source: Any, target: Singles) -> None:
    """A bare exponent: byte 0 is the subnormal 2**-127 and byte 255 is nan."""
    for i in range(target.shape[0]):
        byte = np.uint32(source[i])
        bits = np.uint32(byte << np.uint32(23))
        bits = np.uint32(0x00400000) if byte == np.uint32(0) else bits
        target[i] = _float32(_NAN if byte == np.uint32(255) else bits)


@njit(**EXACT)
def _bool(source: Any, target: Singles) -> None:
    for i in range(target.shape[0]):
        target[i] = np.float32(1) if source[i] != 0 else np.float32(0)


@njit(**EXACT)
def _halves(source: Any, high: Doubles, low: Doubles) -> None:
    for i in range(high.shape[0]):
        high[i] = np.float64(source[i] >> np.uint8(32)) * 4294967296.0
        low[i] = np.float64(np.uint32(source[i] & np.uint32(0xFFFFFFFF)))
