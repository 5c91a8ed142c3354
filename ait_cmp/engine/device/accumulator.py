"""The engine that leaves tensors where they are."""

from __future__ import annotations

import functools
import operator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from ait_cmp.engine.device.slices import MARKS, Tables, marks_of, top_of
from ait_cmp.engine.device.sums import stats_of
from ait_cmp.engine.device.values import as_tensor, pairs_of
from ait_cmp.engine.kernel.abi.tables import grid
from ait_cmp.engine.kernel.abi.thresholds import Options
from ait_cmp.engine.slices import TOP, Bins, Slices, Table, Top, first_index
from ait_cmp.engine.stats import EMPTY, FIELDS, Stats
from ait_cmp.source import Array
from ait_cmp.values.dtypes import DType

__all__ = ["TorchAccumulator"]

_WHOLE = np.array([isinstance(field.empty, int) for field in FIELDS])
_Floats = npt.NDArray[np.float64]


class TorchAccumulator:
    """Adds consecutive runs of one pair by torch operations, in float64 on their own device."""

    def __init__(self, golden: DType, my: DType, options: Options, bins: Bins) -> None:
        self._types, self._options, self._bins = (golden, my), options, bins
        sliced = options.parts.slices and golden.is_floating and my.is_floating
        self._is_wide = "float64" in (golden.name, my.name)
        self._is_sliced = sliced and bins.channels > 0
        self._has_slices = sliced
        self._grid = grid(golden, my, bins, options.huge)
        self._tables: Tables | None = None
        self._stats: list[torch.Tensor] = []
        self._marks: list[torch.Tensor] = []
        self._top: list[torch.Tensor] = []

    def add(self, golden_bits: Array, my_bits: Array, start: int) -> None:
        """Add 1-D arrays of stored bits, the first element of which has index `start`."""
        golden, my = self._types
        self.add_tensors(as_tensor(golden_bits, golden), as_tensor(my_bits, my), start)

    def add_tensors(self, golden: torch.Tensor, my: torch.Tensor, start: int) -> None:
        """Add flat tensors of one device, the first element of which has index `start`."""
        if golden.numel() != my.numel():
            raise ValueError(f"{golden.numel()} elements cannot be paired with {my.numel()}")
        if not golden.numel():
            return
        pairs = pairs_of(golden, my)
        self._stats.append(stats_of(pairs, start, self._options, is_wide=self._is_wide))
        if self._is_sliced:
            if self._tables is None:
                self._tables = Tables(self._bins, self._grid, golden.device)
            plain, ended = self._tables.add(pairs, start)
            self._top.append(top_of(pairs, plain, start))
            self._marks.append(marks_of(pairs, ended, start, self._grid))

    def stats(self) -> Stats:
        """The stats of all runs so far, copied from the device at once."""
        slices = self._nothing() if self._has_slices else None
        if not self._stats:
            return replace(Stats(epsilon=self._options.epsilon), slices=slices)
        on_device = [*self._stats, *self._marks, *self._top]
        on_device += [self._tables.sums] if self._tables else []
        numbers = torch.cat([one.reshape(-1) for one in on_device]).cpu().numpy()
        blocks, size = len(self._stats), len(FIELDS)
        rows, rest = numbers[: blocks * size].reshape(blocks, size), numbers[blocks * size :]
        stats = functools.reduce(operator.add, map(_stats, rows))
        if self._tables:
            slices = self._slices(rest)
        return replace(stats, slices=slices)

    def _nothing(self) -> Slices:
        """The slices of no elements."""
        bins = self._bins
        lines, channels = (
            Table(np.zeros((5, count))) for count in (bins.line_bins, bins.channel_bins)
        )
        return Slices(lines, channels, _top(np.zeros((3, 0))), 0, 0, 0, 0, 0, -1)

    def _slices(self, numbers: _Floats) -> Slices:
        """Marks and kept elements of every block, and the tables of all."""
        blocks, lines = len(self._stats), self._bins.line_bins
        marks, rest = np.split(numbers, [blocks * len(MARKS)])
        sizes = [one.numel() for one in self._top]
        *tops, sums = np.split(rest, np.cumsum(sizes))
        table = sums.reshape(5, -1)
        told = marks.reshape(blocks, -1).astype(np.int64)
        golden_bits, my_bits, gridded, saturated, clipped, first = told.T
        return Slices(
            Table(table[:, :lines].copy()),
            Table(table[:, lines:].copy()),
            functools.reduce(operator.add, [_top(one.reshape(3, -1)) for one in tops]),
            int(np.bitwise_or.reduce(golden_bits)),
            int(np.bitwise_or.reduce(my_bits)),
            int(gridded.sum()),
            int(saturated.sum()),
            int(clipped.sum()),
            functools.reduce(first_index, first.tolist()),
        )


def _stats(numbers: _Floats) -> Stats:
    """The stats of these numbers, in the order of `FIELDS`."""
    packed = np.frombuffer(bytearray(EMPTY), np.int64)
    packed.view(np.float64)[~_WHOLE] = numbers[~_WHOLE]
    packed[_WHOLE] = numbers[_WHOLE].astype(np.int64)
    return Stats.unpack(packed)


def _top(numbers: _Floats) -> Top:
    """The elements among these, of differences, golden and indices, that are kept."""
    kept = numbers[:, numbers[2] >= 0]
    differences, golden, indices = kept
    order = np.lexsort((indices, -np.abs(differences)))[:TOP]
    return Top(differences[order], golden[order], indices[order].astype(np.int64))
