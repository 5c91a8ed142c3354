"""One tensor seen otherwise: the same memory, other shapes and strides."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ait_cmp.engine.adapters.rearranged import Rearranged
from ait_cmp.source import Array, Source
from ait_cmp.source.header import dense_strides
from ait_cmp.values.location import Step

__all__ = ["SHAPES", "VIEWS", "viewed"]

Shape = tuple[int, ...]


def viewed(source: Source, step: Step) -> Source:
    """What the adapter `step` makes of `source`. Raises ValueError where it does not fit."""
    if step.name in SHAPES:
        return source.reshaped(SHAPES[step.name](source.shape, step))

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
    return Rearranged(
        source.dtype,
        array.shape,
        states=source.states,
        layout=source.layout,
        inner=source,
        strides=array.strides,
        start=start,
    )


# -- the elements in the same order, in another shape


def _reshape(shape: Shape, step: Step) -> Shape:
    elements, asked = math.prod(shape), list(step.numbers())
    known = math.prod(size for size in asked if size != -1)
    if asked.count(-1) == 1 and known and elements % known == 0:
        asked[asked.index(-1)] = elements // known
    if min(asked, default=0) < 0 or math.prod(asked) != elements:
        raise ValueError(f"{elements} elements cannot be {list(step.numbers())}")
    return tuple(asked)


def _flatten(shape: Shape, step: Step) -> Shape:
    if not shape:
        return (1,)
    dims, (first, last) = len(shape), (*step.numbers(), 0, -1)[:2]
    if len(step.arguments) == 1:
        last = -1
    for asked in (first, last):
        if not -dims <= asked < dims:
            raise ValueError(f"there is no dimension {asked}")
    first, last = first % dims, last % dims
    if first > last:
        raise ValueError(f"dimension {first} comes after dimension {last}")
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def _unflatten(shape: Shape, step: Step) -> Shape:
    asked, *sizes = step.numbers()
    if not -len(shape) <= asked < len(shape):
        raise ValueError(f"there is no dimension {asked}")
    axis = asked % len(shape)
    inner = _reshape((shape[axis],), Step("reshape", tuple(map(str, sizes))))
    return (*shape[:axis], *inner, *shape[axis + 1 :])


def _view_complex(shape: Shape, step: Step) -> Shape:
    """Neighbours are the real and the imaginary part of one number, which have a dimension of their
    own, as in a tensor of a complex type."""
    del step
    if not shape or shape[-1] % 2:
        raise ValueError("the last dimension holds no pairs of a real and an imaginary part")
    return shape if shape[-1] == 2 else (*shape[:-1], shape[-1] // 2, 2)


SHAPES: dict[str, Callable[[Shape, Step], Shape]] = {
    "reshape": _reshape,
    "flatten": _flatten,
    "unflatten": _unflatten,
    "view_complex": _view_complex,
}

# -- the elements in another order, or fewer of them


def _transpose(array: Array, step: Step) -> Array:
    return array.swapaxes(*step.numbers())


def _permute(array: Array, step: Step) -> Array:
    return array.transpose(step.numbers())


def _squeeze(array: Array, step: Step) -> Array:
    return array.squeeze(step.numbers() or None)


def _unsqueeze(array: Array, step: Step) -> Array:
    return np.expand_dims(array, step.numbers())


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


def _select(array: Array, step: Step) -> Array:
    dimension, number = step.numbers()
    if not -array.ndim <= dimension < array.ndim:
        raise ValueError(f"there is no dimension {dimension}")
    index: tuple[int | slice, ...] = (*[slice(None)] * (dimension % array.ndim), number)
    view: Array = array[(*index, ...)]
    return view


def _within(one: slice, size: int) -> bool:
    bounds = [bound + size if bound < 0 else bound for bound in (one.start or 0, one.stop or 0)]
    start, stop = bounds[0], size if one.stop is None else bounds[1]
    return 0 <= start <= stop <= size


def _text(one: slice) -> str:
    return f"{'' if one.start is None else one.start}:{'' if one.stop is None else one.stop}"


VIEWS: dict[str, Callable[[Array, Step], Array]] = {
    "transpose": _transpose,
    "permute": _permute,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "slice": _slice,
    "select": _select,
}
