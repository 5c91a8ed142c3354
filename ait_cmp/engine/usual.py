"""The usual elements of a pair, where a few huge ones would hide all others.

An additive mask of -10000, a massive activation, one sample that is a thousand times the next:
against the rms of the whole tensor everything beside them may be anything. Where golden's rms is
far above what its elements usually are, the slices are taken a second time, without the elements
that are huge on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ait_cmp.engine.kernel import widen
from ait_cmp.engine.slices import Slices, Values
from ait_cmp.source import Source

__all__ = ["huge_from"]

_SAMPLE, _RUN = 1024, 64  # elements that are looked at, so many in a row
_STRIDE = (math.sqrt(5) - 1) / 2  # of the tensor, from run to run: never in step with its axes
_FEW = 0.05  # of the elements may be rare, and hide the others
_HIDDEN = 3.0  # times the rms of the others hides them
_REACH = 2.0**400  # magnitudes beyond are as good as this: their squares are out of reach
_GAP = 16.0  # between two neighbours in size parts usual elements from masks


def huge_from(golden: Source, slices: Slices) -> float:
    """The power of two from which on elements are huge beside the usual ones of `golden`, of
    which `slices` are the whole or a range; infinity where none are."""
    count, squares = slices.lines.count.sum(), slices.lines.golden_squares.sum()
    if squares == 0 or not len(slices.top.indices):
        return math.inf
    # Squares that are out of reach are those of huge elements.
    rms = math.sqrt(squares / count) if squares < math.inf else math.inf
    sizes = _sizes(golden)
    if not len(sizes):
        return math.inf
    huge = _after_a_gap(sizes) or _beyond_the_many(sizes)
    below = sizes[sizes < huge]
    return huge if np.dot(below, below) / len(below) * _HIDDEN**2 < rms * rms else math.inf


def _after_a_gap(sizes: Values) -> float:
    """Where the widest gap ends after which no less than a quarter stands, 0.0 without any."""
    low, high = sizes[len(sizes) // 4 : -1], sizes[len(sizes) // 4 + 1 :]
    gaps = high / low
    if not len(gaps) or gaps.max() < _GAP:
        return 0.0
    at = int(gaps.argmax())
    return _power_of_two(math.sqrt(low[at] * high[at]))


def _beyond_the_many(sizes: Values) -> float:
    return _power_of_two(8 * sizes[int((1 - _FEW) * (len(sizes) - 1))])


def _power_of_two(size: float) -> float:
    return 2.0 ** math.ceil(math.log2(size))


def _sizes(golden: Source) -> Values:
    """The magnitudes of a sample that are finite and not 0, in order."""
    sample: Values = np.abs(np.concatenate([*_runs(golden)]))
    some = sample[(sample > 0) & (sample < math.inf)]
    return np.sort(np.clip(some, 1 / _REACH, _REACH))


def _runs(golden: Source) -> Iterator[Values]:
    elements = golden.elements
    if elements <= _SAMPLE:
        yield widen(golden.read(0, elements), golden.dtype)
        return
    starts = [int((number * _STRIDE % 1) * (elements - _RUN)) for number in range(_SAMPLE // _RUN)]
    golden.expect([(start, start + _RUN) for start in starts])
    for start in starts:
        yield widen(golden.read(start, start + _RUN), golden.dtype)
