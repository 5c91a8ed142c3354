"""`.pth` and `.pt` files as sources: zip files are mapped, legacy ones read."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ait_cmp.engine.source.plain_pth import read_plain
from ait_cmp.engine.source.view import Source, map_file, open_regular
from ait_cmp.errors import PairError, Reason

__all__ = ["open_pth"]

_ZIP = b"PK\x03\x04"
# Of a zip file's local header: where the lengths of its two texts stand, and where those begin.
_LOCAL_NAME_LENGTH, _LOCAL_HEADER = 26, 30


def open_pth(path: Path, name: str | None) -> Source:
    """The tensor in `path`, or the one under `name` in a dict or list of tensors.

    `name` leads into nested ones as `outer.inner` or `outer.0`. Without it, a value that was
    saved with its meta (`{value, meta}`, as dumpers do) is that value.
    """
    magic = b""
    storage = None
    try:
        with open(open_regular(path), "rb") as file:
            magic = file.read(4)
            if magic == _ZIP:
                archive = zipfile.ZipFile(file)
                _refuse_compressed(path, archive)
                storage = _only_storage(archive, file)
                plain = _plain(path, archive, storage) if storage and name is None else None
                if plain is not None:
                    return plain
    except (PairError, OSError):
        raise
    except Exception as exc:  # zipfile meets a damaged file with many an exception
        raise _malformed(path, exc) from exc
    return _open_with_torch(path, name, magic, storage)


@dataclass(frozen=True, slots=True)
class _Storage:
    """Where the data of a file's only storage lie, in bytes."""

    start: int
    size: int


def _refuse_compressed(path: Path, archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        # A compressed entry read through a map would give its packed bytes as values.
        if entry.compress_type != zipfile.ZIP_STORED:
            raise PairError(
                Reason.PTH_MALFORMED,
                f"{path} has the compressed entry {entry.filename!r}; torch.save stores entries "
                "uncompressed, so save it again",
            )


def _only_storage(archive: zipfile.ZipFile, file: BinaryIO) -> _Storage | None:
    """The only storage of the file; None where there are none or several."""
    storages = [entry for entry in archive.infolist() if "/data/" in entry.filename]
    if len(storages) != 1:
        return None
    (entry,) = storages
    file.seek(entry.header_offset + _LOCAL_NAME_LENGTH)
    name, extra = struct.unpack("<HH", file.read(4))
    start = entry.header_offset + _LOCAL_HEADER + int(name) + int(extra)
    size = os.fstat(file.fileno()).st_size
    return _Storage(start, entry.file_size) if start + entry.file_size <= size else None


def _plain(path: Path, archive: zipfile.ZipFile, storage: _Storage) -> Source | None:
    """The file's tensor, where it is a plain one in this machine's byte order."""
    entries = {entry.filename.rpartition("/")[2]: entry for entry in archive.infolist()}
    order, pickled = entries.get("byteorder"), entries.get("data.pkl")
    if pickled is None or (order is not None and archive.read(order) != b"little"):
        return None
    tensor = read_plain(archive.read(pickled), storage.size)
    if tensor is None:
        return None
    data = map_file(path)[storage.start : storage.start + storage.size]
    offset = storage.start + tensor.offset * tensor.dtype.itemsize
    return Source(tensor.dtype, tensor.view(data), files=(str(path),), offset=offset)


def _open_with_torch(
    path: Path, name: str | None, magic: bytes, storage: _Storage | None
) -> Source:
    """Whatever else torch can load without running code."""
    import torch

    from ait_cmp.tensors import as_array

    value = _load(path, magic)
    if name is not None:
        value = _member(value, name, path)
    elif isinstance(value, dict) and value.keys() == {"value", "meta"}:
        value = value["value"]
    if not isinstance(value, torch.Tensor):
        raise PairError(Reason.NOT_A_TENSOR, f"{path} holds {_describe(value)}, not one tensor")
    offset = None
    # The file has the values of a lazily negated tensor with the other sign.
    if storage is not None and not value.is_neg():
        offset = storage.start + int(value.storage_offset()) * value.element_size()
    return Source(*as_array(value, str(path)), files=(str(path),), offset=offset)


def _load(path: Path, magic: bytes) -> object:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=magic == _ZIP)
    except (OSError, MemoryError):
        raise
    except RuntimeError as exc:
        if "can't allocate memory" in str(exc):  # as torch says it
            raise MemoryError(str(exc)) from exc
        raise _malformed(path, exc) from exc
    except Exception as exc:  # the unpickler meets a damaged file with almost any exception
        if isinstance(exc, pickle.UnpicklingError) and magic[:1] in (b"P", b"\x80"):
            raise PairError(
                Reason.UNSAFE_PICKLE,
                f"{path} holds Python objects that only full unpickling could read, which may run "
                "code; save just the tensor with torch.save(tensor.detach().cpu(), path)",
            ) from exc
        raise _malformed(path, exc) from exc


def _malformed(path: Path, error: Exception) -> PairError:
    sentence = f"{path} is no whole torch file ({_first_line(error)}); save it again"
    return PairError(Reason.PTH_MALFORMED, sentence)


def _member(value: object, name: str, path: Path) -> object:
    for member, rest in _candidates(value, name):
        with contextlib.suppress(PairError):
            return _member(member, rest, path) if rest else member
    raise PairError(
        Reason.NOT_A_TENSOR, f"{path} holds {_describe(value)}, which has nothing named {name!r}"
    )


def _candidates(value: object, name: str) -> Iterator[tuple[object, str]]:
    """What `name` may mean in a dict or list, longest key first, and the rest of the name."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        key, rest = ".".join(parts[:count]), ".".join(parts[count:])
        if isinstance(value, dict) and key in value:
            yield value[key], rest
        elif isinstance(value, (list, tuple)) and key.isdecimal() and int(key) < len(value):
            yield value[int(key)], rest


def _describe(value: object) -> str:
    if isinstance(value, dict):
        names = ", ".join(map(str, list(value)[:5]))
        return f"a dict of {len(value)} ({names}{', …' if len(value) > 5 else ''})"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of type {type(value).__name__}"


def _first_line(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return "no pickle in it"  # torch's own words would advise to load it unsafely
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
