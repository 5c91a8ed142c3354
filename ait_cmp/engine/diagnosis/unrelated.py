"""What is left to say where nothing explains the error."""

from __future__ import annotations

import math

import numpy as np

from ait_cmp.engine.diagnosis.claims import holders_of
from ait_cmp.engine.diagnosis.naming import number
from ait_cmp.engine.diagnosis.sides import Sides, energy, spread
from ait_cmp.values.diagnosis import Diagnosis

__all__ = ["unrelated"]

_MANY = 256  # elements of which a correlation tells something
_CHANCE = 4.0  # standard deviations of a correlation of what is unrelated
_WEAK = 0.03  # less than this is none, of tensors with a structure of their own
_SOME = 0.1  # more is not told as chance, however few the elements
_HOLD = 32  # elements at least have to hold the error
_LARGE = 0.5  # of golden, the least error of what is another tensor


def unrelated(sides: Sides) -> Diagnosis | None:
    """That my has the values of golden in another order, or nothing in common with it."""
    golden, my = sides.there
    count = golden.size
    if count < _MANY or sides.error < _LARGE**2 * energy(golden):
        return None
    if holders_of(sides.squares) < _HOLD:  # what a few elements hide is not seen
        return None
    sizes = spread(golden), spread(my)
    if not all(sizes) or len(np.unique(my[:_MANY])) < _MANY // 4:
        return None
    if sides.is_whole and bool((np.sort(golden) == np.sort(my)).all()):
        words = "my has the values of golden in an order that is none of those tried"
        return Diagnosis("reordered", words, 1.0, 0.0)
    products = float(((golden - golden.mean()) * (my - my.mean())).sum())
    found = products / math.sqrt(sizes[0] * sizes[1])
    if abs(found) > min(max(_CHANCE / math.sqrt(count), _WEAK), _SOME):
        return None
    words = (
        f"my does not go with golden, element by element (correlation {number(found)} of {count} "
        "elements): other data, an order that was not tried, or a function that is no line"
    )
    rest = math.sqrt(sides.error / max(energy(golden), 1e-300))
    return Diagnosis("unrelated", words, 0.0, rest, untold=sides.odd)
