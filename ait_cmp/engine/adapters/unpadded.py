"""The positions of a tensor that its padding mask keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel import widen
from ait_cmp.source import Array, Source, open_source
from ait_cmp.values.location import Step

__all__ = ["SELECTORS"]

_MOST = 1 << 26  # positions of a mask; it is held in memory


def _unpad(source: Source, step: Step) -> Source:
    """The positions (batch, sequence) where the mask is 1, one after the other; with a number
    those of that sequence."""
    file, *numbers = step.arguments
    try:
        mask = open_source(file).unmapped()
    except FileNotFoundError as exc:
        raise ValueError(f"the mask {file} does not exist") from exc
    ones = _ones(mask, file)
    for number in map(int, numbers):
        ones = _only(ones, number)
    kept, dims = _kept(ones, source.shape)
    # Where runs of kept positions begin and end.
    turns = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))
    starts, stops = turns[::2], turns[1::2]
    upto = np.cumsum(stops - starts)
    return _Unpadded(
        source.dtype,
        (int(upto[-1]) if upto.size else 0, *source.shape[dims:]),
        states=(*source.states, *mask.states),
        layout=source.layout,
        inner=source,
        starts=starts,
        upto=upto,
    )


def _ones(mask: Source, file: str) -> npt.NDArray[np.bool_]:
    """Where `mask` is 1."""
    if mask.elements > _MOST:
        raise ValueError(f"the mask {file} has {mask.elements} elements, more than {_MOST}")
    values = widen(mask.read(0, mask.elements), mask.dtype)
    ones: npt.NDArray[np.bool_] = values == 1
    if not (ones | (values == 0)).all():
        raise ValueError(f"the mask {file} holds other values than 0 and 1")
    return ones.reshape(mask.shape)


def _only(ones: npt.NDArray[np.bool_], number: int) -> npt.NDArray[np.bool_]:
    """Where a mask is 1 in one sequence of the batch."""
    if ones.ndim < 2 or number >= len(ones):
        raise ValueError(f"the mask, {list(ones.shape)}, has no sequence {number}")
    kept = np.zeros_like(ones)
    kept[number] = ones[number]
    return kept


def _kept(ones: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> tuple[npt.NDArray[np.bool_], int]:
    """Which positions are kept, in a row, and how many dimensions of `shape` they are."""
    dims = ones.ndim
    if dims and shape[:dims] == ones.shape:
        return ones.reshape(-1), dims
    length = shape[dims - 1] if 0 < dims <= len(shape) else 0
    if length and shape[: dims - 1] == ones.shape[:-1] and length < ones.shape[-1]:
        # With a cache of keys the mask is for all positions so far, the tensor for the last.
        return ones[..., -length:].reshape(-1), dims
    if dims and shape and shape[0] == ones.size:  # batch and sequence are one dimension
        return ones.reshape(-1), 1
    raise ValueError(f"the first dimensions are not those of the mask, {list(ones.shape)}")


SELECTORS: dict[str, Callable[[Source, Step], Source]] = {"unpad": _unpad}


@dataclass(frozen=True, slots=True)
class _Unpadded(Source):
    """Runs of positions of `inner`: where each begins, and how many are kept up to its end."""

    inner: Source
    starts: npt.NDArray[np.int64]
    upto: npt.NDArray[np.int64]

    def read(self, start: int, stop: int) -> Array:
        width = math.prod(self.shape[1:])
        parts = [np.empty(0, self.dtype.storage)]
        run = int(np.searchsorted(self.upto, start // width, side="right")) if width else 0
        while start < stop:
            before = int(self.upto[run - 1]) if run else 0
            end = min(stop, int(self.upto[run]) * width)
            shift = (int(self.starts[run]) - before) * width
            parts.append(self.inner.read(start + shift, end + shift))
            start, run = end, run + 1
        return np.concatenate(parts) if len(parts) > 2 else parts[-1]
