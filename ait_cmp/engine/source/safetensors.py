"""`.safetensors` files as sources, mapped.

The layout is 8 bytes of header length (little-endian), a JSON header
{name: {dtype, shape, data_offsets}}, then the data.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.dtypes import DTYPES
from ait_cmp.engine.source.view import Source, map_file
from ait_cmp.errors import PairError, Reason

__all__ = ["open_safetensors", "tensor_names"]

_HEADER_LIMIT = 100_000_000  # the limit of the format's own reader
_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "BOOL": "bool",
    "I8": "int8",
    "U8": "uint8",
    "I16": "int16",
    "U16": "uint16",
    "I32": "int32",
    "U32": "uint32",
    "I64": "int64",
    "U64": "uint64",
}


def open_safetensors(path: Path, name: str | None) -> Source:
    """The tensor `name` of `path`; without a name, the only one."""
    data = map_file(path)
    text = _header_text(path, data)
    length = len(text)
    entry = _entry(_header(path, text), name, path)
    try:
        code, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        dtype = DTYPES.get(_NAMES.get(code, ""))
        if dtype is None:
            raise PairError(
                Reason.DTYPE_UNSUPPORTED, f"{path} holds {code}, which cannot be compared"
            )
        plain = all(type(number) is int and number >= 0 for number in (*shape, start, stop))
        held = plain and start <= stop <= data.size - 8 - length
        if not held or stop - start != math.prod(shape) * dtype.itemsize:
            raise _malformed(path, "offsets, shape and file size do not agree")
        begin = 8 + length + start
        array = data[begin : begin + stop - start].view(dtype.storage).reshape(shape)
        return Source(dtype, array, files=(str(path),), offset=begin)
    except (KeyError, TypeError, ValueError) as exc:
        raise _malformed(path, "an entry has no usable dtype, shape and data_offsets") from exc


def tensor_names(path: Path) -> list[str]:
    """The names of all tensors in `path`, in its order."""
    return list(_header(path, _header_text(path, map_file(path))))


def _header_text(path: Path, data: npt.NDArray[np.uint8]) -> bytes:
    length = int.from_bytes(data[:8].tobytes(), "little")
    if data.size < 8 or length > min(data.size - 8, _HEADER_LIMIT):
        raise _malformed(path, "its header is longer than the file")
    return data[8 : 8 + length].tobytes()


def _header(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise _malformed(path, "its header is no JSON") from exc
    if not isinstance(header, dict):
        raise _malformed(path, "its header is no JSON object")
    return {key: value for key, value in header.items() if key != "__metadata__"}


def _entry(header: dict[str, Any], name: str | None, path: Path) -> Any:
    if name is None and len(header) == 1:
        return next(iter(header.values()))
    if name in header:
        return header[name]
    listed = ", ".join(list(header)[:5]) + (", …" if len(header) > 5 else "")
    asked = f"has nothing named {name!r}" if name else "is asked for without a name"
    raise PairError(
        Reason.NOT_A_TENSOR,
        f"{path} holds {len(header)} tensors ({listed}) and {asked}; write {path.name}::NAME",
    )


def _malformed(path: Path, why: str) -> PairError:
    return PairError(
        Reason.SAFETENSORS_MALFORMED, f"{path} is no whole safetensors file: {why}; save it again"
    )
