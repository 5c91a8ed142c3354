"""Random projections of a tensor: 128 signed sums of its elements, the same wherever taken.

Element i goes into every sum with a sign that is counted out of `(seed, i)`: no generator's state,
no version of a library, no device and no order of reading has a part in it. Two tensors of equal
size whose sums are near each other are near each other: the mean square of the differences of the
sums is the square of their distance, within an eighth (one standard deviation).

The 128 sums take about as long as one. Each element is added to one of 128 buckets, with a sign,
and the sums are those of the buckets under the signs of a Hadamard matrix: sum k has element i with
`sign(i) * (-1) ** parity(k & bucket(i))`, where both are bits of `hashed(seed, i)`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel import widen
from ait_cmp.source import Source

__all__ = ["SUMS", "Projection", "hashed", "project", "signs"]

SUMS = 128
_BLOCK = 1 << 16  # elements at a time
_KEPT = 64  # blocks whose codes are kept: every tensor begins with the same
_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ALL = (1 << 64) - 1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The sums of one tensor, or of its first `elements`; what is not finite counts as 0."""

    sums: Floats
    elements: int
    squares: float
    nonfinite: int


def hashed(seed: int, index: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """64 bits for each index: the output of splitmix64 after so many steps from `seed`.

    Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
    """
    start = np.uint64((seed + _GAMMA) & _ALL)
    with np.errstate(over="ignore"):
        bits = index * np.uint64(_GAMMA) + start
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_FIRST)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_SECOND)
    return bits ^ (bits >> np.uint64(31))


def signs(seed: int, start: int, stop: int) -> Floats:
    """The signs of elements [start, stop) in every sum, one row an element: what the sums mean."""
    codes = _codes(seed, start, stop)
    return np.where(codes >= SUMS, -1.0, 1.0)[:, None] * _hadamard()[codes % SUMS]


def project(source: Source, *, seed: int = 0, limit: int | None = None) -> Projection:
    """The sums of `source`, or of its first `limit` elements, read in ranges. Raises as reading
    does."""
    elements = source.elements if limit is None else min(limit, source.elements)
    buckets = np.zeros(2 * SUMS)
    squares, nonfinite = 0.0, 0
    for start in range(0, elements, _BLOCK):
        stop = min(start + _BLOCK, elements)
        with np.errstate(invalid="ignore", over="ignore"):
            values = widen(source.read(start, stop), source.dtype)
        finite = np.isfinite(values)
        if not finite.all():
            nonfinite += int(values.size - np.count_nonzero(finite))
            values = np.where(finite, values, 0.0)
        codes = _block(seed, start)[: stop - start]
        with np.errstate(over="ignore"):
            buckets += np.bincount(codes, weights=values, minlength=2 * SUMS)
            squares += float(np.dot(values, values))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = _hadamard() @ (buckets[:SUMS] - buckets[SUMS:])
    return Projection(sums, elements, squares, nonfinite)


def _codes(seed: int, start: int, stop: int) -> npt.NDArray[np.intp]:
    """The bucket of each element, and SUMS more where its sign is negative."""
    bits = hashed(seed, np.arange(start, stop, dtype=np.uint64))
    return (bits >> np.uint64(56)).astype(np.intp)


def _block(seed: int, start: int) -> npt.NDArray[np.intp]:
    if start < _KEPT * _BLOCK:
        return _kept(seed, start)
    return _codes(seed, start, start + _BLOCK)


@functools.lru_cache(maxsize=_KEPT)
def _kept(seed: int, start: int) -> npt.NDArray[np.intp]:
    return _codes(seed, start, start + _BLOCK)


@functools.cache
def _hadamard() -> Floats:
    """Sylvester's matrix: row k and column j have the sign of the parity of `k & j`."""
    matrix = np.ones((1, 1))
    while len(matrix) < SUMS:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
