"""`.npy` files and NumPy arrays as sources."""

from __future__ import annotations

import ast
import math
from typing import Any

import numpy as np

from ait_cmp.files import open_file
from ait_cmp.source.view import Array, Source, map_bytes
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError, Reason

__all__ = ["from_array", "open_npy"]

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}  # by version
_HEADER_LIMIT = 10_000  # bytes, as NumPy has it: longer text could exhaust the parser
_DESCR_LIMIT = 16  # characters of a plain type's name


def open_npy(path: str, name: str | None) -> Source:
    """The array in `path`, mapped."""
    if name is not None:
        raise PairError(
            Reason.NOT_A_TENSOR, f"{path} holds one array without a name; leave ::{name} out"
        )
    file = open_file(path)
    head = file.read(0, min(12, file.size))
    if head.startswith(b"PK\x03\x04"):
        raise PairError(Reason.NOT_A_TENSOR, f"{path} holds an archive of arrays, not one array")
    width = _LENGTH_BYTES.get(head[6:8])
    if not head.startswith(_MAGIC) or width is None:
        raise _malformed(path, "it does not start as one")
    start = 8 + width
    length = int.from_bytes(head[8:start], "little")
    if length > min(_HEADER_LIMIT, file.size - start):
        raise _malformed(path, f"its header is longer than the file, or than {_HEADER_LIMIT} bytes")
    dtype, fortran, shape = _header(path, file.read(start, length))
    from_array(np.empty(0, dtype), path)  # of a type that is none of ours, say just that
    offset = start + length
    if offset + math.prod(shape) * dtype.itemsize != file.size:
        raise _malformed(path, f"shape {list(shape)} of {dtype} is not the size of its data")
    try:
        array = map_bytes(file)[offset:].view(dtype).reshape(shape, order="F" if fortran else "C")
    except ValueError as exc:  # more dimensions, or larger ones, than an array can have
        raise _malformed(path, f"it says a shape that no array has ({exc})") from exc
    found = from_array(array, path)
    return Source(found.dtype, found.array, states=(file.state,), file=file, offset=offset)


def _header(path: str, text: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """The type, whether the first index runs fastest, and the shape."""
    try:
        match ast.literal_eval(text.decode().strip()):
            case {"descr": str(descr), "fortran_order": bool(fortran), "shape": tuple(shape)} if (
                len(descr) <= _DESCR_LIMIT and all(type(n) is int and n >= 0 for n in shape)
            ):
                dtype = np.dtype(descr)
                # Objects would be pickles; the others have no fixed size.
                if not dtype.hasobject and dtype.itemsize:
                    return dtype, fortran, shape
    # The last two are how Python's parser refuses what is nested too deeply.
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        pass
    raise _malformed(path, "its header describes no array of plain numbers")


def _malformed(path: str, why: str) -> PairError:
    return PairError(Reason.NPY_MALFORMED, f"{path} is no whole .npy file: {why}; save it again")


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
