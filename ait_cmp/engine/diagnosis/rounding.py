"""Golden rounded to a coarser type than my's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.naming import number
from ait_cmp.engine.diagnosis.sides import Floats, Sides
from ait_cmp.values.dtypes import DTYPES

__all__ = ["is_finer", "quantised", "rounded"]

_TYPES = ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2")
_BITS = (8, 4)
_WITHIN = 3.0  # roundings of a type that an error may be as large as


def is_finer(sides: Sides) -> bool:
    """Whether both sides are floats of more than 8 bits."""
    return sides.are_paired and all(one.digits > 4 for one in sides.types)


def rounded(sides: Sides) -> Iterator[Claim]:
    """Every element is what another type has nearest to golden's."""
    for name in _TYPES:
        if DTYPES[name].digits < sides.types[1].digits and DTYPES[name].digits < _digits(sides):
            yield Claim(f"my is golden rounded to {name}", _through(name)(sides.golden))
    if sides.types[1].digits > 11 and _digits(sides) > 11:
        yield Claim("my is golden rounded to tf32", _tf32(sides.golden))


def _digits(sides: Sides) -> int:
    """Golden's own, which must be more for its rounding to be known."""
    return sides.types[0].digits


def _through(name: str) -> Callable[[Floats], Floats]:
    def made(values: Floats) -> Floats:
        inside = np.abs(values) <= DTYPES[name].largest  # beyond, saturation is another matter
        there = torch.from_numpy(np.where(inside, values, np.nan))
        found: Floats = there.float().to(getattr(torch, name)).double().numpy()
        return found

    return made


def _tf32(values: Floats) -> Floats:
    """Significands of 11 bits, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(13)) & np.uint32(1)
    kept = (bits + np.uint32(0xFFF) + odd) & np.uint32(0xFFFFE000)
    found: Floats = kept.view(np.float32).astype(np.float64)
    return found


def quantised(sides: Sides) -> Iterator[Claim]:
    """Every element is a whole number of steps: of one size, or one size a channel or a line."""
    shape = sides.shape
    ways: list[tuple[str, tuple[int, ...]]] = [("", tuple(range(len(shape))))]
    if len(shape) > 1:
        ways += [
            (" with a scale of each line", (len(shape) - 1,)),
            (" with a scale of each channel", tuple(range(len(shape) - 1))),
        ]
    for words, axes in ways:
        for bits in _BITS:
            largest = np.fmax.reduce(np.abs(sides.golden), axes, keepdims=True)  # NaN of none
            steps = largest / (2 ** (bits - 1) - 1)
            steps = np.where(steps > 0, steps, 1.0)
            made = np.round(sides.golden / steps) * steps
            size = f" of {number(float(steps.reshape(-1)[0]))}" if steps.size == 1 else ""
            yield Claim(f"my is golden in int{bits} steps{size}{words}", made)
