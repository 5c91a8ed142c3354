"""`.safetensors` files as sources, mapped.

The layout is 8 bytes of header length (little-endian), a JSON header
{name: {dtype, shape, data_offsets}}, then the data.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, TypeGuard

from ait_cmp.files import OpenFile, open_file
from ait_cmp.source.view import Source, map_bytes
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError, Reason

__all__ = ["open_safetensors", "tensor_names"]

# Bytes; some 30,000 tensors. The format's own reader takes 100 MB, which JSON would turn into
# gigabytes of Python objects.
_HEADER_LIMIT = 4 << 20
_DIMS_LIMIT = 64  # as many as an array can have
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


def open_safetensors(path: str, name: str | None) -> Source:
    """The tensor `name` of `path`; without a name, the only one."""
    file = open_file(path)
    tensors, begin = _tensors(file)
    return _view(file, _entry(tensors, name, path), begin)


def tensor_names(path: str) -> list[str]:
    """The names of all tensors in `path`, in its order."""
    return list(_tensors(open_file(path))[0])


def _tensors(file: OpenFile) -> tuple[dict[str, dict[str, Any]], int]:
    """The entries by name, and where the data begin."""
    path = file.path
    length = int.from_bytes(file.read(0, min(8, file.size)), "little")
    if file.size < 8 or length > min(file.size - 8, _HEADER_LIMIT):
        raise _malformed(path, "its header is longer than the file, or than 4 MiB")
    tensors = _header(path, file.read(8, length))
    begin = 8 + length
    _refuse_gaps(path, tensors, file.size - begin)
    return tensors, begin


def _view(file: OpenFile, entry: dict[str, Any], begin: int) -> Source:
    path, code, shape = file.path, entry.get("dtype"), entry.get("shape")
    dtype = DTYPES.get(_NAMES.get(code, "")) if isinstance(code, str) else None
    if isinstance(code, str) and dtype is None:
        raise PairError(Reason.DTYPE_UNSUPPORTED, f"{path} holds {code}, which cannot be compared")
    if dtype is None or not _are_sizes(shape) or len(shape) > _DIMS_LIMIT:
        raise _malformed(path, "an entry has no usable dtype and shape")
    start, stop = (begin + offset for offset in entry["data_offsets"])
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise _malformed(path, "offsets and shape do not agree")
    try:
        array = map_bytes(file)[start:stop].view(dtype.storage).reshape(shape)
    except ValueError as exc:  # dimensions larger than an array can have
        raise _malformed(path, f"it says a shape that no tensor has ({exc})") from exc
    return Source(dtype, array, states=(file.state,), file=file, offset=start)


def _header(path: str, text: bytes) -> dict[str, dict[str, Any]]:
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise _malformed(path, "its header is no JSON of unlike names") from exc
    if not isinstance(header, dict):
        raise _malformed(path, "its header is no JSON object")
    return {key: value for key, value in header.items() if key != "__metadata__"}


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where a name comes twice: readers differ on which counts."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a name twice")
    return found


def _refuse_gaps(path: str, tensors: dict[str, dict[str, Any]], size: int) -> None:
    """The tensors must follow each other from the first byte of the data to the last."""
    for entry in tensors.values():
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
            raise _malformed(path, "an entry has no usable data_offsets")
    ranges = sorted(tuple(entry["data_offsets"]) for entry in tensors.values())
    starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
    if [*starts, size] != [0, *stops]:
        raise _malformed(path, "its tensors leave gaps, overlap, or do not end with the file")


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(one) is int and one >= 0 for one in values)


def _entry(header: dict[str, dict[str, Any]], name: str | None, path: str) -> dict[str, Any]:
    if name is None and len(header) == 1:
        return next(iter(header.values()))
    if name in header:
        return header[name]
    listed = ", ".join(list(header)[:5]) + (", …" if len(header) > 5 else "")
    asked = f"has nothing named {name!r}" if name else "is asked for without a name"
    raise PairError(
        Reason.NOT_A_TENSOR,
        f"{path} holds {len(header)} tensors ({listed}) and {asked}; "
        f"write {os.path.basename(path)}::NAME",
    )


def _malformed(path: str, why: str) -> PairError:
    return PairError(
        Reason.SAFETENSORS_MALFORMED, f"{path} is no whole safetensors file: {why}; save it again"
    )
