"""`.pth` and `.pt` files as sources: zip files are mapped, legacy ones read."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch

from ait_cmp.engine.source.view import Source, open_regular
from ait_cmp.errors import PairError, Reason
from ait_cmp.tensors import as_array

__all__ = ["open_pth"]

# Of a zip file's local header: where the lengths of its two texts stand, and where those begin.
_LOCAL_NAME_LENGTH, _LOCAL_HEADER = 26, 30


def open_pth(path: Path, name: str | None) -> Source:
    """The tensor in `path`, or the one under `name` in a dict of tensors."""
    value, data = _load(path)
    if name is not None:
        value = _member(value, name, path)
    if not isinstance(value, torch.Tensor):
        raise PairError(Reason.NOT_A_TENSOR, f"{path} holds {_describe(value)}, not one tensor")
    offset = None
    # The file has the values of a lazily negated tensor with the other sign.
    if data is not None and not value.is_neg():
        offset = data + int(value.storage_offset()) * value.element_size()
    return Source(*as_array(value, str(path)), files=(str(path),), offset=offset)


def _load(path: Path) -> tuple[object, int | None]:
    """What the file holds, and at which byte its one storage begins (None for several)."""
    magic = b""
    data = None
    try:
        with open(open_regular(path), "rb") as file:
            magic = file.read(4)
            mapped = magic == b"PK\x03\x04"
            if mapped:
                data = _check_entries(path, file)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped), data
    except (PairError, OSError, MemoryError):
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


def _check_entries(path: Path, file: BinaryIO) -> int | None:
    """Refuse what a map would misread; where the data of the only storage begin."""
    entries = zipfile.ZipFile(file).infolist()
    for entry in entries:
        # A compressed entry read through a map would give its packed bytes as values.
        if entry.compress_type != zipfile.ZIP_STORED:
            raise PairError(
                Reason.PTH_MALFORMED,
                f"{path} has the compressed entry {entry.filename!r}; torch.save stores entries "
                "uncompressed, so save it again",
            )
    storages = [entry for entry in entries if "/data/" in entry.filename]
    if len(storages) != 1:
        return None
    file.seek(storages[0].header_offset + _LOCAL_NAME_LENGTH)
    name, extra = struct.unpack("<HH", file.read(4))
    return storages[0].header_offset + _LOCAL_HEADER + int(name) + int(extra)


def _member(value: object, name: str, path: Path) -> object:
    if isinstance(value, dict) and name in value:
        return value[name]
    raise PairError(
        Reason.NOT_A_TENSOR, f"{path} holds {_describe(value)}, which has nothing named {name!r}"
    )


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
