"""`.npy` files, read without NumPy's own reader, which would unpickle objects."""

from __future__ import annotations

import ast
import functools
import math
from typing import Any

import numpy as np

from ait_cmp.files import OpenFile
from ait_cmp.source.header import Header, dense_strides, is_possible
from ait_cmp.source.memory import numpy_dtype
from ait_cmp.values.dtypes import COMPLEX
from ait_cmp.values.errors import PairError, Reason

__all__ = ["read_npy"]

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}  # by version
_HEADER_LIMIT = 10_000  # bytes, as NumPy has it: longer text could exhaust the parser
_DESCR_LIMIT = 16  # characters of a plain type's name


def read_npy(file: OpenFile, name: None) -> Header:
    """The array in `file`.

    Raises PairError: NPY_MALFORMED for a file that does not hold together, NOT_A_TENSOR for an
    archive of arrays, DTYPE_UNSUPPORTED.
    """
    del name
    head = file.read(0, min(12, file.size))
    if head.startswith(b"PK\x03\x04"):
        raise PairError(
            Reason.NOT_A_TENSOR, f"{file.path} holds an archive of arrays, not one array"
        )
    try:
        return _array(file, head)
    except ValueError as exc:
        raise PairError(
            Reason.NPY_MALFORMED, f"{file.path} is no whole .npy file: {exc}; save it again"
        ) from exc


def _array(file: OpenFile, head: bytes) -> Header:
    width = _LENGTH_BYTES.get(head[6:8])
    if not head.startswith(_MAGIC) or width is None:
        raise ValueError("it does not start as one")
    start = 8 + width
    length = int.from_bytes(head[8:start], "little")
    if length > min(_HEADER_LIMIT, file.size - start):
        raise ValueError(f"its header is longer than the file, or than {_HEADER_LIMIT} bytes")
    stored, fortran, shape = _parsed(file.read(start, length))
    parts = COMPLEX.get(stored.name)
    dtype = parts or numpy_dtype(stored.name, file.path)
    offset = start + length
    if offset + math.prod(shape) * stored.itemsize != file.size:
        raise ValueError(f"shape {list(shape)} of {stored} is not the size of its data")
    strides = _first_fastest(shape, stored.itemsize) if fortran and len(shape) > 1 else None
    if parts:  # side by side
        shape, strides = (*shape, 2), (*strides, dtype.itemsize) if strides else None
    if not is_possible(shape, dtype.itemsize):
        raise ValueError("it says a shape that no array has")
    return Header(dtype, shape, offset, strides, big_endian=stored.byteorder == ">")


def _first_fastest(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides in bytes where the first index runs fastest."""
    return tuple(step * itemsize for step in dense_strides(shape[::-1])[::-1])


@functools.lru_cache(maxsize=256)  # arrays of one shape and type have one header
def _parsed(text: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
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
    raise ValueError("its header describes no array of plain numbers")
