"""The stats of a range, from its elements run by run."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ait_cmp.engine.kernel.abi import tables
from ait_cmp.engine.kernel.abi.arguments import Grid, Results, Stored, Thresholds, room
from ait_cmp.engine.kernel.abi.flags import Bytes
from ait_cmp.engine.kernel.abi.kinds import EXACT_DIFFERENCES, KINDS
from ait_cmp.engine.kernel.abi.thresholds import Options, thresholds
from ait_cmp.engine.slices import Bins
from ait_cmp.engine.stats import EMPTY, SLOTS, Stats
from ait_cmp.source import Array
from ait_cmp.values.dtypes import DType

__all__ = ["Accumulator"]


class Accumulator:
    """Adds consecutive runs of one pair; for one thread, while others may use their own."""

    def __init__(self, golden: DType, my: DType, options: Options, bins: Bins) -> None:
        self._plan = _plan(golden, my, options, bins)
        self._results = Results.of(EMPTY)
        self._results.sums[SLOTS.epsilon] = options.epsilon
        self._tables = tables.empty(self._plan.bins, self._plan.grid)

    def add(self, golden_bits: Array, my_bits: Array, start: int) -> None:
        """Add 1-D arrays of stored bits, the first element of which has index `start`.

        They may be read-only and of any alignment. The interpreter is free meanwhile.
        """
        # Imported on first use, since a process that only hands out work needs no numba.
        from ait_cmp.engine.kernel.compiled import adder

        if golden_bits.size != my_bits.size:
            raise ValueError(f"{golden_bits.size} elements cannot be paired with {my_bits.size}")
        plan = self._plan
        adder()(
            _bytes(golden_bits), plan.golden, _bytes(my_bits), plan.my, start, plan.narrow,
            plan.thresholds, room(), self._results, plan.grid, self._tables,
        )  # fmt: skip

    def stats(self) -> Stats:
        """The stats of all runs so far. Their slices go on changing with what is added."""
        slices = tables.slices(self._tables) if self._plan.bins is not None else None
        return Stats.unpack(self._results.counts, slices)


class _Plan(NamedTuple):
    """What the loops are told of a pair besides its elements."""

    golden: Stored
    my: Stored
    narrow: bool
    thresholds: Thresholds
    grid: Grid
    bins: Bins | None


@functools.lru_cache(maxsize=1024)  # pairs of a model are mostly of a few shapes
def _plan(golden: DType, my: DType, options: Options, bins: Bins) -> _Plan:
    exact = EXACT_DIFFERENCES.issuperset((KINDS[golden.name], KINDS[my.name]))
    sliced = bins if options.parts.slices and golden.is_floating and my.is_floating else None
    return _Plan(
        golden=Stored(KINDS[golden.name], golden.itemsize),
        my=Stored(KINDS[my.name], my.itemsize),
        narrow=not (golden.is_wide or my.is_wide),
        thresholds=thresholds(options, exact=exact),
        grid=tables.grid(golden, my, sliced, options.huge),
        bins=sliced,
    )


def _bytes(bits: Array) -> Bytes:
    return np.ascontiguousarray(bits).view(np.uint8)
