"""The positions of a tensor that its padding mask keeps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.adapters.runs import kept_runs
from ait_cmp.engine.kernel import widen
from ait_cmp.source import Source, open_source
from ait_cmp.values.location import Step

__all__ = ["unpad"]

_MOST = 1 << 26  # positions of a mask; it is held in memory


def unpad(source: Source, step: Step) -> Source:
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
    return kept_runs(source, *_kept(ones, source.shape), states=mask.states)


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
