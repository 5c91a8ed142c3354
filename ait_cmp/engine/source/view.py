"""A lazy, flat, typed view of one tensor, whatever the format it is stored in."""

from __future__ import annotations

import math
import mmap
import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.dtypes import DType
from ait_cmp.errors import PairError, Reason, os_reason

__all__ = ["Array", "FractalNz", "Source", "flat_range", "map_file", "open_regular"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor as an array of any strides over mapped or given memory.

    `array` holds the stored bits: types that NumPy lacks stand as integers of their size.
    `files` are all that its content depends on, the last of them the one that holds the data,
    from byte `offset` on where they lie there in a row.
    """

    dtype: DType
    array: Array
    files: tuple[str, ...] = field(default=(), kw_only=True)
    offset: int | None = field(default=None, kw_only=True)
    layout: str = field(default="ND", kw_only=True)  # the memory format, for sentences

    @property
    def shape(self) -> tuple[int, ...]:
        """The logical shape."""
        return self.array.shape

    @property
    def elements(self) -> int:
        """How many elements the tensor has."""
        return math.prod(self.shape)

    def shaped_like(self, shape: tuple[int, ...]) -> Source:
        """This tensor, its padding cropped where `shape` tells how; else as it is."""
        del shape
        return self

    def unmapped(self) -> Source:
        """This tensor, read with system calls where that can be: a file that is truncated
        under them is an error, under a mapping the end of the process."""
        if self.offset is None or not self.array.flags.c_contiguous:
            return self
        file = _Descriptor(open_regular(Path(self.files[-1])))
        return _FileSource(self.dtype, self.array, file, files=self.files, offset=self.offset)

    def read(self, start: int, stop: int) -> Array:
        """Elements [start, stop) in row-major order: 1-D, little-endian stored bits.

        A view of the mapping where they lie in a row, else a copy of just these.
        """
        return flat_range(self.array, start, stop).astype(self.dtype.storage, copy=False)


class _Descriptor:
    """A file descriptor that is closed with its last user."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


@dataclass(frozen=True, slots=True)
class _FileSource(Source):
    """A row-major tensor that is read from its file; the mapping gives only its shape."""

    file: _Descriptor

    def read(self, start: int, stop: int) -> Array:
        assert self.offset is not None
        begin, end = (self.offset + index * self.array.itemsize for index in (start, stop))
        data = b""
        while begin + len(data) < end:
            more = os.pread(self.file.number, end - begin - len(data), begin + len(data))
            if not more:
                raise PairError(
                    Reason.IN_TRUNCATED,
                    f"{self.files[-1]} was truncated while it was read; dump it again",
                )
            data += more
        return np.frombuffer(data, self.array.dtype).astype(self.dtype.storage, copy=False)


@dataclass(frozen=True, slots=True)
class FractalNz(Source):
    """A matrix in FRACTAL_NZ: stored (…, C1, N1, N0, C0), read as (…, N, C).

    Element [n, c] lies at [c // C0, n // N0, n % N0, c % C0]; `rows` and `columns` crop the
    padding off.
    """

    rows: int
    columns: int

    @classmethod
    def stored(cls, dtype: DType, array: Array, files: tuple[str, ...]) -> FractalNz:
        """The uncropped matrix of a stored array of four or more dimensions."""
        c1, n1, n0, c0 = array.shape[-4:]
        return cls(dtype, array, rows=n1 * n0, columns=c1 * c0, files=files, layout="FRACTAL_NZ")

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.array.shape[:-4], self.rows, self.columns)

    def shaped_like(self, shape: tuple[int, ...]) -> Source:
        c1, n1, n0, c0 = self.array.shape[-4:]
        fits = (
            len(shape) == self.array.ndim - 2
            and shape[:-2] == self.array.shape[:-4]
            and -(-shape[-2] // n0) == n1
            and -(-shape[-1] // c0) == c1
        )
        return replace(self, rows=shape[-2], columns=shape[-1]) if fits else self

    def read(self, start: int, stop: int) -> Array:
        if stop <= start:
            return np.empty(0, self.dtype.storage)
        first, last = start // self.columns, -(-stop // self.columns)
        c1, n1, n0, c0 = self.array.shape[-4:]
        stored = self.array.reshape(-1, c1, n1 * n0, c0)
        parts = []
        while first < last:
            matrix, row = divmod(first, self.rows)
            count = min(self.rows - row, last - first)
            rows = stored[matrix, :, row : row + count].transpose(1, 0, 2)
            parts.append(rows.reshape(count, c1 * c0)[:, : self.columns].reshape(-1))
            first += count
        skip = start % self.columns
        return np.concatenate(parts)[skip : skip + stop - start]


def flat_range(array: Array, start: int, stop: int) -> Array:
    """Elements [start, stop) of `array` in row-major order, 1-D, without copying the rest."""
    if array.ndim <= 1 or array.flags.c_contiguous:
        return array.reshape(-1)[start:stop]
    row = math.prod(array.shape[1:])
    if stop <= start or row == 0:
        return array[:0].reshape(-1)
    first, last = start // row, stop // row
    if first == (stop - 1) // row:
        return flat_range(array[first], start - first * row, stop - first * row)
    parts = []
    if start % row:
        parts.append(flat_range(array[first], start - first * row, row))
        first += 1
    parts.append(array[first:last].reshape(-1))
    if stop % row:
        parts.append(flat_range(array[last], 0, stop - last * row))
    return np.concatenate(parts)


def open_regular(path: Path) -> int:
    """A read-only descriptor of a regular file, never waiting for a FIFO or a device.

    Raises PairError FILE_UNREADABLE for anything else, FileNotFoundError when there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise PairError(Reason.FILE_UNREADABLE, f"{path} cannot be read: {os_reason(exc)}") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PairError(Reason.FILE_UNREADABLE, f"{path} is not a regular file")
    return descriptor


def map_file(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes of `path`, mapped read-only."""
    descriptor = open_regular(path)
    try:
        if os.fstat(descriptor).st_size == 0:
            return np.empty(0, np.uint8)
        mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except OSError as exc:
        raise PairError(
            Reason.FILE_UNREADABLE, f"{path} cannot be mapped: {os_reason(exc)}"
        ) from exc
    finally:
        os.close(descriptor)
    return np.frombuffer(mapped, np.uint8)
