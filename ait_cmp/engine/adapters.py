"""A location as one source: its files opened, joined and rearranged without being loaded.

Every adapter is a view: reading a range of elements reads little more than these. To add one:
its name and arguments in `location.py`, a row in `VIEWS` (one tensor) or `JOINERS` (several).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel import widen
from ait_cmp.source import Array, Source, open_source
from ait_cmp.source.header import dense_strides
from ait_cmp.values.dtypes import DTYPES, DType
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location, Step

__all__ = ["JOINERS", "VIEWS", "adapt", "open_files", "open_location"]

View = Callable[[Array, Step], Array]
Joiner = Callable[[Sequence[Source], Step], Source]

_GAP = 64  # elements that are read and dropped rather than asked for one by one


def open_location(location: Location) -> Source:
    """The tensor at `location`. Raises as `open_source` does, PairError ADAPTER_MISMATCH too."""
    return adapt(open_files(location), location.steps)


def open_files(location: Location, mapped: bool = True) -> list[Source]:
    """The files of `location` as they are stored."""
    sources = [open_source(file) for file in location.files]
    return sources if mapped else [source.unmapped() for source in sources]


def adapt(sources: Sequence[Source], steps: Sequence[Step]) -> Source:
    """The one tensor that `steps` make of `sources`.

    Raises PairError ADAPTER_MISMATCH, with the adapter and the shapes that it met.
    """
    for step in steps:
        try:
            if step.joins:
                sources = [JOINERS[step.name](sources, step)]
            else:
                sources = [_viewed(source, step) for source in sources]
        except (ValueError, IndexError) as exc:  # NumPy's words on axes and sizes
            shapes = " and ".join(dict.fromkeys(_described(source) for source in sources))
            raise PairError(
                Reason.ADAPTER_MISMATCH, f"the adapter {step} does not fit {shapes}: {exc}"
            ) from exc
    (source,) = sources
    return source


def _described(source: Source) -> str:
    return f"{source.dtype.name} {list(source.shape)}"


# -- one tensor, seen otherwise


def _viewed(source: Source, step: Step) -> Source:
    if step.name == "reshape":
        return _reshaped(source, step)

    def view(array: Array) -> Array:
        return VIEWS[step.name](array, step)

    seen = source.seen_as(view)
    if seen:
        return seen
    # The same view of memory that is never touched tells where its elements lie in the source.
    flat = np.lib.stride_tricks.as_strided(
        np.empty(1, np.int8), source.shape, dense_strides(source.shape)
    )
    array = view(flat)
    start = array.__array_interface__["data"][0] - flat.__array_interface__["data"][0]
    return _Rearranged(
        source.dtype,
        array.shape,
        states=source.states,
        layout=source.layout,
        inner=source,
        strides=array.strides,
        start=start,
    )


def _reshaped(source: Source, step: Step) -> Source:
    shape = list(step.numbers())
    known = math.prod(size for size in shape if size != -1)
    if shape.count(-1) == 1 and known and source.elements % known == 0:
        shape[shape.index(-1)] = source.elements // known
    if min(shape, default=0) < 0 or math.prod(shape) != source.elements:
        raise ValueError(f"{source.elements} elements cannot be {list(step.numbers())}")
    return source.reshaped(tuple(shape))


def _transpose(array: Array, step: Step) -> Array:
    return array.swapaxes(*step.numbers())


def _permute(array: Array, step: Step) -> Array:
    return array.transpose(step.numbers())


def _squeeze(array: Array, step: Step) -> Array:
    return array.squeeze(step.numbers() or None)


def _slice(array: Array, step: Step) -> Array:
    index = step.index()
    if len(index) > array.ndim:
        raise ValueError(f"it has {len(index)} indices for {array.ndim} dimensions")
    for size, one in zip(array.shape, index, strict=False):
        # NumPy would cut a range to what there is, and less would be compared than was meant.
        if isinstance(one, slice) and not _within(one, size):
            raise ValueError(f"a dimension of {size} has no {_text(one)}")
    view: Array = array[(*index, ...)]
    return view


def _within(one: slice, size: int) -> bool:
    bounds = [bound + size if bound < 0 else bound for bound in (one.start or 0, one.stop or 0)]
    start, stop = bounds[0], size if one.stop is None else bounds[1]
    return 0 <= start <= stop <= size


def _text(one: slice) -> str:
    return f"{'' if one.start is None else one.start}:{'' if one.stop is None else one.stop}"


VIEWS: dict[str, View] = {
    "transpose": _transpose,
    "permute": _permute,
    "squeeze": _squeeze,
    "slice": _slice,
}


@dataclass(frozen=True, slots=True)
class _Rearranged(Source):
    """Elements of `inner` in another order: `strides` and `start` are in its flat elements."""

    inner: Source
    strides: tuple[int, ...]
    start: int

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
        for row, place in enumerate(_offsets(sizes[:-1], steps[:-1])):
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


# -- several tensors, joined


def _concat(parts: Sequence[Source], step: Step) -> Source:
    (asked,) = step.numbers()
    first = parts[0]
    dims = len(first.shape)
    if not -dims <= asked < dims:
        raise ValueError(f"there is no dimension {asked}")
    axis = asked % dims
    _check_dtypes(parts)
    around = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if len(around) > 1 or any(len(part.shape) != dims for part in parts):
        raise ValueError(f"the shapes must be equal but for dimension {axis}")
    size = sum(part.shape[axis] for part in parts)
    shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
    return _Joined(
        first.dtype,
        shape,
        states=tuple(state for part in parts for state in part.states),
        layout=first.layout,
        parts=tuple(parts),
        widths=tuple(math.prod(part.shape[axis:]) for part in parts),
    )


def _sum(parts: Sequence[Source], step: Step) -> Source:
    del step
    first = parts[0]
    _check_dtypes(parts)
    if any(part.shape != first.shape for part in parts):
        raise ValueError("the shapes must be equal")
    if not first.dtype.is_floating and first.dtype.name not in _COUNTABLE:
        raise ValueError(f"a sum of {first.dtype.name} may not fit its type")
    dtype = first.dtype if first.dtype.is_floating else DTYPES["int64"]
    return _Summed(
        dtype,
        first.shape,
        states=tuple(state for part in parts for state in part.states),
        layout=first.layout,
        parts=tuple(parts),
    )


_COUNTABLE = ("int8", "uint8", "int16", "uint16", "int32", "uint32")


def _check_dtypes(parts: Sequence[Source]) -> None:
    if any(part.dtype != parts[0].dtype for part in parts):
        raise ValueError("the types must be equal")


JOINERS: dict[str, Joiner] = {"concat": _concat, "sum": _sum}


@dataclass(frozen=True, slots=True)
class _Joined(Source):
    """Tensors side by side: each row of the whole is a row of every part in turn.

    `widths` are the elements that each part has in such a row.
    """

    parts: tuple[Source, ...]
    widths: tuple[int, ...]

    def read(self, start: int, stop: int) -> Array:
        width = sum(self.widths)
        if stop <= start:
            return np.empty(0, self.dtype.storage)
        first, last = -(-start // width), stop // width
        if first > last:  # within one row
            return self._within_row(last, start - last * width, stop - last * width)
        head = self._within_row(first - 1, start - (first - 1) * width, width)
        tail = self._within_row(last, 0, stop - last * width)
        return np.concatenate([head, self._rows(first, last), tail])

    def _rows(self, first: int, last: int) -> Array:
        rows = [
            part.read(first * width, last * width).reshape(last - first, width)
            for part, width in zip(self.parts, self.widths, strict=True)
        ]
        return np.concatenate(rows, axis=1).reshape(-1)

    def _within_row(self, row: int, start: int, stop: int) -> Array:
        pieces = [np.empty(0, self.dtype.storage)]
        for part, width in zip(self.parts, self.widths, strict=True):
            begin, end = max(start, 0), min(stop, width)
            if begin < end:
                pieces.append(part.read(row * width + begin, row * width + end))
            start, stop = start - width, stop - width
        return np.concatenate(pieces)


@dataclass(frozen=True, slots=True)
class _Summed(Source):
    """The sum of tensors, added in float64 and rounded once to their type.

    That is the result that the library's all-reduce has where it adds in a wider type. Integers
    are added exactly, as int64.
    """

    parts: tuple[Source, ...]

    def read(self, start: int, stop: int) -> Array:
        if not self.dtype.is_floating:
            return _total([part.read(start, stop).astype(np.int64) for part in self.parts])
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are results, too
            values = [widen(part.read(start, stop), part.dtype) for part in self.parts]
            return _narrow(_total(values), self.dtype)


def _total(values: Sequence[Array]) -> Array:
    total = values[0].copy()
    for one in values[1:]:
        total += one
    return total


def _narrow(values: npt.NDArray[np.float64], dtype: DType) -> Array:
    """`values` rounded to the stored bits of a floating type."""
    if np.dtype(dtype.storage).kind == "f":
        return values.astype(dtype.storage)
    import torch

    rounded = torch.from_numpy(values).to(getattr(torch, dtype.name))
    return rounded.view(torch.uint8).numpy().view(dtype.storage)
