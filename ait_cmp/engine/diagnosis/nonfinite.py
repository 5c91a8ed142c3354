"""Elements of my that are no numbers where golden's are: overflow, and what was never written."""

from __future__ import annotations

import math

import numpy as np

from ait_cmp.engine.diagnosis.contents import called, where
from ait_cmp.engine.diagnosis.naming import number
from ait_cmp.engine.diagnosis.sides import Sides, energy, widened
from ait_cmp.values.diagnosis import Diagnosis

__all__ = ["not_numbers"]

_RIGHT = 0.2  # of golden may be wrong at the other elements
_NEAR = 0.98  # of the largest number of a type rounds to infinity with what is added up


def not_numbers(sides: Sides) -> Diagnosis | None:
    """What they are, where they are or where they come from, and what the others are."""
    if not sides.are_paired or not sides.types[1].is_floating:
        return None
    my = widened(sides.bits, sides.types[1])
    here = ~np.isfinite(my) & ~np.isnan(sides.golden)
    count = int(np.count_nonzero(here))
    if not count:
        return None
    golden, _ = sides.there
    rest = math.sqrt(sides.error / max(energy(golden), 1e-300))
    if rest > _RIGHT:
        return None
    largest = sides.types[1].largest
    beyond = np.abs(sides.golden) > _NEAR * largest
    if (beyond & here).sum() == count and np.isinf(my[here]).all():
        words = (
            f"my overflows: {count} of {my.size} elements are infinite where golden is beyond "
            f"{number(largest)}, the end of {sides.types[1].name}"
        )
        return Diagnosis("overflow", words, 1.0, rest)
    kinds = np.unique(sides.bits[here])
    what = called(kinds[0], float(my[here][0])) if len(kinds) == 1 else "not finite"
    if here.all():
        return Diagnosis("nonfinite", f"my is {what} throughout", 1.0, rest)
    found = where(here, here.astype(np.float64), least=1.0)
    if not found:
        return None
    return Diagnosis("nonfinite", f"my{found[0]} is {what} ({count} elements)", 1.0, rest)
