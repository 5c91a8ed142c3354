"""A softmax that is taken over another axis, or of scores that are scaled otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.naming import times
from ait_cmp.engine.diagnosis.sides import Floats, Sides

__all__ = ["is_softmax", "of_other_scores", "over_another_axis"]

_SUM = 0.05  # that a line may be away from 1
_LEAST = 1e-30
_OFF = 1e-2  # a factor of scores that is nearer to 1 may be truncation


def is_softmax(sides: Sides) -> bool:
    """Whether the lines of golden add up to 1, and none of it is negative."""
    if not sides.are_paired or len(sides.shape) < 2 or sides.shape[-1] < 2:
        return False
    golden, my = sides.golden, sides.my
    if not sides.told.all() or (golden < 0).any() or (my < 0).any():
        return False
    return bool((np.abs(golden.sum(-1) - 1.0) < _SUM).all())


def _log_ratio(sides: Sides) -> tuple[Floats, Floats]:
    """Of my to golden, and where it can be told."""
    told = (sides.golden > _LEAST) & (sides.my > _LEAST)
    ratio = np.log(np.where(told, sides.my, 1.0)) - np.log(np.where(told, sides.golden, 1.0))
    return ratio, told.astype(np.float64)


def over_another_axis(sides: Sides) -> Iterator[Claim]:
    """My adds up to 1 along another axis: the same scores, without the sums of the lines."""
    for axis in range(len(sides.shape) - 1):
        sums = sides.my.sum(axis)
        live = sides.golden.sum(axis) > 0
        if sides.shape[axis] < 2 or not (np.abs(sums[live] - 1.0) < _SUM).all():
            continue
        ratio, told = _log_ratio(sides)
        lines = np.zeros((*sides.shape[:-1], 1))
        for _ in range(20):  # the lines' factors and those of the other axis, in turn
            others = _mean(ratio - lines, told, axis)
            lines = _mean(ratio - others, told, -1)
        weights = sides.golden * np.exp(lines - lines.max(axis, keepdims=True))
        sums = weights.sum(axis, keepdims=True)
        made = weights / np.where(sums > 0, sums, 1.0)
        words = f"my is a softmax over dim {axis}, of the scores that golden has over the last"
        yield Claim(words, made, lines.size)


def _mean(values: Floats, weights: Floats, axis: int) -> Floats:
    count = np.maximum(weights.sum(axis, keepdims=True), 1.0)
    found: Floats = (values * weights).sum(axis, keepdims=True) / count
    return found


def of_other_scores(sides: Sides) -> Iterator[Claim]:
    """My is the softmax of the same scores times a number."""
    if not (np.abs(sides.my.sum(-1) - 1.0) < _SUM).all():
        return
    told = (sides.golden > 1e-6) & (sides.my > 1e-6)
    weights = told.astype(np.float64)
    golden, my = (np.log(np.where(told, one, 1.0)) for one in (sides.golden, sides.my))
    golden, my = (one - _mean(one, weights, -1) for one in (golden, my))
    squares = float((weights * golden**2).sum())
    factor = float((weights * golden * my).sum()) / squares if squares else 0.0
    if abs(factor - 1.0) < _OFF:
        return
    with np.errstate(divide="ignore"):
        powers = np.where(sides.golden > 0, np.exp(factor * np.log(sides.golden)), 0.0)
    made = powers / powers.sum(-1, keepdims=True)
    yield Claim(f"my is the softmax of golden's scores times {times(factor)}", made, 1)
