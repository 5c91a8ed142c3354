"""`.safetensors` files: many tensors by name.

The layout is 8 bytes of header length (little-endian), a JSON header
{name: {dtype, shape, data_offsets}}, then the data. Those of fingerprints (`fingerprint.container`)
have, of each tensor, what was kept of it.
"""

from __future__ import annotations

import functools
import json
import math
from typing import Any, NamedTuple, TypeGuard

from ait_cmp.dump_tree import is_fingerprint_file
from ait_cmp.files import OpenFile, open_file
from ait_cmp.fingerprint import container
from ait_cmp.source.containers import Containers, one_of
from ait_cmp.source.header import Header, Kept, is_possible
from ait_cmp.values.dtypes import COMPLEX, DTYPES
from ait_cmp.values.errors import PairError, Reason

__all__ = ["fingerprint_lines", "read_safetensors", "safetensors_names"]

# Bytes; some 30,000 tensors. The format's own reader takes 100 MB, which JSON would turn into
# gigabytes of Python objects.
_HEADER_LIMIT = 4 << 20
_ALIKE_LIMIT = 4096  # bytes of a header that may come again in another file
_NAMES = {
    "C64": "complex64",
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
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


Entries = dict[str, dict[str, Any]]
Places = dict[str, tuple[int, int]]


class _Content(NamedTuple):
    """The entries by name, and where the data begin. One of fingerprints has their `places`, and
    those of its `lines`."""

    entries: Entries
    begin: int
    places: Places | None = None
    lines: tuple[tuple[int, int], ...] = ()


def read_safetensors(file: OpenFile, name: str | None) -> Header | Kept:
    """The tensor `name` of `file`; without a name, the only one.

    Raises PairError: SAFETENSORS_MALFORMED for a file that does not hold together, NOT_A_TENSOR
    where there is no such name, DTYPE_UNSUPPORTED.
    """
    try:
        entries, begin, places, _ = _CONTAINERS.content(file)
        if places is not None:
            start, stop = one_of(places, name, file.path, "fingerprints")
            return Kept(begin + start, stop - start)
        return _tensor(one_of(entries, name, file.path, "tensors"), begin, file.path)
    except ValueError as exc:
        raise _malformed(file.path, exc) from exc


def safetensors_names(path: str) -> list[str] | None:
    """The names of all tensors in `path`, in its order; None where there is none. Raises as opening
    one does."""
    try:
        content = _CONTAINERS.content(open_file(path))
    except ValueError as exc:
        raise _malformed(path, exc) from exc
    return list(content.entries if content.places is None else content.places) or None


def fingerprint_lines(path: str) -> list[bytes] | None:
    """What a file of fingerprints says of their tensors, line by line; None where `path` is another
    file. Raises as opening one does."""
    file = open_file(path)
    try:
        content = _CONTAINERS.content(file)
    except ValueError as exc:
        raise _malformed(path, exc) from exc
    if content.places is None:
        return None
    parts = (file.read(content.begin + start, stop - start) for start, stop in content.lines)
    return [line for part in parts for line in part.splitlines()]


def _malformed(path: str, why: ValueError) -> PairError:
    again = "dump" if is_fingerprint_file(path) else "save"
    return PairError(
        Reason.SAFETENSORS_MALFORMED,
        f"{path} is no whole safetensors file: {why}; {again} it again",
    )


def _read(file: OpenFile) -> _Content:
    """What the header says."""
    begins = container.opening()
    head = file.read(0, min(8 + len(begins), file.size))
    length = int.from_bytes(head[:8], "little")
    is_ours = head[8:] == begins
    limit = container.HEADER_LIMIT if is_ours else _HEADER_LIMIT
    if file.size < 8 or length > min(file.size - 8, limit):
        raise ValueError(f"its header is longer than the file, or than {limit} bytes")
    begin, text = 8 + length, file.read(8, length)
    if is_ours:
        return _of_fingerprints(text, begin, file.size)
    parse = _parsed_before if length <= _ALIKE_LIMIT else _parsed
    return _Content(parse(text, file.size - begin), begin)


def _of_fingerprints(text: bytes, begin: int, size: int) -> _Content:
    """Behind the data of the last commit there may be those of one that was cut short."""
    places = container.entries_in(text)
    if max((stop for _, stop in places.values()), default=0) > size - begin:
        raise ValueError("its fingerprints end behind the file")
    lines = tuple(place for name, place in places.items() if container.is_lines(name))
    kept = {name: place for name, place in places.items() if not container.is_lines(name)}
    return _Content({}, begin, kept, lines)


_CONTAINERS = Containers(_read)


def _parsed(text: bytes, size: int) -> Entries:
    """The entries of a header before `size` bytes of data."""
    try:
        header = json.loads(text, object_pairs_hook=container.of_unlike)
    except (ValueError, RecursionError) as exc:
        raise ValueError("its header is no JSON of unlike names") from exc
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    entries = {key: value for key, value in header.items() if key != "__metadata__"}
    _refuse_gaps(entries, size)
    return entries


# Tensors of one shape and type, saved alike, have one header.
_parsed_before = functools.lru_cache(maxsize=256)(_parsed)


def _tensor(entry: dict[str, Any], begin: int, path: str) -> Header:
    code, shape = entry.get("dtype"), entry.get("shape")
    name = _NAMES.get(code, "") if isinstance(code, str) else ""
    dtype = DTYPES.get(name)
    if name in COMPLEX and isinstance(shape, list):  # its parts stand side by side
        dtype, shape = COMPLEX[name], [*shape, 2]
    if isinstance(code, str) and dtype is None:
        raise PairError(
            Reason.DTYPE_UNSUPPORTED,
            f"{path} holds {code[:80]}, which is not supported; save its .float()",
        )
    if dtype is None or not _are_sizes(shape) or not is_possible(shape, dtype.itemsize):
        raise ValueError("an entry has no usable dtype and shape")
    start, stop = entry["data_offsets"]
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError("offsets and shape do not agree")
    return Header(dtype, tuple(shape), begin + start)


def _refuse_gaps(entries: Entries, size: int) -> None:
    """The tensors must follow each other from the first byte of the data to the last."""
    for entry in entries.values():
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
            raise ValueError("an entry has no usable data_offsets")
    ranges = sorted(tuple(entry["data_offsets"]) for entry in entries.values())
    starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
    if [*starts, size] != [0, *stops]:
        raise ValueError("its tensors leave gaps, overlap, or do not end with the file")


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(one) is int and one >= 0 for one in values)
