"""My beside golden's other tensors: of another round, another layer; and what one of them adds.

Random projections of a part of each tell which may be meant; that is then measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ait_cmp.engine.diagnosis.claims import Claim, measure
from ait_cmp.engine.diagnosis.sides import Floats, open_sides, values_of
from ait_cmp.engine.projections import project
from ait_cmp.source import Source
from ait_cmp.values.diagnosis import OTHER, Diagnosis

__all__ = ["find_relative"]

_READ = 1 << 15  # elements of each that are projected
_NEAR = 0.5  # of the error remains, by projections, where a tensor may be the one
_REMAINS = 0.01  # of the spread of a tensor may remain where my is that one: a tenth of its size

_WORDS = {
    0: f"my is golden's {OTHER}",
    1: f"my is golden and {OTHER} added to it",
    -1: f"my is golden without {OTHER} in it",
}


def find_relative(
    *, golden: Source, my: Source, others: Sequence[Source | None]
) -> Diagnosis | None:
    """Which of `others` my is, or has more or less than golden has; None where it is none."""
    sides = open_sides(golden, my)
    if sides is None or not sides.are_paired or not sides.is_whole or not sides.error:
        return None
    with np.errstate(all="ignore"):
        for other, number, sign in _promising(golden, my, others):
            made = _made(sides.golden, values_of(other), sign)
            claim = Claim(_WORDS[sign], made, 1, remains=_REMAINS, other=number)
            if found := measure("other", claim, sides):
                return found.diagnosis()
    return None


def _made(golden: Floats, other: Floats, sign: int) -> Floats:
    """Of golden and another one, or of their sums, what the words of `sign` say."""
    return golden + sign * other if sign else other


def _promising(
    golden: Source, my: Source, others: Sequence[Source | None]
) -> Iterator[tuple[Source, int, int]]:
    """Which tensor, its number, and how it may be meant by projections; the nearest first."""
    one, two = (project(side, limit=_READ).sums for side in (golden, my))
    error = float(np.square(two - one).sum())
    found = []
    for number, other in enumerate(others):
        if other is None or other.shape != my.shape:
            continue
        sums = project(other, limit=_READ).sums
        for sign in _WORDS:
            left = float(np.square(two - _made(one, sums, sign)).sum())
            if left <= _NEAR * error:
                found.append((left, number, sign, other))
    for _, number, sign, other in sorted(found, key=lambda one: one[:3])[:3]:
        yield other, number, sign
