"""What is said of shapes that differ: which adapters would fit, and how to write them."""

from __future__ import annotations

import functools

from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.fitting import Fit, cuts, fits
from ait_cmp.values.location import parse_steps

__all__ = ["explained", "way_out"]

Shape = tuple[int, ...]

_SHOWN = 2  # proposals of a kind; more would not help


@functools.lru_cache(maxsize=4096)  # rows of few shapes, many of each
def way_out(golden: Shape, my: Shape) -> str:
    """The rest of a sentence that began with these shapes."""
    whole = fits(golden, my)[:_SHOWN]
    if whole:
        said = ", or ".join(map(str, whole))
        look = " (look which is meant)" if len(whole) > 1 else ""
        return f"; {said} would make them equal{look}: {_written(whole[0])}"
    if _elements(golden) == _elements(my):
        return (
            ": as many elements, but in an order that cannot be told; say it with adapters, "
            "like reshape(2, -1) | transpose(0, 1), or reshape one side where it is dumped"
        )
    found = cuts(golden, my)[:_SHOWN]
    if not found:
        return ", so elements cannot be paired; map the tensor, or the round, that corresponds"
    said = ", or ".join(f"{one.fit} where {one.where}" for one in found)
    return (
        f", so elements cannot be paired; map the tensor or the round (rounds=+1) that "
        f"corresponds, or cut: {said}: {_written(found[0].fit)}"
    )


def explained(golden: Shape, my: Shape, diagnosis: Diagnosis) -> str:
    """The sentence of shapes that differ, where the values say how they belong together."""
    said = f"golden has the shape {list(golden)}, my {list(my)}; {diagnosis.sentence}"
    if not diagnosis.adapters:
        return f"{said}{way_out(golden, my)}"
    return f"{said}; {_written(Fit(golden=parse_steps(diagnosis.adapters)))}"


def _written(fit: Fit) -> str:
    """How `fit` is written, for every pair and for some."""
    sides = {"golden": fit.golden, "my": fit.my}
    texts = {side: " | ".join(map(str, steps)) for side, steps in sides.items() if steps}
    line = " ".join(f"\"mapping.{side}_adapters='{text}'\"" for side, text in texts.items())
    entry = ", ".join(f"{side}_adapters: {text}" for side, text in texts.items())
    return f"write {line} on the command line for every pair, {entry} in a rule or a list for some"


def _elements(shape: Shape) -> int:
    return functools.reduce(int.__mul__, shape, 1)
