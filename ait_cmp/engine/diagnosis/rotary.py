"""Rotary embeddings of another position, base or pairing.

A rotation leaves the length of each pair of channels as it is: that tells which channels are pairs,
and that nothing else happened to them, before an angle is looked for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.diagnosis.claims import Claim
from ait_cmp.engine.diagnosis.naming import number
from ait_cmp.engine.diagnosis.sides import Floats, Index, Sides, other_axes

__all__ = ["may_be_rotated", "paired_otherwise", "rotated"]

_SIZES = (16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 256)  # of heads
_BASES = (1e4, 5e5, 1e6, 1e5, 1e3, 5e4, 2e4, 8e5, 2.5e5, 1.5e5, 1e7, 5e6)
_FARTHEST = 256  # positions that all may be away from their own
_TIMES = (-1.0, 1.0, -2.0, -0.5, -0.75, -0.875)  # of the angle that belongs to a position
_TOKENS = 64  # that a way is tried on
_LINES = 256  # of which the lengths of pairs are compared
_OTHERS = 4  # indices of other axes, too
_TURNED = 0.05  # of golden's squares, what other pairs leave at least
_PROMISING = 0.2  # of the error may remain there
_LENGTHS = 0.05  # of the error may be in the lengths of pairs, or of a head
_HOLDERS = 0  # any few elements may hold the error: few channels turn fast
_REMAINS = 2e-3  # of what a base or a factor of positions makes may remain: others are near to it

Complex = npt.NDArray[np.complex128]


def may_be_rotated(sides: Sides) -> bool:
    """Whether there are channels enough, and as much energy on both sides."""
    if not sides.are_paired or sides.shape[-1] % 2 or sides.shape[-1] < _SIZES[0]:
        return False
    if not sides.told.all():
        return False
    one, other = sides.golden_squares, float(np.square(sides.my).sum())
    return bool(0.5 < one / max(other, 1e-300) < 2.0)


@dataclass(frozen=True, slots=True)
class _Pairing:
    """Which channels of a head are rotated together: `rotary` of `size`, halves or neighbours."""

    size: int
    rotary: int
    halves: bool

    def pairs(self, values: Floats) -> Complex:
        """The rotated channels as complex numbers: (…, heads, pairs)."""
        heads = values.reshape(*values.shape[:-1], -1, self.size)[..., : self.rotary]
        if self.halves:
            one, other = heads[..., : self.rotary // 2], heads[..., self.rotary // 2 :]
        else:
            one, other = heads[..., ::2], heads[..., 1::2]
        found: Complex = one + 1j * other
        return found

    def put(self, values: Floats, pairs: Complex) -> Floats:
        """`values` with these as its rotated channels."""
        made = values.reshape(*values.shape[:-1], -1, self.size).copy()
        if self.halves:
            made[..., : self.rotary // 2] = pairs.real
            made[..., self.rotary // 2 : self.rotary] = pairs.imag
        else:
            made[..., : self.rotary : 2], made[..., 1 : self.rotary : 2] = pairs.real, pairs.imag
        return made.reshape(values.shape)

    def turns(self, base: float) -> Floats:
        """The angle of each pair, of one position."""
        count = self.rotary // 2
        found: Floats = base ** (-np.arange(count) / count)
        return found

    def __str__(self) -> str:
        part = f"{self.rotary} of " if self.rotary < self.size else ""
        return f"heads of {part}{self.size} channels, {'halves' if self.halves else 'neighbours'}"


def _pairings(sides: Sides) -> Iterator[_Pairing]:
    """Those whose heads fit; the last dim whole is the likeliest head."""
    last = sides.shape[-1]
    sizes = [last] if last <= _SIZES[-1] else []
    sizes += [size for size in _SIZES if last % size == 0 and size != last]
    for size, part, halves in itertools.product(sizes, (1, 2, 4), (True, False)):
        if size // part >= 8 and size // part % 2 == 0:
            yield _Pairing(size, size // part, halves)


def rotated(sides: Sides) -> Iterator[Claim]:
    """Golden, turned further: by some positions, by another base, not at all, twice."""
    for pairing in _pairings(sides):
        if not _keeps_lengths(sides, pairing):
            continue
        golden, my = pairing.pairs(sides.golden), pairing.pairs(sides.my)
        found = [*_all_alike(sides, pairing, golden, my)]
        yield from found or _by_position(sides, pairing, golden, my)


def _keeps_lengths(sides: Sides, pairing: _Pairing) -> bool:
    """Whether some lines say that pairs have kept their lengths, and hold all of the error."""
    last = sides.shape[-1]
    lines = _some(sides, last)
    golden, my = (one.reshape(-1, last)[lines] for one in (sides.golden, sides.my))
    one, other = pairing.pairs(golden), pairing.pairs(my)
    error = float(np.square(np.abs(other - one)).sum())
    apart = float(np.square(np.abs(other) - np.abs(one)).sum())
    return error > 0.9 * float(np.square(my - golden).sum()) and apart <= _LENGTHS * error


def _some(sides: Sides, size: int) -> Index:
    """The numbers of some runs of so many elements that have errors."""
    found = np.unique(sides.wrong // size)
    return found[:: len(found) // _LINES + 1]


def _keeps_heads(sides: Sides, size: int) -> bool:
    """Whether some heads say that each has kept its length as a whole."""
    heads = _some(sides, size)
    golden, my = (
        np.square(one.reshape(-1, size)[heads]).sum(1) for one in (sides.golden, sides.my)
    )
    return bool(np.abs(np.sqrt(my / golden) - 1.0).mean() <= _LENGTHS)


def _all_alike(sides: Sides, pairing: _Pairing, golden: Complex, my: Complex) -> Iterator[Claim]:
    """Every position away from its own by the same number."""
    others = tuple(range(golden.ndim - 1))
    together = (np.conj(golden) * my).sum(others)
    total = float(np.square(np.abs(golden)).sum() + np.square(np.abs(my)).sum())
    error = float(np.square(np.abs(my - golden)).sum())
    positions = np.array([one for one in range(-_FARTHEST, _FARTHEST + 1) if one])
    best = math.inf, 0, 0.0
    for base in _BASES:
        angles = np.exp(1j * positions[:, None] * pairing.turns(base))
        left = total - 2.0 * (np.conj(angles) * together).real.sum(1)
        place = int(left.argmin())
        best = min(best, (float(left[place]), int(positions[place]), base))
    left_, count, base = best
    if left_ > _PROMISING * error:
        return
    made = golden * np.exp(1j * count * pairing.turns(base))
    far = (
        f"{abs(count)} position{'s' * (abs(count) != 1)} {'too far' if count > 0 else 'too little'}"
    )
    words = f"my is golden with its rotary embedding {far} (base {base:.0f}, {pairing})"
    yield Claim(words, pairing.put(sides.golden, made), 2, _HOLDERS)


def _axes_of_tokens(sides: Sides, pairing: _Pairing) -> Iterator[int]:
    """Which axes may be positions: those of heads, where the last dim is one, stand behind."""
    ndim = len(sides.shape) + 1  # of pairs, (…, heads, pairs)
    for axis in (ndim - 3, ndim - 4) if sides.shape[-1] == pairing.size else (ndim - 3,):
        if axis >= 0 and sides.shape[axis] > 1:
            yield axis


def _few_tokens(count: int) -> Index:
    """Some of so many, from the first to the last."""
    found: Index = np.unique(np.linspace(0, count - 1, _TOKENS).astype(int))
    return found


def _by_position(sides: Sides, pairing: _Pairing, golden: Complex, my: Complex) -> Iterator[Claim]:
    """Each position turned by what depends on it."""
    for axis in _axes_of_tokens(sides, pairing):
        others = other_axes(golden.ndim - 1, axis)
        together = (np.conj(golden) * my).sum(others)  # (tokens, pairs)
        powers = (np.square(np.abs(golden)) + np.square(np.abs(my))).sum(others)
        tokens = _few_tokens(len(together))
        error = float((powers - 2.0 * together.real)[tokens].sum())
        best = math.inf, "", np.zeros(0)
        for words, turns in _turns(pairing):
            angles = np.exp(-1j * tokens[:, None] * turns)
            left = float((powers[tokens] - 2.0 * (angles * together[tokens]).real).sum())
            if left < best[0]:
                best = left, words, turns
        if best[0] > _PROMISING * error:
            continue
        turn = _turned_by(best[2], np.arange(len(together)), axis, golden.ndim)
        made = pairing.put(sides.golden, golden * turn)
        words = f"my is golden {best[1]} ({pairing}; positions along dim {axis})"
        yield Claim(words, made, 3, _HOLDERS, _REMAINS)


def _turned_by(turns: Floats, positions: Index, axis: int, ndim: int) -> Complex:
    """What turns pairs, (…, heads, pairs), whose positions along an axis are these."""
    angles: Complex = np.exp(1j * positions[:, None] * turns)
    shape = [1] * ndim
    shape[axis], shape[-1] = angles.shape
    return angles.reshape(shape)


def _turns(pairing: _Pairing) -> Iterator[tuple[str, Floats]]:
    """What may be wrong with angles, and by how much each pair is then turned a position."""
    for times, base in itertools.product(_TIMES, _BASES):
        yield _called(times).format(f"{base:.0f}"), times * pairing.turns(base)
    for one, other in itertools.permutations(_BASES, 2):
        words = f"with a rotary embedding of base {other:.0f} instead of {one:.0f}"
        yield words, pairing.turns(other) - pairing.turns(one)


def _called(times: float) -> str:
    known = {
        -1.0: "without its rotary embedding (base {})",
        1.0: "with its rotary embedding (base {}) twice",
        -2.0: "with its rotary embedding (base {}) the other way round",
    }
    return known.get(
        times, f"with positions times {number(1 + times)} in its rotary embedding (base {{}})"
    )


def paired_otherwise(sides: Sides) -> Iterator[Claim]:
    """The right angles, of other pairs: halves instead of neighbours, or these of those."""
    if sides.error < _TURNED * sides.golden_squares:
        return
    for pairing in _pairings(sides):
        if pairing.rotary != pairing.size or not _keeps_heads(sides, pairing.size):
            continue
        other = _Pairing(pairing.size, pairing.rotary, not pairing.halves)
        for axis in _axes_of_tokens(sides, pairing):
            tokens = _few_tokens(sides.shape[axis])
            some: list[Index | slice] = [slice(_OTHERS)] * (len(sides.shape) - 1)
            some[axis] = tokens
            golden, my = (one[tuple(some)] for one in (sides.golden, sides.my))
            error = float(np.square(my - golden).sum())
            for base in _BASES:
                made = _repaired(golden, pairing, other, (base, axis), tokens)
                if float(np.square(my - made).sum()) <= _PROMISING * error:
                    every = np.arange(sides.shape[axis])
                    whole = _repaired(sides.golden, pairing, other, (base, axis), every)
                    names = ("halves", "neighbours") if pairing.halves else ("neighbours", "halves")
                    words = (
                        f"my is golden with {names[1]} rotated together instead of {names[0]} "
                        f"(rotary of base {base:.0f}, heads of {pairing.size} channels)"
                    )
                    yield Claim(words, whole, 2, _HOLDERS)


def _repaired(
    golden: Floats,
    pairing: _Pairing,
    other: _Pairing,
    at: tuple[float, int],
    positions: Index,
) -> Floats:
    """Golden turned back in its pairs, and on in the others."""
    base, axis = at
    turn = _turned_by(pairing.turns(base), positions, axis, golden.ndim + 1)
    plain = pairing.put(golden, pairing.pairs(golden) * np.conj(turn))
    return other.put(plain, other.pairs(plain) * turn)
