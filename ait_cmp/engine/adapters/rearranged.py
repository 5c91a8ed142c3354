"""The elements of a tensor in another order, read as they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ait_cmp.source import Array, Source

__all__ = ["Rearranged"]

_GAP = 64  # elements that are read and dropped rather than asked for one by one


@dataclass(frozen=True, slots=True)
class Rearranged(Source):
    """Elements of `inner` in another order: `strides` and `start` are in its flat elements."""

    inner: Source
    strides: tuple[int, ...]
    start: int

    @property
    def in_one(self) -> bool:
        return self.inner.in_one

    def read(self, start: int, stop: int) -> Array:
        if stop <= start:
            return np.empty(0, self.dtype.storage)
        return self._read(self.shape, self.strides, self.start, start, stop)

    def _read(
        self, shape: Sequence[int], strides: Sequence[int], origin: int, start: int, stop: int
    ) -> Array:
        """Elements [start, stop) of the box of this shape: whole slabs of it, and two rests."""
        if not shape:
            return self.inner.read(origin, origin + 1)
        slab = math.prod(shape[1:])
        first, last = start // slab, (stop - 1) // slab
        if first == last and (start % slab or stop % slab):
            within = origin + first * strides[0]
            skip = first * slab
            return self._read(shape[1:], strides[1:], within, start - skip, stop - skip)
        parts = []
        if start % slab:
            rest = (first + 1) * slab
            parts.append(self._read(shape, strides, origin, start, rest))
            start = rest
        whole = stop - stop % slab
        if start < whole:
            count = (whole - start) // slab
            within = origin + start // slab * strides[0]
            parts.append(self._box((count, *shape[1:]), strides, within).reshape(-1))
        if whole < stop:
            parts.append(self._read(shape, strides, origin, max(start, whole), stop))
        return np.concatenate(parts)

    def _box(self, shape: Sequence[int], strides: Sequence[int], origin: int) -> Array:
        """A whole box, read in the order in which `inner` has it."""
        order = sorted(range(len(shape)), key=lambda axis: -strides[axis])
        sizes, steps = _merged([shape[axis] for axis in order], [strides[axis] for axis in order])
        box = np.empty((math.prod(sizes[:-1]), sizes[-1]), self.dtype.storage)
        places = _offsets(sizes[:-1], steps[:-1])
        length = (sizes[-1] - 1) * steps[-1] + 1
        self.inner.expect([(origin + place, origin + place + length) for place in places])
        for row, place in enumerate(places):
            box[row] = self._run(origin + place, sizes[-1], steps[-1])
        stored = box.reshape([shape[axis] for axis in order])
        return stored.transpose(np.argsort(order))

    def _run(self, begin: int, count: int, step: int) -> Array:
        if step <= _GAP:
            return self.inner.read(begin, begin + (count - 1) * step + 1)[:: step or 1]
        places = range(begin, begin + count * step, step)
        return np.concatenate([self.inner.read(place, place + 1) for place in places])


def _merged(sizes: Sequence[int], steps: Sequence[int]) -> tuple[list[int], list[int]]:
    """The same elements in as few axes as they need, so that runs are long."""
    merged_sizes, merged_steps = [1], [1]
    for size, step in zip(sizes, steps, strict=True):
        if size == 1:
            continue
        if merged_sizes[-1] == 1:
            merged_sizes[-1], merged_steps[-1] = size, step
        elif merged_steps[-1] == size * step:
            merged_sizes[-1], merged_steps[-1] = merged_sizes[-1] * size, step
        else:
            merged_sizes.append(size)
            merged_steps.append(step)
    return merged_sizes, merged_steps


def _offsets(sizes: Sequence[int], steps: Sequence[int]) -> list[int]:
    places: npt.NDArray[np.int64] = np.zeros(1, np.int64)
    for size, step in zip(sizes, steps, strict=True):
        places = (places[:, None] + np.arange(size) * step).reshape(-1)
    return [int(place) for place in places]
