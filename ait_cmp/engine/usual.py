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

_SAMPLE, _RUN = 2048, 64  # elements that are looked at, so many in a row
_STRIDE = (math.sqrt(5) - 1) / 2  # of the tensor, from run to run: never in step with its axes
_FAR = 24.0  # times a low quartile: of a normal distribution the rms is 3
_HUGE = 64.0


def huge_from(golden: Source, slices: Slices) -> float:
    """The power of two from which on elements are huge beside the usual ones of `golden`, of
    which `slices` are the whole or a range; infinity where none are."""
    count, squares = slices.lines.count.sum(), slices.lines.golden_squares.sum()
    if not 0 < squares < math.inf or not len(slices.top.indices):
        return math.inf
    usual = _usual(golden)
    if not 0 < usual * _FAR < math.sqrt(squares / count):
        return math.inf
    return 2.0 ** math.ceil(math.log2(_HUGE * usual))


def _usual(golden: Source) -> float:
    """The low quartile of the magnitudes that are not 0, of a sample."""
    sample: Values = np.abs(np.concatenate([*_runs(golden)]))
    some = sample[(sample > 0) & (sample < math.inf)]
    return float(np.partition(some, len(some) // 4)[len(some) // 4]) if len(some) else 0.0


def _runs(golden: Source) -> Iterator[Values]:
    elements = golden.elements
    if elements <= _SAMPLE:
        yield widen(golden.read(0, elements), golden.dtype)
        return
    for number in range(_SAMPLE // _RUN):
        start = int((number * _STRIDE % 1) * (elements - _RUN))
        yield widen(golden.read(start, start + _RUN), golden.dtype)
