"""A lazy, flat, typed view of one tensor, whatever the format it is stored in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.files import FileState, OpenFile
from ait_cmp.values.dtypes import DType

__all__ = ["Array", "FractalNz", "Source", "flat_range", "map_bytes", "reach"]

Array = npt.NDArray[Any]
# A strided tensor up to this size is copied where it may not be mapped; see `unmapped`.
_COPY_LIMIT = 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor as an array of any strides over mapped or given memory.

    `array` holds the stored bits: types that NumPy lacks stand as integers of their size.
    `states` are those of all files that its content depends on, as they were opened; `file` holds
    the data, from byte `offset` on.
    """

    dtype: DType
    array: Array
    states: tuple[FileState, ...] = field(default=(), kw_only=True)
    file: OpenFile | None = field(default=None, kw_only=True, repr=False, compare=False)
    offset: int = field(default=0, kw_only=True)
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
        """This tensor, read with system calls: a file that is truncated under them is an
        error, under a mapping the end of the process.

        Where the elements do not lie in a row, all of them are read at once; beyond 1 GiB the
        tensor stays mapped.
        """
        if self.file is None:
            return self
        if self.array.flags.c_contiguous and type(self) is Source:
            return _FileSource(
                self.dtype, self.array, states=self.states, file=self.file, offset=self.offset
            )
        extent = reach(self.array.shape, self.array.strides, self.array.itemsize)
        if extent > _COPY_LIMIT:
            return self
        array: Array = np.ndarray(
            self.array.shape,
            self.array.dtype,
            self.file.read(self.offset, extent),
            strides=self.array.strides,
        )
        return replace(self, array=array)

    def read(self, start: int, stop: int) -> Array:
        """Elements [start, stop) in row-major order: 1-D, little-endian stored bits.

        A view of the mapping where they lie in a row, else a copy of just these.
        """
        return flat_range(self.array, start, stop).astype(self.dtype.storage, copy=False)


@dataclass(frozen=True, slots=True)
class _FileSource(Source):
    """A row-major tensor that is read from its file; the mapping gives only its shape."""

    def read(self, start: int, stop: int) -> Array:
        assert self.file is not None
        itemsize = self.array.itemsize
        data = self.file.read(self.offset + start * itemsize, (stop - start) * itemsize)
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
    def stored(cls, source: Source) -> FractalNz:
        """The uncropped matrix of `source`, which has four or more dimensions."""
        c1, n1, n0, c0 = source.shape[-4:]
        return cls(
            source.dtype,
            source.array,
            rows=n1 * n0,
            columns=c1 * c0,
            states=source.states,
            file=source.file,
            offset=source.offset,
            layout="FRACTAL_NZ",
        )

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


def map_bytes(file: OpenFile) -> npt.NDArray[np.uint8]:
    """The bytes of `file`, mapped read-only."""
    return np.frombuffer(file.map(), np.uint8) if file.size else np.empty(0, np.uint8)


def reach(shape: Sequence[int], strides: Sequence[int], itemsize: int = 1) -> int:
    """From the first element to the end of the last, in the unit of `strides`, none negative."""
    if 0 in shape:
        return 0
    return sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) + itemsize
