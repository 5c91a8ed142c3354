"""One module per file format; each gives a lazy, flat, typed view of a tensor.

To add a format: one module with an `open_…(path, name)` and one row in `SOURCES`.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Callable
from typing import cast

from ait_cmp.files import state_of
from ait_cmp.source.view import Array, Source
from ait_cmp.values.errors import PairError, Reason

__all__ = [
    "SOURCES",
    "Array",
    "Source",
    "is_tensor_path",
    "open_source",
    "split_name",
    "tensor_bytes",
]

Opener = Callable[[str, str | None], Source]

# Suffix -> (module, function): imported on first use, since some formats need torch.
SOURCES: dict[str, tuple[str, str]] = {
    ".bin": ("atb", "open_atb"),
    ".pth": ("pth", "open_pth"),
    ".pt": ("pth", "open_pth"),
    ".npy": ("npy", "open_npy"),
    ".safetensors": ("safetensors", "open_safetensors"),
}

_NAMED = re.compile(r"(.+\.(?:safetensors|pth|pt))::(.+)", re.IGNORECASE | re.DOTALL)


@functools.lru_cache(maxsize=1024)  # asked several times for each row
def split_name(location: str) -> tuple[str, str | None]:
    """`file::name` as the file and the name of the tensor in it (None where none is given)."""
    # Only after a suffix that holds named tensors: a folder may be called `3_aten::add`.
    match = _NAMED.fullmatch(location)
    return (match[1], match[2]) if match else (location, None)


def is_tensor_path(location: str) -> bool:
    """Whether `location` names a file of a known tensor format."""
    return _suffix(split_name(location)[0]) in SOURCES


def open_source(location: str) -> Source:
    """A view of the tensor at `location` (a path, or `path::name`).

    Raises PairError when it cannot be read, FileNotFoundError when there is no such file.
    """
    path, name = split_name(location)
    row = SOURCES.get(_suffix(path))
    if row is None:
        raise PairError(
            Reason.FORMAT_UNKNOWN,
            f"{path} has the suffix {_suffix(path)!r}; tensors are read from {', '.join(SOURCES)}",
        )
    module = importlib.import_module(f"{__name__}.{row[0]}")
    return cast(Opener, getattr(module, row[1]))(path, name)


def tensor_bytes(location: str) -> int:
    """What reading the tensor at `location` reads: all of a file, or one tensor of those in it.

    Raises as `open_source` does, OSError too.
    """
    path, name = split_name(location)
    if name is None:
        return state_of(path).size
    source = open_source(location)
    return source.elements * source.dtype.itemsize


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()
