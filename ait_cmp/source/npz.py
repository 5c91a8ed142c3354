"""`.npz` files: NumPy's arrays by name, each a `.npy` file in a zip archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ait_cmp.files import OpenFile, open_file
from ait_cmp.source.containers import Containers, one_of
from ait_cmp.source.header import Header, UnsupportedError
from ait_cmp.source.npy import MAGIC, array_at
from ait_cmp.source.zip_directory import ZipEntry, read_directory
from ait_cmp.values.errors import PairError, Reason

__all__ = ["npz_names", "read_npz"]

_SUFFIX = ".npy"  # NumPy puts it behind each name


def read_npz(file: OpenFile, name: str | None) -> Header:
    """The array `name` of `file`; without a name, the only one.

    Raises PairError: NPZ_MALFORMED for a file that does not hold together, NOT_SUPPORTED for a
    compressed one, NOT_A_TENSOR where there is no such name, DTYPE_UNSUPPORTED.
    """
    with _told(file.path):
        entry = one_of(_CONTAINERS.content(file), name, file.path, "arrays")
        if entry.compressed:
            raise UnsupportedError(
                "its arrays are compressed; write them with numpy.savez instead of "
                "savez_compressed, as by numpy.savez(other_path, **numpy.load(path))"
            )
        return array_at(file, entry.start, entry.start + entry.size)


def npz_names(path: str) -> list[str] | None:
    """The names of all arrays in `path`, in its order; None where there is none. Raises as opening
    one does."""
    with _told(path):
        return list(_CONTAINERS.content(open_file(path))) or None


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Whatever is wrong with a file, as a PairError."""
    try:
        yield
    except UnsupportedError as exc:
        raise PairError(Reason.NOT_SUPPORTED, f"{path} is not supported: {exc}") from exc
    except ValueError as exc:
        raise PairError(
            Reason.NPZ_MALFORMED, f"{path} is no whole .npz file: {exc}; save it again"
        ) from exc


def _read(file: OpenFile) -> dict[str, ZipEntry]:
    """The arrays by their names."""
    arrays: dict[str, ZipEntry] = {}
    for called, entry in read_directory(file).items():
        name = called.removesuffix(_SUFFIX)
        if name == called and not _is_array(file, entry):
            continue  # NumPy gives the bytes of such an entry
        if name in arrays:
            raise ValueError(f"two arrays named {name[:80]!r}")
        arrays[name] = entry
    return arrays


_CONTAINERS = Containers(_read)


def _is_array(file: OpenFile, entry: ZipEntry) -> bool:
    start = file.read(entry.start, min(len(MAGIC), entry.size))
    return not entry.compressed and start == MAGIC
