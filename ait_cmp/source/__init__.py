"""One module per file format; each reads where a tensor lies in its file.

To add a format: one module with a function `(file, name) -> Header` and one row in `SOURCES`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from ait_cmp.files import FileState, OpenFile, open_file, open_soon, state_of
from ait_cmp.source.fingerprints import (
    FingerprintSource,
    kept_elements,
    kept_source,
    needs_tensors,
)
from ait_cmp.source.header import Elsewhere, Header, Kept
from ait_cmp.source.memory import from_array, from_memory
from ait_cmp.source.view import Array, FileSource, FractalNz, Source
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import is_url, suffix_of

__all__ = [
    "SOURCES",
    "Array",
    "FingerprintSource",
    "Format",
    "Source",
    "fingerprint_lines",
    "from_array",
    "from_memory",
    "is_tensor_path",
    "keeps_order",
    "kept_elements",
    "names_soon",
    "needs_tensors",
    "open_source",
    "split_name",
    "tensor_bytes",
    "tensor_names",
]

Reader = Callable[[OpenFile, str | None], Header | Elsewhere | Kept]
Liner = Callable[[str], list[bytes] | None]
Lister = Callable[[str], list[str] | None]


@dataclass(frozen=True, slots=True)
class Format:
    """A module of this package, its function, and the one that lists the names in a file, where
    files hold tensors by name: in the order in which they were saved, if it `keeps_order`; and the
    one that gives the `lines` of a file, where files may be of fingerprints.

    The functions raise PairError for what cannot be read. Without names the second argument of the
    first is None. Modules are imported on first use.
    """

    module: str
    function: str
    names: str = ""
    keeps_order: bool = True
    lines: str = ""

    @property
    def has_names(self) -> bool:
        """Whether its files hold tensors by name."""
        return bool(self.names)


SOURCES: dict[str, Format] = {
    ".bin": Format("bin_file", "read_bin", "bin_names"),
    ".pth": Format("pth", "read_pth", "pth_names"),
    ".pt": Format("pth", "read_pth", "pth_names"),
    ".npy": Format("npy", "read_npy"),
    ".npz": Format("npz", "read_npz", "npz_names"),
    ".safetensors": Format(
        "safetensors", "read_safetensors", "safetensors_names", False, "fingerprint_lines"
    ),
}

_ALIAS_DEPTH = 8


@functools.lru_cache(maxsize=1024)  # asked several times for each row
def split_name(location: str) -> tuple[str, str | None]:
    """`file::name` as the file and the name of the tensor in it (None where none is given)."""
    # Only after a suffix that holds named tensors: a folder may be called `3_aten::add`.
    place = location.rfind("::")
    while place > 0:
        known = SOURCES.get(suffix_of(location[:place]))
        if known and known.has_names and location[place + 2 :]:
            return location[:place], location[place + 2 :]
        place = location.rfind("::", 0, place + 1)
    return location, None


def is_tensor_path(location: str) -> bool:
    """Whether `location` names a file of a known tensor format."""
    return suffix_of(split_name(location)[0]) in SOURCES


def tensor_names(path: str) -> list[str] | None:
    """What `path::` may be followed by, for the tensors in `path` in its order; None where it
    holds one without a name, or none at all. Raises as `open_source` does."""
    row = SOURCES.get(suffix_of(path))
    if row is None or not row.names:
        return None
    return cast(Lister, _imported(row.module, row.names))(path)


def fingerprint_lines(path: str) -> list[bytes] | None:
    """What a file of fingerprints says of their tensors, line by line; None where `path` is another
    file. Raises as `open_source` does."""
    row = SOURCES.get(suffix_of(path))
    if row is None or not row.lines:
        return None
    return cast(Liner, _imported(row.module, row.lines))(path)


def names_soon(paths: Iterable[str]) -> None:
    """`tensor_names` will be asked of these, about in this order."""
    open_soon([path for path in paths if is_url(path) and _may_have_names(path)])


def _may_have_names(path: str) -> bool:
    row = SOURCES.get(suffix_of(path))
    return row is not None and row.has_names


def keeps_order(path: str) -> bool:
    """Whether the tensors in `path` are listed in the order in which they were saved."""
    row = SOURCES.get(suffix_of(path))
    return row is not None and row.keeps_order


def open_source(location: str) -> Source:
    """A view of the tensor at `location` (a path, or `path::name`).

    Raises PairError when it cannot be read, FileNotFoundError when there is no such file.
    """
    path, name = split_name(location)
    states: tuple[FileState, ...] = ()
    promised: list[Elsewhere] = []
    for _ in range(_ALIAS_DEPTH):
        reader = _reader(path)
        file = open_file(path)
        states += (file.state,)
        header = reader(file, name)
        if isinstance(header, Header):
            _refuse_others(promised, header, location)
            return _view(header, file, states)
        if isinstance(header, Kept):
            return kept_source(header, file, location)
        promised.append(header)
        path = header.path
    raise PairError(Reason.BIN_ALIAS, f"{location} points to files that point to each other")


def _refuse_others(promised: Sequence[Elsewhere], found: Header, location: str) -> None:
    """Raise PairError BIN_ALIAS where `found` is not what an alias on the way to it promised."""
    for one in promised:
        if (one.dtype, one.shape) != (found.dtype, found.shape):
            raise PairError(
                Reason.BIN_ALIAS,
                f"{location} says that its data, {_spelled(one)}, were saved as {one.path}, which "
                f"leads to {_spelled(found)}; dump it again",
            )


def _spelled(tensor: Elsewhere | Header) -> str:
    return f"dims {list(tensor.shape)} of {tensor.dtype or 'an unknown type'}"


def tensor_bytes(location: str) -> int:
    """What reading the tensor at `location` reads: all of a file, or one tensor of those in it.

    Raises as `open_source` does, OSError too.
    """
    path, name = split_name(location)
    if name is None:
        return state_of(path).size
    source = open_source(location)
    if isinstance(source, FingerprintSource):
        return source.size
    return source.elements * source.dtype.itemsize


def _view(header: Header, file: OpenFile, states: tuple[FileState, ...]) -> Source:
    source = FileSource(
        header.dtype,
        header.shape,
        header,
        file,
        file.is_mapped,
        states=states,
        layout=header.layout,
    )
    is_fractal = header.layout == "FRACTAL_NZ" and len(header.shape) >= 4
    return FractalNz.of(source) if is_fractal else source


def _reader(path: str) -> Reader:
    suffix = suffix_of(path)
    if suffix in SOURCES:
        row = SOURCES[suffix]
        return cast(Reader, _imported(row.module, row.function))
    file, _, name = path.rpartition("::")
    if name and suffix_of(file) in SOURCES:
        raise PairError(
            Reason.NOT_A_TENSOR, f"{file} holds one tensor without a name; leave ::{name} out"
        )
    raise PairError(
        Reason.FORMAT_UNKNOWN,
        f"{path} has the suffix {suffix!r}; tensors are read from {', '.join(SOURCES)}",
    )


@functools.cache
def _imported(module: str, function: str) -> object:
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)
