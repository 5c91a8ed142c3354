"""A hypothesis about a pair, and whether measuring under it confirms it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ait_cmp.engine.diagnosis.sides import Floats, Mask, Sides, energy, spread
from ait_cmp.values.diagnosis import Diagnosis

__all__ = ["Claim", "Hypothesis", "Measured", "holders_of", "measure", "simplest"]

_EXPLAINED = 0.9  # of the error must be gone under a hypothesis
_REMAINS = 0.04  # of the spread of what it makes may remain: a fifth of its size
_LEAST = 16  # elements, and so many for each number that was fitted, tell something
_HELD = 6  # elements at least hold the error that a claim explains
_COVERED = 0.7  # of the elements must be told of
_GLANCED = 0.5  # of the error of a sample may remain for all to be measured
_AS_GOOD = 2.0  # times what the best leaves


@dataclass(frozen=True, slots=True)
class Claim:
    """What a hypothesis makes of golden, in my's shape, NaN where it says nothing; `fitted` numbers
    were taken from the data to make it. `holders` elements at least must hold the error that it
    explains, `remains` of the spread of what it makes may remain, and of `varies`, where most of
    that spread was fitted. `other` and `adapters` are as in `Diagnosis`.
    """

    words: str
    made: Floats
    fitted: float = 0
    holders: int = _HELD
    remains: float = _REMAINS
    varies: float = math.inf
    other: int = -1
    adapters: str = ""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One kind of fault: when it is worth a try, and what of it the data confirm.

    Both are asked of sides that differ somewhere, and have an axis. `confirm` proposes claims,
    which are then measured; it has looked at a sample of the elements before it makes one.
    """

    kind: str
    applies: Callable[[Sides], bool]
    confirm: Callable[[Sides], Iterable[Claim]]


@dataclass(frozen=True, slots=True)
class Measured:
    """A claim that is confirmed, of a kind; `left` is what remains, in squares, and `untold`
    elements differ of which it says nothing."""

    kind: str
    claim: Claim
    explained: float
    rest: float
    left: float
    untold: int = 0

    def diagnosis(self, words: str = "") -> Diagnosis:
        """As it is told."""
        claim = self.claim
        told = self.kind, words or claim.words, self.explained, self.rest
        return Diagnosis(*told, claim.other, "" if words else claim.adapters, self.untold)


def measure(kind: str, claim: Claim, sides: Sides) -> Measured | None:
    """`claim` measured over every element that it tells of; None where it is not confirmed."""
    made, my = claim.made, sides.my
    if sides.are_paired and not _seems_so(claim, sides):
        return None
    difference = my - made
    told = ~np.isnan(difference)
    count = int(np.count_nonzero(told))
    there = int(np.count_nonzero(~np.isnan(my)))
    if count < max(_LEAST * (1 + claim.fitted / 2), _COVERED * there):
        return None
    left = energy(difference)
    if sides.are_paired:
        squares = sides.squares[told]
        before = float(squares.sum())
        if left and (holders_of(squares) < claim.holders or not _changes_help(made, told, sides)):
            return None
    else:
        before = spread(my)
    remains = left / max(1.0 - claim.fitted / count, 1.0 / count)  # what fitting has hidden
    if not before or remains > (1.0 - _EXPLAINED) * before:
        return None
    size = min(spread(made[told]), spread(my[told]), claim.varies)
    if left and remains > claim.remains * size:  # what is nearly constant explains nothing
        return None
    own = energy(sides.golden[told]) if sides.are_paired else 0.0
    rest = math.sqrt(left / max(own or energy(made[told]), 1e-300))
    return Measured(kind, claim, 1.0 - left / before, rest, left, _untold(told, sides))


def _untold(told: Mask, sides: Sides) -> int:
    """How many elements differ of which a claim, that tells of these, says nothing."""
    if not sides.are_paired:
        return int(np.count_nonzero(~told & ~np.isnan(sides.my)))
    return sides.odd + int(np.count_nonzero(~told & (sides.squares > 0)))


def holders_of(squares: Floats) -> float:
    """How many elements hold the error: of a massive one, whose rounding is all of it, any factor
    would explain it."""
    return float(squares.sum()) ** 2 / max(float(np.square(squares).sum()), 1e-300)


def _changes_help(made: Floats, told: Mask, sides: Sides) -> bool:
    """Whether what is made is right where it is not golden: what is left as it is says nothing."""
    changed = told & (made != sides.golden)
    made, my = made[changed], sides.my[changed]
    return energy(my - made) <= _REMAINS * min(spread(made), spread(my))


def _seems_so(claim: Claim, sides: Sides) -> bool:
    """Whether a sample does not speak against it."""
    places = sides.sample
    made, my = claim.made.reshape(-1)[places], sides.my.reshape(-1)[places]
    told = ~np.isnan(my - made)
    before = float(sides.squares.reshape(-1)[places][told].sum())
    return float(np.square((my - made)[told]).sum()) <= _GLANCED * before


def simplest(found: Iterable[Measured], sides: Sides) -> Measured | None:
    """The first of those that leave about as little as the best does; one that leaves what
    rounding does ends the search."""
    noise = (2.0 * sides.grain) ** 2 * energy(sides.my)
    seen = list[Measured]()
    for one in found:
        seen.append(one)
        if one.left <= noise:
            break
    if not seen:
        return None
    most = _AS_GOOD * min(one.left for one in seen) + noise
    return next(one for one in seen if one.left <= most)
