"""Axes of a fingerprint moved, or lines of it left out: the other side is moved back instead."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ait_cmp.engine.adapters.dropped import filling
from ait_cmp.engine.adapters.views import SHAPES, VIEWS
from ait_cmp.source import FingerprintSource, needs_tensors
from ait_cmp.values.location import Step

__all__ = ["moved"]

_ORDERS = ("transpose", "permute", "squeeze", "unsqueeze")


def moved(source: FingerprintSource, step: Step) -> FingerprintSource:
    """What the adapter `step` makes of `source`. Raises ValueError where it does not fit, PairError
    NEEDS_TENSORS where it does more than to move axes, or to leave out positions."""
    if step.name == "drop" and source.fingerprint.lines:
        shape, back = filling(source.shape, step)
        return replace(source, shape=shape, back=(back, *source.back))
    if step.name in SHAPES:
        shape = SHAPES[step.name](source.shape, step)
        return _with(source, shape, _reshape(source.shape))
    if step.name not in _ORDERS:
        raise needs_tensors(source.place, f"{step} picks or joins elements")
    # Strides that no two axes share tell where each of them went.
    strides = tuple(range(1, len(source.shape) + 1))
    hollow = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), source.shape, strides)
    seen = VIEWS[step.name](hollow, step)
    if len(seen.shape) != len(source.shape):
        return _with(source, seen.shape, _reshape(source.shape))
    axes = [strides.index(stride) for stride in seen.strides]
    moving = [axis for axis in axes if source.shape[axis] != 1]
    if moving == sorted(moving):  # the elements stay in their order
        return _with(source, seen.shape, _reshape(source.shape))
    return _with(source, seen.shape, Step("permute", tuple(map(str, np.argsort(axes)))))


def _reshape(shape: tuple[int, ...]) -> Step:
    return Step("reshape", tuple(map(str, shape)))


def _with(source: FingerprintSource, shape: tuple[int, ...], back: Step) -> FingerprintSource:
    assert math.prod(shape) == source.elements
    return replace(source, shape=shape, back=(back, *source.back))
