"""`.pth` and `.pt` files as sources: zip files are mapped, legacy ones read."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch

from ait_cmp.engine.source.view import Source, open_regular
from ait_cmp.errors import PairError, Reason
from ait_cmp.tensors import as_array

__all__ = ["open_pth"]


def open_pth(path: Path, name: str | None) -> Source:
    """The tensor in `path`, or the one under `name` in a dict of tensors."""
    value = _load(path)
    if name is not None:
        value = _member(value, name, path)
    if not isinstance(value, torch.Tensor):
        raise PairError(Reason.NOT_A_TENSOR, f"{path} holds {_describe(value)}, not one tensor")
    return Source(*as_array(value, str(path)))


def _load(path: Path) -> object:
    magic = b""
    try:
        with open(open_regular(path), "rb") as file:
            magic = file.read(4)
            mapped = magic == b"PK\x03\x04"
            if mapped:
                _refuse_compressed(path, zipfile.ZipFile(file))
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (PairError, OSError, MemoryError):
        raise
    except Exception as exc:  # the unpickler meets a damaged file with almost any exception
        if isinstance(exc, pickle.UnpicklingError) and magic[:1] in (b"P", b"\x80"):
            raise PairError(
                Reason.UNSAFE_PICKLE,
                f"{path} holds Python objects that only full unpickling could read, which may run "
                "code; save just the tensor with torch.save(tensor.detach().cpu(), path)",
            ) from exc
        raise PairError(
            Reason.PTH_MALFORMED,
            f"{path} is no whole torch file ({_first_line(exc)}); save it again",
        ) from exc


def _refuse_compressed(path: Path, archive: zipfile.ZipFile) -> None:
    # A compressed entry read through a map would give its packed bytes as values.
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED:
            raise PairError(
                Reason.PTH_MALFORMED,
                f"{path} has the compressed entry {entry.filename!r}; torch.save stores entries "
                "uncompressed, so save it again",
            )


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
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
