"""`.pth` and `.pt` files: zip files, and the legacy ones before them.

Nothing of the file is ever run, neither by Python's unpickler nor by torch's: see
`torch_pickle`. What is read is at most what `torch.load(weights_only=True)` would read.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ait_cmp.files import OpenFile
from ait_cmp.source.alike import AlikeZips
from ait_cmp.source.containers import Containers
from ait_cmp.source.header import DIMS_LIMIT, Header, dense_strides, is_possible, reach
from ait_cmp.source.torch_pickle import (
    Foreign,
    Pickle,
    Storage,
    StoredTensor,
    UnsafePickleError,
    read_pickles,
)
from ait_cmp.source.zip_directory import ZIP_MAGIC, ZipEntry, read_directory
from ait_cmp.values.dtypes import COMPLEX, DTYPES, DType
from ait_cmp.values.errors import PairError, Reason

__all__ = ["read_pth"]

_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
_LEGACY_PICKLES = 5  # magic number, version, system, the value, the keys of the storages
_PICKLE_LIMIT = 1 << 20  # bytes
# A tensor may show more elements than its storage holds (stride 0); so many are compared in
# seconds, while a few bytes could claim enough for years.
_EXPANDED_LIMIT = 1 << 32  # elements
_PARTS_LIMIT = 16  # of a name that leads into nested dicts


@dataclass(frozen=True, slots=True)
class _Content:
    """The value in a file, whether its numbers are big-endian, and where the bytes of each storage
    begin and how many there are; `fault` says why that cannot be told."""

    value: object
    big_endian: bool
    places: Mapping[str, tuple[int, int]]
    fault: str = ""


def read_pth(file: OpenFile, name: str | None) -> Header:
    """The tensor in `file`, or the one under `name` in a dict or list of tensors.

    `name` leads into nested ones as `outer.inner` or `outer.0`. Without it, a value that was
    saved with its meta (`{value, meta}`, as dumpers do) is that value.
    Raises PairError: PTH_MALFORMED for a file that does not hold together, UNSAFE_PICKLE for
    one that asks for code, NOT_A_TENSOR for other values, PTH_EXPANDED for a tensor of little
    data and endless elements, DTYPE_UNSUPPORTED.
    """
    try:
        # A name tells that there are many; one tensor is found as fast as it would be remembered.
        content = _read(file) if name is None else _CONTAINERS.content(file)
        return _header(_tensor(content.value, name, file.path), content, file.path)
    except UnsafePickleError as exc:
        raise PairError(
            Reason.UNSAFE_PICKLE,
            f"{file.path} asks for {exc}, which only full unpickling could give, and that may run "
            "code; save just the tensor with torch.save(tensor.detach().cpu(), path)",
        ) from exc
    except ValueError as exc:
        raise PairError(
            Reason.PTH_MALFORMED, f"{file.path} is no whole torch file: {exc}; save it again"
        ) from exc


def _read(file: OpenFile) -> _Content:
    read = _read_zip if file.read(0, min(4, file.size)) == ZIP_MAGIC else _read_legacy
    return read(file)


_CONTAINERS = Containers(_read)


def _read_zip(file: OpenFile) -> _Content:
    alike = file.content and _ALIKE.recall(file.content)
    if alike:
        return alike
    entries = read_directory(file)
    pickles = [name for name in entries if name.partition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError("no data.pkl in it")
    folder = pickles[0].removesuffix("data.pkl")
    order = entries.get(f"{folder}byteorder")
    big_endian = order is not None and _read_entry(file, "byteorder", order) == b"big"
    (pickle,) = read_pickles(_read_entry(file, "data.pkl", entries[pickles[0]]))
    places = {
        key: (entry.start, entry.size)
        for key in pickle.storages
        if (entry := entries.get(f"{folder}data/{key}"))
    }
    content = _Content(pickle.value, big_endian, places)
    if file.content:
        _ALIKE.keep(file.content, entries, {pickles[0], f"{folder}byteorder"}, content)
    return content


_ALIKE: AlikeZips[_Content] = AlikeZips()


def _read_entry(file: OpenFile, name: str, entry: ZipEntry) -> bytes:
    if entry.size > _PICKLE_LIMIT:
        raise ValueError(f"{name!r} has more than {_PICKLE_LIMIT} bytes")
    content = file.read(entry.start, entry.size)
    if entry.crc and zlib.crc32(content) != entry.crc:
        raise ValueError(f"the checksum of {name!r} is wrong")
    return content


def _read_legacy(file: OpenFile) -> _Content:
    """Of a file from before torch 1.6: pickles, then each storage behind its length."""
    content = file.read(0, min(file.size, _PICKLE_LIMIT))
    # The first alone, so that another pickle is told by what it asks for.
    if read_pickles(content)[0].value != _LEGACY_MAGIC:
        raise ValueError("it does not start as one")
    _, version, system, pickle, keys = read_pickles(content, _LEGACY_PICKLES)
    if version.value != _LEGACY_VERSION or not isinstance(system.value, dict):
        raise ValueError("its parts are not those of a torch file")
    big_endian = system.value.get("little_endian") is False
    try:
        return _Content(pickle.value, big_endian, _legacy_places(file, pickle, keys))
    except ValueError as exc:  # which only matters where there is a tensor
        return _Content(pickle.value, big_endian, {}, str(exc))


def _legacy_places(file: OpenFile, pickle: Pickle, keys: Pickle) -> dict[str, tuple[int, int]]:
    """Where the bytes of every storage begin, and how many there are."""
    end = keys.end
    if not isinstance(keys.value, list) or sorted(keys.value) != sorted(pickle.storages):
        raise ValueError("its list of storages is not that of its tensors")
    places: dict[str, tuple[int, int]] = {}
    for key in keys.value:
        storage, start = pickle.storages[key], end + 8
        if start > file.size or int.from_bytes(file.read(end, 8), "little") != storage.count:
            raise ValueError("a storage has another length than its tensor says")
        end = start + _bytes(storage)
        places[key] = start, end - start
    if end != file.size:
        raise ValueError("its storages are not as long as the file")
    return places


def _bytes(storage: Storage) -> int:
    if not storage.dtype:
        return storage.count
    if storage.dtype in DTYPES:
        return storage.count * DTYPES[storage.dtype].itemsize
    if storage.dtype in COMPLEX:
        return storage.count * 2 * COMPLEX[storage.dtype].itemsize
    raise ValueError(f"a storage of the unknown kind {storage.dtype[:80]!r}")


def _tensor(value: object, name: str | None, path: str) -> StoredTensor:
    if name is not None:
        value = _member(value, name, path)
    elif isinstance(value, dict) and value.keys() == {"value", "meta"}:
        value = value["value"]
    if not isinstance(value, StoredTensor):
        raise PairError(Reason.NOT_A_TENSOR, f"{path} holds {_describe(value)}, not one tensor")
    return value


def _member(value: object, name: str, path: str) -> object:
    for member, rest in _candidates(value, name):
        with contextlib.suppress(PairError):
            return _member(member, rest, path) if rest else member
    raise PairError(
        Reason.NOT_A_TENSOR, f"{path} holds {_describe(value)}, which has nothing named {name!r}"
    )


def _candidates(value: object, name: str) -> Iterator[tuple[object, str]]:
    """What `name` may mean in a dict or list, longest key first, and the rest of the name."""
    # Each part more may double what there is to try.
    parts = name.split(".") if name.count(".") < _PARTS_LIMIT else [name]
    for count in range(len(parts), 0, -1):
        key, rest = ".".join(parts[:count]), ".".join(parts[count:])
        if isinstance(value, dict) and key in value:
            yield value[key], rest
        elif isinstance(value, (list, tuple)) and key.isdecimal() and int(key) < len(value):
            yield value[int(key)], rest


def _header(tensor: StoredTensor, content: _Content, path: str) -> Header:
    if tensor.dtype in COMPLEX:
        tensor = _parts(tensor)
    dtype, shape = _dtype(tensor, path), tensor.shape
    if content.fault:
        raise ValueError(content.fault)
    if tensor.storage.key not in content.places:
        raise ValueError(f"no storage {tensor.storage.key[:80]!r} in it")
    start, size = content.places[tensor.storage.key]
    # torch gives an empty view any offset.
    offset = 0 if 0 in shape else tensor.offset
    elements = math.prod(shape)
    steps = _steps(shape, tensor.strides)
    end = offset + (reach(shape, steps) if steps else elements)
    if size != _bytes(tensor.storage) or end * dtype.itemsize > size or len(shape) > DIMS_LIMIT:
        raise ValueError("a tensor that is larger than its storage")
    if elements > max(size // dtype.itemsize, _EXPANDED_LIMIT):
        raise PairError(
            Reason.PTH_EXPANDED,
            f"{path} expands {size} bytes to the shape {list(shape)}, which is too much to "
            "compare; save it without expand()",
        )
    strides = tuple(step * dtype.itemsize for step in steps) if steps else None
    if not is_possible(shape, dtype.itemsize):
        raise ValueError("a shape that no tensor has")
    return Header(
        dtype,
        shape,
        start + offset * dtype.itemsize,
        strides,
        content.big_endian,
        tensor.negated,
    )


def _parts(tensor: StoredTensor) -> StoredTensor:
    """A complex tensor as its real and imaginary parts, side by side in one more dimension."""
    return replace(
        tensor,
        dtype=COMPLEX[tensor.dtype].name,
        offset=2 * tensor.offset,
        shape=(*tensor.shape, 2),
        strides=(*(2 * step for step in tensor.strides), 1),
    )


def _steps(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides, in elements; None where the elements lie in a row.

    A step that leads nowhere may be any number: it is that of a tensor without gaps.
    """
    dense = dense_strides(shape)
    if strides == dense or 0 in shape:
        return None
    steps = tuple(
        step if size > 1 else usual for size, step, usual in zip(shape, strides, dense, strict=True)
    )
    return None if steps == dense else steps


def _dtype(tensor: StoredTensor, path: str) -> DType:
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        raise PairError(
            Reason.DTYPE_UNSUPPORTED,
            f"{path} holds torch.{tensor.dtype}, which cannot be compared; convert it",
        )
    if tensor.negated and "u" in dtype.storage:
        raise PairError(
            Reason.DTYPE_UNSUPPORTED,
            f"{path} holds torch.{tensor.dtype} with a flag that negates it; save its "
            ".resolve_neg()",
        )
    return dtype


def _describe(value: object) -> str:
    if isinstance(value, dict):
        names = ", ".join(map(str, list(value)[:5]))
        return f"a dict of {len(value)} ({names}{', …' if len(value) > 5 else ''})"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Foreign):
        return f"what only {value.name} could build"
    return f"a value of type {type(value).__name__}"
