"""A tensor without some of its positions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.adapters.runs import kept_runs
from ait_cmp.source import Source, from_memory
from ait_cmp.values.location import Step

__all__ = ["drop", "fill", "filling"]

Shape = tuple[int, ...]


def drop(source: Source, step: Step) -> Source:
    """The positions of the first dimensions, so many as the first argument says, one after the
    other, without those that the other arguments name."""
    dims, kept = _kept(source.shape, step)
    return kept_runs(source, kept, dims)


def filling(shape: Shape, step: Step) -> tuple[Shape, Step]:
    """What `drop` leaves of a shape, and the step that brings that back to it, zeros at the
    positions that were left out."""
    dims, kept = _kept(shape, step)
    back = Step("fill", (str(dims), *map(str, shape[:dims]), *step.arguments[1:]))
    return (int(kept.sum()), *shape[dims:]), back


def fill(source: Source, step: Step) -> Source:
    """What `filling` has as its step: all of it in memory."""
    dims = int(step.arguments[0])
    places, left_out = step.arguments[1 : 1 + dims], step.arguments[1 + dims :]
    shape = (*map(int, places), *source.shape[1:])
    _, kept = _kept(shape, Step("drop", (str(dims), *left_out)))
    found = np.zeros((kept.size, *source.shape[1:]), source.dtype.storage)
    found[kept] = source.read(0, source.elements).reshape(source.shape)
    return from_memory(source.dtype, found.reshape(shape))


def _kept(shape: Shape, step: Step) -> tuple[int, npt.NDArray[np.bool_]]:
    """How many dimensions the positions of `drop` are of, and which of them it keeps."""
    dims, *left_out = step.index()
    if not isinstance(dims, int) or not 0 < dims <= len(shape):
        raise ValueError(f"its first argument must be 1 to {len(shape)} dimensions")
    kept = np.ones(math.prod(shape[:dims]), np.bool_)
    for one in left_out:
        last = one if isinstance(one, int) else (one.stop or 1) - 1
        if not 0 <= last < kept.size:
            raise ValueError(f"there are {kept.size} positions, and no position {last}")
        kept[one] = False
    return dims, kept
