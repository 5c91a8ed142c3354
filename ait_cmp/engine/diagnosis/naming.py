"""Parts of a tensor in words, as NumPy would index them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ait_cmp.engine.diagnosis.sides import Index

__all__ = ["flat_part", "indices", "number", "part", "times"]

_LISTED = 4  # indices that are named one by one


def indices(found: Index, size: int) -> str:
    """Some indices of an axis of this size: `:`, `3`, `4:8`, `[1, 5]`, or how many from where."""
    if len(found) == size:
        return ":"
    first, last = int(found[0]), int(found[-1])
    if len(found) == 1:
        return str(first)
    if last - first + 1 == len(found):
        return f"{first or ''}:{last + 1 if last + 1 < size else ''}"
    step = int(found[1] - found[0])
    if step > 1 and len(found) > _LISTED and bool((np.diff(found) == step).all()):
        return f"{first}:{last + 1}:{step}"
    if len(found) <= _LISTED:
        return f"[{', '.join(map(str, found.tolist()))}]"
    return f"[{len(found)} of {first}:{last + 1}]"


def part(axes: Sequence[Index], shape: Sequence[int]) -> str:
    """The part of a tensor that these indices of each axis cross out: `[:, 64:128]`."""
    named = [indices(found, size) for found, size in zip(axes, shape, strict=True)]
    whole = [one == ":" for one in named]
    if len(named) > 2 and all(whole[:-1]):
        return f"[..., {named[-1]}]"
    while len(named) > 1 and named[-1] == ":":
        named.pop()
    return f"[{', '.join(named)}]"


def flat_part(start: int, stop: int, size: int) -> str:
    """The elements [start, stop) of a tensor of so many."""
    return f".flatten()[{start or ''}:{stop if stop < size else ''}]"


def number(value: float) -> str:
    """A number as a person writes it."""
    return f"{value:.4g}"


def times(factor: float) -> str:
    """A factor, with what it is near to, where that is no chance."""
    for name, exact in _KNOWN.items():
        if abs(factor / exact - 1.0) < 2e-3 and number(factor) != name:
            return f"{number(factor)} ({name})"
    return number(factor)


_KNOWN = {f"1/{count}": 1 / count for count in (3, 4, 6, 7, 8, 9, 12, 16, 32, 64, 128, 256)}
_KNOWN |= {f"1/√{count}": count**-0.5 for count in (2, 32, 64, 80, 96, 128, 192)}
_KNOWN |= {f"√{count}": count**0.5 for count in (2, 32, 80, 96, 128, 192)}
