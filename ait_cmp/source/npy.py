"""`.npy` files, read without NumPy's own reader, which would unpickle objects."""

from __future__ import annotations

import ast
import functools
import math
from typing import NamedTuple

import numpy as np

from ait_cmp.files import OpenFile
from ait_cmp.source.header import Header, dense_strides, is_possible
from ait_cmp.source.memory import numpy_dtype
from ait_cmp.values.dtypes import COMPLEX, DTYPES, DType
from ait_cmp.values.errors import PairError, Reason

__all__ = ["MAGIC", "array_at", "read_npy"]

MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}  # by version
_HEADER_LIMIT = 10_000  # bytes, as NumPy has it: longer text could exhaust the parser
_DESCR_LIMIT = 16  # characters of a plain type's name
# What ml_dtypes, of JAX and TensorFlow, writes for two of its types.
_ML_DTYPES = {"<V2": "bfloat16", "<f1": "float8_e5m2"}
# What is written of a type that NumPy cannot say, and the way out.
_BYTES = (
    "bytes without a type, as JAX's 8-bit floats are written, which is not supported; save its "
    ".astype('float32'), which holds every value, or .safetensors, which says the type"
)
_OBJECTS = "Python objects, which are pickles and not supported; save arrays of numbers"
_RECORDS = "records, which are not supported; save their fields one by one"


def read_npy(file: OpenFile, name: None) -> Header:
    """The array in `file`.

    Raises PairError: NPY_MALFORMED for a file that does not hold together, NOT_A_TENSOR for an
    archive of arrays, DTYPE_UNSUPPORTED.
    """
    del name
    head = file.read(0, min(4, file.size))
    if head.startswith(b"PK\x03\x04"):
        raise PairError(
            Reason.NOT_A_TENSOR,
            f"{file.path} holds an archive of arrays, not one array; call it .npz",
        )
    try:
        return array_at(file, 0, file.size)
    except ValueError as exc:
        raise PairError(
            Reason.NPY_MALFORMED, f"{file.path} is no whole .npy file: {exc}; save it again"
        ) from exc


def array_at(file: OpenFile, begin: int, end: int) -> Header:
    """The array whose `.npy` file lies at [begin, end) of `file`.

    Raises ValueError where it does not hold together, PairError DTYPE_UNSUPPORTED.
    """
    head = file.read(begin, min(12, end - begin))
    width = _LENGTH_BYTES.get(head[6:8])
    if not head.startswith(MAGIC) or width is None:
        raise ValueError("it does not start as one")
    start = begin + 8 + width
    length = int.from_bytes(head[8 : 8 + width], "little")
    if length > min(_HEADER_LIMIT, end - start):
        raise ValueError(f"its header is longer than the file, or than {_HEADER_LIMIT} bytes")
    stored, fortran, shape = _parsed(file.read(start, length))
    if stored.refusal:
        raise PairError(Reason.DTYPE_UNSUPPORTED, f"{file.path} holds {stored.refusal}")
    dtype = stored.dtype or numpy_dtype(stored.name, file.path)
    offset = start + length
    if offset + math.prod(shape) * stored.itemsize != end:
        raise ValueError(f"shape {list(shape)} of {stored.name} is not the size of its data")
    strides = _first_fastest(shape, stored.itemsize) if fortran and len(shape) > 1 else None
    if stored.name in COMPLEX:  # side by side
        shape, strides = (*shape, 2), (*strides, dtype.itemsize) if strides else None
    if not is_possible(shape, dtype.itemsize):
        raise ValueError("it says a shape that no array has")
    return Header(dtype, shape, offset, strides, big_endian=stored.big_endian)


def _first_fastest(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides in bytes where the first index runs fastest."""
    return tuple(step * itemsize for step in dense_strides(shape[::-1])[::-1])


class _Stored(NamedTuple):
    """What a header says of the type: ours where it is known, and why none can be."""

    name: str
    itemsize: int = 1
    dtype: DType | None = None
    big_endian: bool = False
    refusal: str = ""


@functools.lru_cache(maxsize=256)  # arrays of one shape and type have one header
def _parsed(text: bytes) -> tuple[_Stored, bool, tuple[int, ...]]:
    """The type, whether the first index runs fastest, and the shape."""
    try:
        match ast.literal_eval(text.decode().strip()):
            case {"descr": descr, "fortran_order": bool(fortran), "shape": tuple(shape)} if all(
                type(n) is int and n >= 0 for n in shape
            ):
                return _stored(descr), fortran, shape
    # The last two are how Python's parser refuses what is nested too deeply.
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        pass
    raise ValueError("its header describes no array of plain numbers")


def _stored(descr: object) -> _Stored:
    """Raises ValueError or TypeError for no type of a fixed size."""
    if isinstance(descr, list) and descr:
        return _Stored("records", refusal=_RECORDS)
    if not isinstance(descr, str) or len(descr) > _DESCR_LIMIT:
        raise ValueError(descr)
    if descr in _ML_DTYPES:
        ours = DTYPES[_ML_DTYPES[descr]]
        return _Stored(ours.name, ours.itemsize, ours)
    dtype = np.dtype(descr)
    if not dtype.itemsize:
        raise ValueError(descr)
    if dtype.hasobject or dtype.kind == "V":
        return _Stored(dtype.name, refusal=_OBJECTS if dtype.hasobject else _BYTES)
    known = COMPLEX.get(dtype.name) or DTYPES.get(dtype.name)
    return _Stored(dtype.name, dtype.itemsize, known, dtype.byteorder == ">")
