"""The element types as the compiled code knows them: small integers."""

from __future__ import annotations

__all__ = ["EXACT_DIFFERENCES", "KINDS"]

(FLOAT64, FLOAT32, FLOAT16, BFLOAT16, E4M3, E5M2, E8M0, BOOL) = range(8)
(INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, UINT64) = range(8, 16)
(E4M3_UZ, E5M2_UZ) = range(16, 18)  # without infinities and a negative zero

KINDS: dict[str, int] = {
    "float64": FLOAT64,
    "float32": FLOAT32,
    "float16": FLOAT16,
    "bfloat16": BFLOAT16,
    "float8_e4m3fn": E4M3,
    "float8_e5m2": E5M2,
    "float8_e4m3fnuz": E4M3_UZ,
    "float8_e5m2fnuz": E5M2_UZ,
    "float8_e8m0fnu": E8M0,
    "bool": BOOL,
    "int8": INT8,
    "uint8": UINT8,
    "int16": INT16,
    "uint16": UINT16,
    "int32": INT32,
    "uint32": UINT32,
    "int64": INT64,
    "uint64": UINT64,
}

# Differences among these are exact in float32, so that a tie needs no second look.
EXACT_DIFFERENCES = frozenset((BOOL, INT8, UINT8, INT16, UINT16))
