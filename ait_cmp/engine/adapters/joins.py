"""Several tensors as one: side by side, or added up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel import widen
from ait_cmp.source import Array, Source
from ait_cmp.values.dtypes import DTYPES, DType
from ait_cmp.values.location import Step

__all__ = ["JOINERS"]

Joiner = Callable[[Sequence[Source], Step], Source]


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

    @property
    def in_one(self) -> bool:
        return any(part.in_one for part in self.parts)

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        whole = sum(self.widths) or 1
        for part, width in zip(self.parts, self.widths, strict=True):
            part.expect(
                [(start // whole * width, -(-stop // whole) * width) for start, stop in ranges]
            )

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

    @property
    def in_one(self) -> bool:
        return any(part.in_one for part in self.parts)

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        for part in self.parts:
            part.expect(ranges)

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
