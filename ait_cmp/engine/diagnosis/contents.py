"""What stands in my and is nothing of golden's: zeros, one number, NaN, what was never written."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.naming import flat_part, number, part, times
from ait_cmp.engine.diagnosis.place import box_of
from ait_cmp.engine.diagnosis.sides import Floats, Index, Mask, Sides, other_axes, slope

__all__ = ["called", "dropped_out", "filled", "is_paired", "where"]

_FEW = 4  # elements of one pattern may be alike by chance
_ALL = 0.95  # of the error of a pattern is in its part: others have it by chance
_HOLDERS = 1  # elements may hold the error: many have the pattern
_MANY = 16  # changes from one element to the next tell whether zeros are scattered
_SCATTERED = 0.5  # of as many changes as chance makes
# Patterns that allocators and debuggers leave, besides one byte again and again.
_POISON = {0xDEADBEEF, 0xBAADF00D, 0xFEEEFEEE, 0xDEAD, 0xBEEF, 0xFEED}
_BYTES = {0xAA, 0xAB, 0xBB, 0xCC, 0xCD, 0xDD, 0xFD, 0xFE, 0xFF, 0xA5, 0x5A, 0x7F, 0xBE, 0xEF}


def is_paired(sides: Sides) -> bool:
    """Whether each element has its counterpart."""
    return sides.are_paired


def filled(sides: Sides) -> Iterator[Claim]:
    """One pattern of bits in place of many elements, in a part that can be named."""
    pattern = _commonest(sides)
    if pattern is None:
        return
    there = sides.bits == pattern
    value = sides.my[there][0]
    if value == 0:  # of whatever sign
        there = sides.my == 0
    here = there & (sides.golden != value)
    count = int(np.count_nonzero(here))
    if count < _FEW:
        return
    what = called(pattern, float(value))
    made = np.where(there, sides.my, sides.golden)
    if there.all():
        yield Claim(f"my is {what} throughout", made)
        return
    if found := where(there, np.where(here, sides.squares, 0.0)):
        place, inside = found
        yield Claim(f"my{place} is {what}", np.where(inside, made, sides.golden), 1, _HOLDERS)


def _commonest(sides: Sides) -> np.generic | None:
    """The bits that most of the wrong elements have, where most have the same."""
    squares = sides.squares.reshape(-1)
    wrong = sides.sample[squares[sides.sample] > 0]
    bits = sides.bits.reshape(-1)[wrong]
    if len(bits) < _FEW:
        return None
    weights = squares[wrong]
    kinds, which = np.unique(bits, return_inverse=True)
    shares = np.bincount(which, weights=weights)
    best = int(shares.argmax())
    found: np.generic = kinds[best]
    return found if shares[best] > 0.5 * weights.sum() else None


def where(there: Mask, weights: Floats, least: float = _ALL) -> tuple[str, Mask] | None:
    """The part that consists of the pattern, in words and as it is, a box or a run in memory, and
    has at least this share of the weights, which some of the pattern has."""
    here, wanted = weights > 0, least * weights.sum()
    for axes in (box_of(here), _densest(here)):
        inside = np.zeros(there.shape, np.bool_)
        inside[np.ix_(*axes)] = True
        is_dense = inside.sum() <= 1.2 * np.count_nonzero(here & inside)
        if is_dense and there[inside].all() and weights[inside].sum() >= wanted:
            return part(axes, there.shape), inside
    start, stop = _longest_run(there.reshape(-1))
    inside = np.zeros(there.shape, np.bool_)
    inside.reshape(-1)[start:stop] = True
    if weights[inside].sum() >= wanted:
        return flat_part(start, stop, there.size), inside
    return None


def _densest(mask: Mask) -> list[Index]:
    """Of each axis the indices at which there is at least half as much as at any."""
    counts = (mask.sum(other_axes(mask.ndim, axis)) for axis in range(mask.ndim))
    return [np.flatnonzero(count >= 0.5 * count.max()) for count in counts]


def _longest_run(mask: Mask) -> tuple[int, int]:
    """Where the longest run of what is true begins and ends."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]
    longest = int((stops - starts).argmax())
    return int(starts[longest]), int(stops[longest])


def called(pattern: np.generic, value: float) -> str:
    """What a pattern of bits is, which stands where numbers should."""
    if value == 0:
        return "zero"
    if np.isnan(value):
        return "NaN"
    raw = pattern.tobytes()
    bits = int.from_bytes(raw, "little")
    same = len(raw) > 1 and len(set(raw)) == 1 and raw[0] in _BYTES
    if same or bits in _POISON:
        return f"the pattern 0x{bits:0{2 * len(raw)}X} ({number(value)}), which was never written"
    return f"the constant {number(value)}"


def dropped_out(sides: Sides) -> Iterator[Claim]:
    """Scattered zeros, and all the others larger by what is missing."""
    live = sides.told & (sides.golden != 0)
    gone = live & (sides.my == 0)
    count = int(np.count_nonzero(live))
    share = int(np.count_nonzero(gone)) / max(1, count)
    if not 0.02 < share < 0.98 or not _are_scattered(gone, live, share):
        return
    kept = live & ~gone
    factor = slope(sides.golden[kept], sides.my[kept])
    if factor <= 1.0:
        return
    by_chance = 4.0 * math.sqrt(share * (1.0 - share) / count)
    if abs(1.0 - 1.0 / factor - share) > min(0.005 + by_chance, 0.5 * share):
        return
    words = (
        f"my is zero at {share:.1%} of the elements, here and there, and golden times "
        f"{times(factor)} at the others: dropout is on"
    )
    yield Claim(words, np.where(gone, 0.0, sides.golden * factor), 2)


def _are_scattered(mask: Mask, told: Mask, share: float) -> bool:
    """Whether it changes along every axis about as often as chance has it, where that can be
    told, and it can along one."""
    enough = False
    for axis in range(mask.ndim):
        first, second = (np.moveaxis(one, axis, 0) for one in (mask, told))
        both = second[1:] & second[:-1]
        changes = int(np.count_nonzero((first[1:] != first[:-1]) & both))
        by_chance = 2.0 * share * (1.0 - share) * np.count_nonzero(both)
        if by_chance >= _MANY:
            enough = True
            if changes < _SCATTERED * by_chance:
                return False
    return enough
