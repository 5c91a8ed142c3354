"""The sign and the bucket of each element, counted out of its place alone.

Integer arithmetic and nothing else: no generator's state, no version of a library and no device
has a part in it. An element at `a` of the axis that is summed, and at `b` of the axis that is kept,
goes into bucket `(a ^ b ^ turn(a // 32) ^ turn(b // 32)) % buckets` with the sign of bit `b % 64`
of the hash of `a`, times the sign of `b`. So

- of 32 neighbours on the summed axis every bucket gets as many, wherever they begin;
- 64 neighbours on the kept axis have signs of their own, and what errors share averages over these;
- the sums of half as many buckets are those of pairs of buckets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "GROUP",
    "MOST",
    "PATTERNS",
    "bit_rows",
    "hashed",
    "kept_buckets",
    "kept_signs",
    "of_elements",
    "turns",
]

MOST = 32  # buckets
GROUP = 32  # neighbours that are spread evenly over the buckets
PATTERNS = 64  # neighbours on the kept axis that have signs of their own
_SIGNS, _TURNS, _KEPT_SIGNS, _KEPT_TURNS = 1, 2, 3, 4  # one stream of numbers each
_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ALL = (1 << 64) - 1

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def hashed(stream: int, index: Words) -> Words:
    """64 bits for each index: the output of splitmix64 after so many steps, by stream.

    Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
    """
    start = np.uint64((stream * _FIRST + _GAMMA) & _ALL)
    with np.errstate(over="ignore"):
        bits = index * np.uint64(_GAMMA) + start
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_FIRST)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_SECOND)
    return bits ^ (bits >> np.uint64(31))


def bit_rows(places: Words) -> Words:
    """For each place on the summed axis 64 bits: those of the signs of 64 neighbours."""
    return hashed(_SIGNS, places)


def turns(places: Words) -> Indices:
    """The part of the bucket that a place on the summed axis has, below `MOST`."""
    return _buckets(_TURNS, places)


def kept_buckets(places: Words) -> Indices:
    """The part of the bucket that a place on the kept axis has, below `MOST`."""
    return _buckets(_KEPT_TURNS, places)


def kept_signs(places: Words) -> Floats:
    """The sign of each place on the kept axis."""
    return 1.0 - 2.0 * (hashed(_KEPT_SIGNS, places) >> np.uint64(63)).astype(np.float64)


def of_elements(summed: Words, kept: Words, buckets: int) -> tuple[Indices, Floats]:
    """The bucket and the sign of each element of such places on both axes."""
    negative = (bit_rows(summed) >> kept % np.uint64(PATTERNS)) & np.uint64(1)
    signs = kept_signs(kept) * (1.0 - 2.0 * negative.astype(np.float64))
    return (turns(summed) ^ kept_buckets(kept)) % buckets, signs


def _buckets(stream: int, places: Words) -> Indices:
    turn = hashed(stream, places // np.uint64(GROUP)) >> np.uint64(59)
    return ((places ^ turn) % np.uint64(MOST)).astype(np.int64)
