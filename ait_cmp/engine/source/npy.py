"""`.npy` files and NumPy arrays as sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tokenize import TokenError

import numpy as np

from ait_cmp.dtypes import DTYPES
from ait_cmp.engine.source.view import Array, Source, open_regular
from ait_cmp.errors import PairError, Reason

__all__ = ["from_array", "open_npy"]


def open_npy(path: Path, name: str | None) -> Source:
    """The array in `path`, mapped."""
    if name is not None:
        raise PairError(
            Reason.NOT_A_TENSOR, f"{path} holds one array without a name; leave ::{name} out"
        )
    with open(open_regular(path), "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            raise PairError(
                Reason.NOT_A_TENSOR, f"{path} holds an archive of arrays, not one array"
            )
    try:
        # Not np.load, which would also unpack archives and leaves broken ones open.
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, SyntaxError, TokenError) as exc:
        raise PairError(
            Reason.NPY_MALFORMED, f"{path} is no whole .npy file of plain numbers; save it again"
        ) from exc
    source = from_array(np.asarray(array), str(path))
    return replace(source, files=(str(path),), offset=array.offset)


def from_array(array: Array, what: str) -> Source:
    """`array` as a source; PairError DTYPE_UNSUPPORTED, naming `what`, for other types.

    The types of ml_dtypes (bfloat16, float8_…) are known by their names.
    """
    dtype = DTYPES.get(array.dtype.name)
    if dtype is None:
        raise PairError(
            Reason.DTYPE_UNSUPPORTED, f"{what} holds NumPy {array.dtype}, which cannot be compared"
        )
    stands_in = array.dtype.kind in "Vb" or array.dtype.name != np.dtype(dtype.storage).name
    return Source(dtype, array.view(dtype.storage) if stands_in else array)
