"""`.pth` and `.pt` files: zip files, and the legacy ones before them.

Nothing of the file is ever run, neither by Python's unpickler nor by torch's: see
`torch_pickle`. What is read is at most what `torch.load(weights_only=True)` would read.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from ait_cmp.files import OpenFile, ends_of, open_file
from ait_cmp.source.alike import AlikeZips
from ait_cmp.source.containers import Containers
from ait_cmp.source.header import (
    DIMS_LIMIT,
    Header,
    UnsupportedError,
    dense_strides,
    is_possible,
    reach,
)
from ait_cmp.source.members import named_members
from ait_cmp.source.torch_pickle import (
    Foreign,
    Pickle,
    Storage,
    StoredTensor,
    UnsafePickleError,
    read_pickles,
)
from ait_cmp.source.zip_directory import (
    DESCRIPTOR,
    END,
    END_MAGIC,
    LOCAL,
    ZIP_MAGIC,
    ZipEntry,
    read_directory,
)
from ait_cmp.values.dtypes import COMPLEX, DTYPES, DType
from ait_cmp.values.errors import PairError, Reason

__all__ = ["pth_names", "read_pth", "saved_meta"]

_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
_PLAIN_STARTS = (b"\x80\x04\x95", b"\x80\x05\x95")  # of protocols 4 and 5
_LEGACY_PICKLES = 5  # magic number, version, system, the value, the keys of the storages
_SMALL_PICKLE = 1 << 20  # bytes; some 5,000 tensors
_PICKLE_LIMIT = 64 << 20  # bytes
# A tensor may show more elements than its storage holds (stride 0); so many are compared in
# seconds, while a few bytes could claim enough for years.
_EXPANDED_LIMIT = 1 << 32  # elements


@dataclass(frozen=True)
class _Content:
    """The value in a file, whether its numbers are big-endian, and where the bytes of each storage
    begin and how many there are; `fault` says why that cannot be told."""

    value: object
    big_endian: bool
    places: Mapping[str, tuple[int, int]]
    fault: str = ""

    @cached_property
    def members(self) -> dict[str, object]:
        """The tensors in nested dicts and lists, by their dotted names."""
        return named_members(self.value)


def read_pth(file: OpenFile, name: str | None) -> Header:
    """The tensor in `file`, or the one under `name` in a dict or list of tensors.

    `name` leads into nested ones as `outer.inner` or `outer.0`. Without it, a value that was
    saved with its meta (`{value, meta}`, as dumpers do) is that value.
    Raises PairError: PTH_MALFORMED for a file that does not hold together, UNSAFE_PICKLE for
    one that asks for code, NOT_SUPPORTED, NOT_A_TENSOR for other values, PTH_EXPANDED for a tensor
    of little data and endless elements, DTYPE_UNSUPPORTED.
    """
    with _told(file.path):
        # A name tells that there are many; one tensor is found as fast as it would be remembered.
        content = _read(file) if name is None else _CONTAINERS.content(file)
        return _header(_tensor(content, name, file.path), content, file.path)


def pth_names(path: str) -> list[str] | None:
    """The names of the tensors in `path`, in its order; None of one that has none, and where there
    is no tensor. Raises as opening one does."""
    start, end = ends_of(path, _START, END.size)
    if end.startswith(END_MAGIC) and _first_entry(start) in _OF_ONE_TENSOR:
        return None
    file = open_file(path)
    if not file.size:  # it may still be written
        return None
    with _told(path):
        # One tensor needs no place among the few that are remembered.
        content = _read(file) if file.content else _CONTAINERS.content(file)
        if isinstance(_bare(content.value), StoredTensor):
            pickle = _first_entry(start)
            if pickle and len(_OF_ONE_TENSOR) < _MOST_KNOWN:
                _OF_ONE_TENSOR.add(pickle)
            return None
        return list(content.members) or None


# The pickles of files that hold one tensor: of ten thousand files a few differ. To find them again
# takes no more than how a whole file begins and ends, while it is listed.
_OF_ONE_TENSOR: set[bytes] = set()
_MOST_KNOWN = 4096
_START = 1024  # bytes; the pickle of one tensor and what is before it are some 250


def _first_entry(start: bytes) -> bytes:
    """The data of the first entry of a zip file, which is the pickle in those of torch.save, where
    `start` has all of it; else nothing."""
    names, extras = (int.from_bytes(start[at : at + 2], "little") for at in (26, 28))
    begin = LOCAL.size + names + extras
    end = start.find(DESCRIPTOR, begin)
    is_pickle = start[:4] == ZIP_MAGIC and start[: LOCAL.size + names].endswith(b"/data.pkl")
    return start[begin:end] if is_pickle and end > 0 else b""


def saved_meta(path: str) -> tuple[tuple[int, ...], dict[str, object]] | None:
    """The shape of a tensor that a dumper saved with its meta (`{value, meta}`), and that; None of
    any other file. Raises as opening one does."""
    file = open_file(path)
    with _told(path):
        saved = _read(file).value
    tensor, meta = _bare(saved), saved.get("meta") if isinstance(saved, dict) else None
    if not isinstance(tensor, StoredTensor) or not isinstance(meta, dict):
        return None
    return tensor.shape, meta


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Whatever is wrong with a file, as a PairError."""
    try:
        yield
    except UnsafePickleError as exc:
        raise PairError(
            Reason.UNSAFE_PICKLE,
            f"{path} asks for {exc}, which only full unpickling could give, and that may run "
            "code; save just the tensor with torch.save(tensor.detach().cpu(), path), of a model "
            "its state_dict()",
        ) from exc
    except UnsupportedError as exc:
        raise PairError(Reason.NOT_SUPPORTED, f"{path} is not supported: {exc}") from exc
    except ValueError as exc:
        raise PairError(
            Reason.PTH_MALFORMED, f"{path} is no whole torch file: {exc}; save it again"
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
        raise _other_archive(entries)
    folder = pickles[0].removesuffix("data.pkl")
    _refuse_packed(folder, entries)
    order = entries.get(f"{folder}byteorder")
    big_endian = order is not None and _read_entry(file, "byteorder", order) == b"big"
    content = _read_entry(file, "data.pkl", entries[pickles[0]])
    (pickle,) = read_pickles(content, within=file.size)
    places = {
        key: (entry.start, entry.size)
        for key in pickle.storages
        if (entry := entries.get(f"{folder}data/{key}"))
    }
    found = _Content(pickle.value, big_endian, places)
    if file.content:
        _ALIKE.keep(file.content, entries, {pickles[0], f"{folder}byteorder"}, found)
    return found


def _other_archive(entries: Mapping[str, ZipEntry]) -> Exception:
    """What a zip file is that torch.save did not write."""
    names = [name.partition("/")[2] for name in entries]
    if "archive_format" in names:
        return UnsupportedError(
            "it is an archive of torch.export; save the state_dict() of its program with torch.save"
        )
    if entries and all(name.endswith(".npy") for name in entries):
        return UnsupportedError("it is an archive of NumPy arrays; call it .npz")
    return ValueError("no data.pkl in it")


def _refuse_packed(folder: str, entries: Mapping[str, ZipEntry]) -> None:
    if f"{folder}constants.pkl" in entries:
        raise UnsupportedError(
            "it is a TorchScript archive, which holds a program; save its tensors: "
            "torch.save(torch.jit.load(path).state_dict(), other_path)"
        )
    packed = next((name for name, entry in entries.items() if entry.compressed), None)
    if packed:
        # Read through a map, its packed bytes would be taken for values.
        raise UnsupportedError(
            f"its entry {packed[:80]!r} is compressed, as torch.save never does; unpack it and "
            "save it again with torch.save"
        )


_ALIKE: AlikeZips[_Content] = AlikeZips()


def _read_entry(file: OpenFile, name: str, entry: ZipEntry) -> bytes:
    if entry.size > _PICKLE_LIMIT:
        raise UnsupportedError(
            f"its {name} has {entry.size} bytes, and at most {_PICKLE_LIMIT} are read; save fewer "
            "tensors in one file, or .safetensors"
        )
    content = file.read(entry.start, entry.size)
    if entry.crc and zlib.crc32(content) != entry.crc:
        raise ValueError(f"the checksum of {name!r} is wrong")
    return content


def _read_legacy(file: OpenFile) -> _Content:
    """Of a file from before torch 1.6: pickles, then each storage behind its length."""
    content = file.read(0, min(file.size, _SMALL_PICKLE))
    _refuse_plain(content, file.size)
    try:
        read = read_pickles(content, _LEGACY_PICKLES, within=file.size)
    except ValueError:
        if file.size <= len(content):
            raise
        content = file.read(0, min(file.size, _PICKLE_LIMIT))
        read = read_pickles(content, _LEGACY_PICKLES, within=file.size)
    _, version, system, pickle, keys = read
    if version.value != _LEGACY_VERSION or not isinstance(system.value, dict):
        raise ValueError("its parts are not those of a torch file")
    big_endian = system.value.get("little_endian") is False
    try:
        return _Content(pickle.value, big_endian, _legacy_places(file, pickle, keys))
    except ValueError as exc:  # which only matters where there is a tensor
        return _Content(pickle.value, big_endian, {}, str(exc))


def _refuse_plain(content: bytes, size: int) -> None:
    """Raise UnsafePickleError for what asks for code, UnsupportedError for another pickle than
    torch's, ValueError for what is none."""
    try:
        first = read_pickles(content, within=size)[0]  # alone, so that this one tells what it is
    except (UnsupportedError, ValueError) as exc:
        if not content.startswith(_PLAIN_STARTS):  # any bytes may look like older ones
            raise ValueError("it does not start as one") from exc
    else:
        if first.value == _LEGACY_MAGIC:
            return
        if first.end < size:
            raise ValueError("it does not start as one")
    raise UnsupportedError("it is a plain pickle; save its value with torch.save instead")


def _legacy_places(file: OpenFile, pickle: Pickle, keys: Pickle) -> dict[str, tuple[int, int]]:
    """Where the bytes of every storage begin, and how many there are."""
    end = keys.end
    named = keys.value if isinstance(keys.value, list) else []
    if not all(isinstance(key, str) for key in named) or sorted(named) != sorted(pickle.storages):
        raise ValueError("its list of storages is not that of its tensors")
    places: dict[str, tuple[int, int]] = {}
    for key in named:
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


def _bare(value: object) -> object:
    """A value without the meta that it was saved with."""
    is_wrapped = isinstance(value, dict) and value.keys() == {"value", "meta"}
    return value["value"] if isinstance(value, dict) and is_wrapped else value


def _tensor(content: _Content, name: str | None, path: str) -> StoredTensor:
    if name is None:
        value = _bare(content.value)
    elif name in content.members:
        value = content.members[name]
    else:
        raise PairError(
            Reason.NOT_A_TENSOR,
            f"{path} holds {_describe(content.value)}, which has {_instead(content, name)}",
        )
    if not isinstance(value, StoredTensor):
        way = "; save it dense: .to_dense() or .dequantize()" if isinstance(value, Foreign) else ""
        raise PairError(
            Reason.NOT_A_TENSOR, f"{path} holds {_describe(value)}, not one tensor{way}"
        )
    return value


def _instead(content: _Content, name: str) -> str:
    """What is there where `name` is no tensor."""
    within = [member for member in content.members if member.startswith(f"{name}.")]
    return f"{within[0]!r}, but no tensor {name!r}" if within else f"nothing named {name!r}"


def _header(tensor: StoredTensor, content: _Content, path: str) -> Header:
    if tensor.dtype in COMPLEX:
        tensor = _parts(tensor)
    elif tensor.conjugated:
        raise ValueError("a real tensor with a flag that conjugates it")
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
        tensor.conjugated,
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
            f"{path} holds torch.{tensor.dtype}, which is not supported; save its .float()",
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
