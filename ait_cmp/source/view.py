"""A lazy, flat, typed view of one tensor, whatever the format it is stored in."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.files import FileState, OpenFile
from ait_cmp.source.header import Header, dense_strides, reach
from ait_cmp.values.dtypes import DType

__all__ = ["Array", "ArraySource", "FileSource", "FractalNz", "Source", "flat_range"]

Array = npt.NDArray[Any]
# A strided tensor up to this size is copied where it may not be mapped; see `unmapped`.
_COPY_LIMIT = 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Source(ABC):
    """A tensor whose elements are read as they are asked for.

    `states` are those of all files that its content depends on, as they were opened; `layout` is
    the memory format, for sentences.
    """

    dtype: DType
    shape: tuple[int, ...]
    states: tuple[FileState, ...] = field(default=(), kw_only=True)
    layout: str = field(default="ND", kw_only=True)

    @property
    def elements(self) -> int:
        """How many elements the tensor has."""
        return math.prod(self.shape)

    @abstractmethod
    def read(self, start: int, stop: int) -> Array:
        """Elements [start, stop) in row-major order: 1-D, little-endian stored bits.

        Types that NumPy lacks stand as integers of their size. A view of the file where they lie
        in a row, else a copy of just these.
        """

    @property
    def in_one(self) -> bool:
        """Whether to read some of it all of it is copied from far away, so that several workers
        would each do so."""
        return False

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """The elements in these ranges will be read soon, in this order: what is far away may be
        asked for already."""
        del ranges

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
        return self

    def seen_as(self, view: Callable[[Array], Array]) -> Source | None:
        """What `view` makes of an array of these elements, without touching any; None where they
        can only be read in order."""
        del view
        return None

    def reshaped(self, shape: tuple[int, ...]) -> Source:
        """The elements in the same order in another shape, of as many."""
        return _Reshaped(self.dtype, shape, self, states=self.states, layout=self.layout)


@dataclass(frozen=True, slots=True)
class ArraySource(Source):
    """A tensor in memory, of any strides and byte order, as stored bits."""

    array: Array

    def read(self, start: int, stop: int) -> Array:
        return flat_range(self.array, start, stop).astype(self.dtype.storage, copy=False)

    def seen_as(self, view: Callable[[Array], Array]) -> Source:
        array = view(self.array)
        return replace(self, shape=array.shape, array=array)

    def reshaped(self, shape: tuple[int, ...]) -> Source:
        if not self.array.flags.c_contiguous:
            return Source.reshaped(self, shape)
        return replace(self, shape=shape, array=self.array.reshape(shape))


@dataclass(frozen=True, slots=True)
class FileSource(Source):
    """A tensor in a file, mapped or read: `header` says where."""

    header: Header
    file: OpenFile = field(repr=False)
    mapped: bool = True

    @property
    def stored(self) -> np.dtype[Any]:
        """The NumPy type of the bits in the file."""
        return _stored(self.dtype, self.header.big_endian)

    def array(self) -> Array:
        """All elements, mapped or copied."""
        header, stored = self.header, self.stored
        if self.file.is_mapped:
            return np.ndarray(header.shape, stored, self.file.map(), header.offset, header.strides)
        strides = self.strides
        data = self.file.copy(header.offset, reach(header.shape, strides, stored.itemsize))
        return np.ndarray(header.shape, stored, data, 0, strides)

    @property
    def strides(self) -> tuple[int, ...]:
        """From each element to the next, in bytes."""
        dense = dense_strides(self.header.shape)
        return self.header.strides or _bytes(dense, self.stored.itemsize)

    @property
    def in_one(self) -> bool:
        return not self.file.is_mapped and self.header.strides is not None

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        if self.file.is_mapped or self.header.strides is not None:
            return
        size, begin = self.stored.itemsize, self.header.offset
        self.file.expect([(begin + start * size, begin + stop * size) for start, stop in ranges])

    def read(self, start: int, stop: int) -> Array:
        header = self.header
        if stop <= start:
            return np.empty(0, self.dtype.storage)
        if header.strides is not None:
            part = flat_range(self.array(), start, stop)
        else:
            part = self._row(start, stop - start)
        return self._signed(part, start % 2).astype(self.dtype.storage, copy=False)

    def unmapped(self) -> Source:
        if not self.file.is_mapped:
            return self
        return replace(self, mapped=False) if self.header.strides is None else self.copied()

    def copied(self) -> ArraySource | FileSource:
        """This tensor in memory; as it is where it takes more than 1 GiB."""
        header, stored, strides = self.header, self.stored, self.strides
        extent = reach(header.shape, strides, stored.itemsize)
        if extent > _COPY_LIMIT:
            return self
        data = self.file.read(header.offset, extent)
        array: Array = np.ndarray(header.shape, stored, data, 0, strides)
        array = self._signed(array, 0)
        return ArraySource(self.dtype, self.shape, array, states=self.states, layout=self.layout)

    def seen_as(self, view: Callable[[Array], Array]) -> Source | None:
        is_far = not self.file.is_mapped
        if self.header.conjugated or not (self.mapped or is_far):
            return None
        header, strides = self.header, self.strides
        # The same view of memory that is never touched tells where its elements lie in the file.
        hollow = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), header.shape, strides)
        seen = view(hollow)
        if is_far and list(seen.strides) == sorted(seen.strides, reverse=True):
            return None  # the elements come in the order in which they lie there
        start = seen.__array_interface__["data"][0] - hollow.__array_interface__["data"][0]
        place = replace(
            header, shape=seen.shape, offset=header.offset + start, strides=seen.strides
        )
        return replace(self, shape=seen.shape, header=place)

    def reshaped(self, shape: tuple[int, ...]) -> Source:
        if self.header.strides is not None:
            return Source.reshaped(self, shape)
        return replace(self, shape=shape, header=replace(self.header, shape=shape))

    def _signed(self, stored: Array, odd: int) -> Array:
        """The values of what is stored, the first of which is the second of two where `odd`."""
        if self.header.negated:
            stored = np.negative(stored)
        if self.header.conjugated:
            stored = stored.copy()
            imaginary = stored[..., 1 - odd :: 2]
            np.negative(imaginary, out=imaginary)
        return stored

    def _row(self, start: int, count: int) -> Array:
        """Elements of a tensor without gaps."""
        stored = self.stored
        offset = self.header.offset + start * stored.itemsize
        if self.mapped:
            return np.frombuffer(self.file.map(), stored, count, offset)
        return np.frombuffer(self.file.read(offset, count * stored.itemsize), stored)


@dataclass(frozen=True, slots=True)
class FractalNz(Source):
    """A matrix in FRACTAL_NZ: stored (…, C1, N1, N0, C0), read as (…, N, C).

    Element [n, c] lies at [c // C0, n // N0, n % N0, c % C0] of `inner`; the last two sizes of
    `shape` crop the padding off.
    """

    inner: ArraySource | FileSource

    @classmethod
    def of(cls, inner: FileSource) -> FractalNz:
        """The uncropped matrix of `inner`, which has four or more dimensions."""
        *outer, c1, n1, n0, c0 = inner.shape
        shape = (*outer, n1 * n0, c1 * c0)
        return cls(inner.dtype, shape, inner, states=inner.states, layout=inner.layout)

    def shaped_like(self, shape: tuple[int, ...]) -> Source:
        *outer, c1, n1, n0, c0 = self.inner.shape
        fits = (
            len(shape) == len(self.shape)
            and shape[:-2] == tuple(outer)
            and -(-shape[-2] // n0) == n1
            and -(-shape[-1] // c0) == c1
        )
        return replace(self, shape=shape) if fits else self

    def unmapped(self) -> Source:
        inner = self.inner
        if not isinstance(inner, FileSource) or not inner.file.is_mapped:
            return self
        return replace(self, inner=inner.copied())

    @property
    def in_one(self) -> bool:
        return isinstance(self.inner, FileSource) and not self.inner.file.is_mapped

    def read(self, start: int, stop: int) -> Array:
        if stop <= start:
            return np.empty(0, self.dtype.storage)
        height, width = self.shape[-2:]
        first, last = start // width, -(-stop // width)
        c1, n1, n0, c0 = self.inner.shape[-4:]
        inner = self.inner
        stored = inner.array() if isinstance(inner, FileSource) else inner.array
        stored = stored.reshape(-1, c1, n1 * n0, c0)
        parts = []
        while first < last:
            matrix, row = divmod(first, height)
            count = min(height - row, last - first)
            rows = stored[matrix, :, row : row + count].transpose(1, 0, 2)
            parts.append(rows.reshape(count, c1 * c0)[:, :width].reshape(-1))
            first += count
        skip = start % width
        return np.concatenate(parts)[skip : skip + stop - start]


@dataclass(frozen=True, slots=True)
class _Reshaped(Source):
    """The elements of `inner` in the same order, in another shape."""

    inner: Source

    @property
    def in_one(self) -> bool:
        return self.inner.in_one

    def read(self, start: int, stop: int) -> Array:
        return self.inner.read(start, stop)

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        self.inner.expect(ranges)


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


@functools.cache
def _stored(dtype: DType, big_endian: bool) -> np.dtype[Any]:
    return np.dtype(dtype.storage).newbyteorder(">" if big_endian else "<")


def _bytes(strides: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    return tuple(step * itemsize for step in strides)
