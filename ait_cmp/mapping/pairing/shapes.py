"""Which adapters make one shape of another: of the same elements, or of the last token's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ait_cmp.engine.adapters import adapt
from ait_cmp.source.view import ArraySource
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError
from ait_cmp.values.location import parse_steps

__all__ = ["Fit", "Shape", "fits", "is_loose", "shape_after"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """The adapters of both sides, as a mapping writes them; `sure` where nothing but the same
    elements in the same order can be meant; `why` where more than shapes says so."""

    golden: str = ""
    my: str = ""
    sure: bool = True
    why: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether one side is the other's last token."""
        return "-1:" in self.golden + self.my

    def __str__(self) -> str:
        sides = [f"golden {self.golden}"] * bool(self.golden) + [f"my {self.my}"] * bool(self.my)
        return ", ".join(sides)


def fits(shapes: Sequence[tuple[Shape, Shape]]) -> list[Fit]:
    """The ways in which golden and my of each round fit, the plainest first."""
    golden, my = shapes[0]
    plain = [Fit()] if all(one == other for one, other in shapes) else []
    found = [*plain, *(one for one in _candidates(golden, my) if _holds(one, shapes))]
    return list(dict.fromkeys(found))


def is_loose(golden: Shape, my: Shape) -> bool:
    """Whether they may be one tensor padded, cut into shards or chunks, or laid out otherwise."""
    one, other = _without_ones(golden), _without_ones(my)
    if math.prod(one) == math.prod(other):
        return True
    if not one or not other or abs(len(one) - len(other)) > 1:
        return False
    last, other_last = one[-1], other[-1]
    return last % other_last == 0 or other_last % last == 0


def shape_after(shapes: Sequence[Shape], steps: str) -> Shape | None:
    """The shape that `steps` make of tensors of these shapes; None where they do not fit."""
    dtype = DTYPES["int8"]
    hollow = [ArraySource(dtype, shape, np.broadcast_to(np.int8(0), shape)) for shape in shapes]
    try:
        return adapt(hollow, parse_steps(steps)).shape
    except (PairError, ValueError):
        return None


def _holds(fit: Fit, shapes: Sequence[tuple[Shape, Shape]]) -> bool:
    after = (
        (shape_after([one], fit.golden), shape_after([other], fit.my)) for one, other in shapes
    )
    return all(one is not None and one == other for one, other in after)


def _candidates(golden: Shape, my: Shape) -> Iterator[Fit]:
    if 0 in golden or 0 in my:
        return
    if math.prod(golden) == math.prod(my):
        yield from _of_as_many(golden, my)
    elif math.prod(golden) > math.prod(my):
        yield from _of_part(golden, my)
    else:
        yield from (Fit(one.my, one.golden, sure=False) for one in _of_part(my, golden))


def _of_part(whole: Shape, part: Shape) -> Iterator[Fit]:
    """Adapters of the whole, as golden, and of its part, as my."""
    for steps in _cut(whole, part):
        yield Fit(steps, "", sure=False)
    ones = [axis for axis, size in enumerate(part) if size == 1]
    for axis in ones:
        rest = (*part[:axis], *part[axis + 1 :])
        for steps in _cut(whole, rest):
            yield Fit(steps, f"squeeze({axis})", sure=False)


def _of_as_many(golden: Shape, my: Shape) -> Iterator[Fit]:
    if len(golden) >= len(my):
        for steps in _lower(golden, my):
            yield Fit(steps, "")
    if len(my) >= len(golden):
        for steps in _lower(my, golden):
            yield Fit("", steps)
    ones = [axis for axis, size in enumerate(golden) if size == 1]
    others = [axis for axis, size in enumerate(my) if size == 1]
    if len(golden) == len(my) and len(ones) == len(others) == 1 and ones != others:
        yield Fit(f"squeeze({ones[0]})", f"squeeze({others[0]})")
    for steps in _turned(golden, my):
        yield Fit(steps, "", sure=False)
    for steps in _turned(my, golden):
        yield Fit("", steps, sure=False)


def _lower(shape: Shape, wanted: Shape) -> Iterator[str]:
    """Adapters to as many or fewer dimensions, which keep the order of all elements."""
    if shape == wanted or len(shape) < len(wanted):
        return
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    for axes in combinations(ones, len(shape) - len(wanted)):
        if axes and tuple(size for axis, size in enumerate(shape) if axis not in axes) == wanted:
            yield " | ".join(f"squeeze({axis})" for axis in reversed(axes))
    for first in range(len(shape)):
        for last in range(first + 1, len(shape)):
            merged = math.prod(shape[first : last + 1])
            rest = (*shape[:first], merged, *shape[last + 1 :])
            if rest == wanted:
                yield f"flatten({first}, {last})"
    if len(wanted) == 1:
        yield "flatten()"


def _turned(shape: Shape, wanted: Shape) -> Iterator[str]:
    """Adapters that put elements in another order: a transposed matrix, heads before tokens."""
    if len(shape) == 2 and shape[::-1] == wanted:
        yield "transpose(0, 1)"
    for first, last in ((1, 2), (0, 1)):
        if len(shape) == first + 3:
            turned = list(shape)
            turned[first], turned[last] = turned[last], turned[first]
            swap = f"transpose({first}, {last})"
            if tuple(turned) == wanted:
                yield swap
            for steps in _lower(tuple(turned), wanted):
                yield f"{swap} | {steps}"
            flat = (*turned[:-2], turned[-2] * turned[-1])
            for steps in _lower(flat, wanted):
                yield f"{swap} | flatten({len(flat) - 1}, {len(flat)}) | {steps}"


def _cut(shape: Shape, wanted: Shape) -> Iterator[str]:
    """The last token alone, of what has tokens before its last dimension; either half of the last
    dimension, where gate and up are fused."""
    if len(shape) > 1 and shape[-2] > 1:
        rest = (*shape[:-2], 1, shape[-1])
        yield from _then(f"slice({':, ' * (len(shape) - 2)}-1:)", rest, wanted)
    half, odd = divmod(shape[-1], 2) if shape else (0, 1)
    if half and not odd:
        for part in (f"0:{half}", f"{half}:{2 * half}"):
            rest = (*shape[:-1], half)
            yield from _then(f"slice({':, ' * (len(shape) - 1)}{part})", rest, wanted)


def _then(steps: str, rest: Shape, wanted: Shape) -> Iterator[str]:
    if rest == wanted:
        yield steps
    for further in _lower(rest, wanted):
        yield f"{steps} | {further}"


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)
