"""The element types that can be compared, in one table.

`digits` is the precision p of a floating type (significand bits, the hidden one
included), so that its unit roundoff is 2**-p; 0 marks an exact type. `rtol` and `atol`
are the defaults of `torch.testing.assert_close`; it has none for the 8-bit floats, whose
rtol is therefore one unit in the last place (2**(1 - p)), as it is for float16. `largest`
is the largest finite value of a floating type.

What `dump_data` and the hooks save, the compare reads: both go by `DTYPES` and `COMPLEX`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMPLEX", "DTYPES", "DType", "coarser", "tolerances"]


@dataclass(frozen=True, slots=True)
class DType:
    """One element type: its torch name, its bits in NumPy, its precision."""

    name: str
    storage: str
    digits: int = 0
    rtol: float = 0.0
    atol: float = 0.0
    largest: float = 0.0

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return int(self.storage[-1])

    @property
    def is_floating(self) -> bool:
        """Whether values of this type are rounded."""
        return self.digits > 0

    @property
    def is_wide(self) -> bool:
        """Whether float32 cannot hold every value of this type."""
        return self.name == "float64" or (not self.is_floating and self.itemsize > 2)

    @property
    def roundoff(self) -> float:
        """The unit roundoff; 0.0 for an exact type."""
        return 2.0**-self.digits if self.is_floating else 0.0

    def __str__(self) -> str:
        return f"torch.{self.name}"


DTYPES: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (
        DType("float64", "<f8", 53, 1e-7, 1e-7, (2 - 2.0**-52) * 2.0**1023),
        DType("float32", "<f4", 24, 1.3e-6, 1e-5, (2 - 2.0**-23) * 2.0**127),
        DType("float16", "<f2", 11, 1e-3, 1e-5, 65504.0),
        DType("bfloat16", "<u2", 8, 1.6e-2, 1e-5, (2 - 2.0**-7) * 2.0**127),
        DType("float8_e4m3fn", "|u1", 4, 2.0**-3, 1e-5, 448.0),
        DType("float8_e5m2", "|u1", 3, 2.0**-2, 1e-5, 57344.0),
        DType("float8_e4m3fnuz", "|u1", 4, 2.0**-3, 1e-5, 240.0),
        DType("float8_e5m2fnuz", "|u1", 3, 2.0**-2, 1e-5, 57344.0),
        DType("float8_e8m0fnu", "|u1", 1, 1.0, 1e-5, 2.0**127),
        DType("bool", "|u1"),
        DType("int8", "|i1"),
        DType("uint8", "|u1"),
        DType("int16", "<i2"),
        DType("uint16", "<u2"),
        DType("int32", "<i4"),
        DType("uint32", "<u4"),
        DType("int64", "<i8"),
        DType("uint64", "<u8"),
    )
}

# A complex type -> that of its real and its imaginary part, which are compared side by side: a
# tensor of it has one dimension more, of 2.
COMPLEX: dict[str, DType] = {
    "complex32": DTYPES["float16"],
    "complex64": DTYPES["float32"],
    "complex128": DTYPES["float64"],
}


def coarser(golden: DType, my: DType) -> DType:
    """The type of the pair that rounds most; a floating type beats an exact one."""
    return max(golden, my, key=lambda dtype: dtype.roundoff)


def tolerances(golden: DType, my: DType) -> tuple[float, float]:
    """(rtol, atol) of the pair: the larger of both types, as `assert_close` takes them."""
    return max(golden.rtol, my.rtol), max(golden.atol, my.atol)
