"""Tensors in memory as sources."""

from __future__ import annotations

import numpy as np

from ait_cmp.source.view import Array, ArraySource
from ait_cmp.values.dtypes import COMPLEX, DTYPES, DType
from ait_cmp.values.errors import PairError, Reason

__all__ = ["from_array", "from_memory", "numpy_dtype"]


def from_memory(dtype: DType, bits: Array) -> ArraySource:
    """A tensor of `dtype` whose stored bits are `bits`, of any strides."""
    return ArraySource(dtype, bits.shape, bits)


def from_array(array: Array, what: str) -> ArraySource:
    """`array` as a source; PairError DTYPE_UNSUPPORTED, naming `what`, for other types.

    The types of ml_dtypes (bfloat16, float8_…) are known by their names; complex numbers become
    their real and imaginary part, in one more dimension.
    """
    if array.dtype.name in COMPLEX:
        array = array[..., None].view(array.real.dtype)
    dtype = numpy_dtype(array.dtype.name, what)
    stands_in = array.dtype.kind in "Vb" or array.dtype.name != np.dtype(dtype.storage).name
    return from_memory(dtype, array.view(dtype.storage) if stands_in else array)


def numpy_dtype(name: str, what: str) -> DType:
    """Our type of what NumPy calls `name`; PairError DTYPE_UNSUPPORTED, naming `what`, if none."""
    if name not in DTYPES:
        raise PairError(
            Reason.DTYPE_UNSUPPORTED, f"{what} holds NumPy {name}, which cannot be compared"
        )
    return DTYPES[name]
