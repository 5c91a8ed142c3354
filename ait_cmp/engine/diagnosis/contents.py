"""What stands in my and is nothing of golden's: zeros, one number, NaN, what was never written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.naming import flat_part, number, part, times
from ait_cmp.engine.diagnosis.place import box_of
from ait_cmp.engine.diagnosis.sides import Mask, Sides, slope

__all__ = ["called", "dropped_out", "filled", "is_paired", "where"]

_FEW = 8  # elements of one pattern may be alike by chance
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
    if place := where(there, here):
        yield Claim(f"my{place} is {what}", made, 1)


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


def where(there: Mask, here: Mask) -> str:
    """The part that consists of the pattern: a box, or a run in memory."""
    axes = box_of(here)
    inside = there[np.ix_(*axes)]
    if inside.all() and inside.size <= 1.2 * np.count_nonzero(here):
        return part(axes, there.shape)
    flat = np.flatnonzero(here)
    first, last = int(flat[0]), int(flat[-1])
    run = there.reshape(-1)[first : last + 1]
    if run.all():
        return flat_part(first, last + 1, there.size)
    return ""


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
    gone = (sides.my == 0) & (sides.golden != 0)
    share = int(np.count_nonzero(gone)) / max(1, int(np.count_nonzero(sides.golden)))
    if not 0.02 < share < 0.98:
        return
    factor = 1.0 / (1.0 - share)
    kept = ~gone & sides.told
    found = slope(sides.golden[kept], sides.my[kept])
    if abs(found / factor - 1.0) > 0.05:
        return
    words = (
        f"my is zero at {share:.1%} of the elements, here and there, and golden times "
        f"{times(found)} at the others: dropout is on"
    )
    yield Claim(words, np.where(gone, 0.0, sides.golden * found), 2)
