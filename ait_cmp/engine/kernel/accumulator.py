"""The stats of a range, from its elements run by run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ait_cmp.engine.kernel import tables
from ait_cmp.engine.kernel.arguments import Results, Stored, room, thresholds
from ait_cmp.engine.kernel.flags import Bytes
from ait_cmp.engine.kernel.kinds import EXACT_DIFFERENCES, KINDS
from ait_cmp.engine.kernel.options import Options
from ait_cmp.engine.slices import Bins
from ait_cmp.engine.stats import Stats
from ait_cmp.source import Array
from ait_cmp.values.dtypes import DType

__all__ = ["Accumulator"]


class Accumulator:
    """Adds consecutive runs of one pair; for one thread, while others may use their own."""

    def __init__(self, golden: DType, my: DType, options: Options, bins: Bins) -> None:
        self._golden = Stored(KINDS[golden.name], golden.itemsize)
        self._my = Stored(KINDS[my.name], my.itemsize)
        self._is_wide = golden.is_wide or my.is_wide
        exact = EXACT_DIFFERENCES.issuperset((self._golden.kind, self._my.kind))
        self._thresholds = thresholds(options, exact=exact)
        self._room = room()
        self._results = Results.of(options.epsilon)
        sliced = options.parts.slices and golden.is_floating and my.is_floating
        self._bins = bins if sliced else None
        self._grid = tables.grid(golden, my, self._bins)
        self._tables = tables.empty(self._bins, self._grid)

    def add(self, golden_bits: Array, my_bits: Array, start: int) -> None:
        """Add 1-D arrays of stored bits, the first element of which has index `start`.

        They may be read-only and of any alignment. The interpreter is free meanwhile.
        """
        # Imported on first use, since a process that only hands out work needs no numba.
        from ait_cmp.engine.kernel import compiled

        if golden_bits.size != my_bits.size:
            raise ValueError(f"{golden_bits.size} elements cannot be paired with {my_bits.size}")
        golden, my = _bytes(golden_bits), _bytes(my_bits)
        work = self._thresholds, self._room, self._results, self._grid, self._tables
        done = 0
        if not self._is_wide:
            done = compiled.narrow()(golden, self._golden, my, self._my, start, *work)
            golden, my = golden[done * self._golden.itemsize :], my[done * self._my.itemsize :]
        if done < golden_bits.size:
            compiled.wide()(golden, self._golden, my, self._my, start + done, *work)

    def stats(self) -> Stats:
        """The stats of all runs so far."""
        slices = tables.slices(self._tables) if self._bins is not None else None
        return replace(Stats.unpack(self._results.counts), slices=slices)


def _bytes(bits: Array) -> Bytes:
    return np.ascontiguousarray(bits).view(np.uint8)
