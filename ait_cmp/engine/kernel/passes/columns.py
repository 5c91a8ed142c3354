"""Sums by channel of blocks: eight channels at a time, in slots that stay in a cache.

Up to 1024 channels a slot is a channel; a period of several lines where channels are few, so
that loops are long. For more, a bin of channels has eight slots. Slots are of the type of the
elements; `fold_columns` adds them to the table before float32 has more to add up than it can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ait_cmp.engine.kernel.abi.arguments import LANES, PENDING, Grid, Tables
from ait_cmp.engine.kernel.abi.flags import EXACT
from ait_cmp.engine.kernel.internals import intrinsic, ir, njit, types

__all__ = ["add_columns", "fold_columns"]

_ROWS = 4  # lines that are added to a slot at once
_ELEMENTS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
_FLAGS = ("contract", "nsz", "reassoc")


def _vector_adder(rows: int) -> Callable[..., Any]:
    """Code that adds the squares and products of so many vectors to the slots of one.

    Written as vectors, since the compiler's own need a check of every array for overlap
    with every other, which takes longer than the loop.
    """

    @intrinsic
    def add(
        typing_context: Any, golden: Any, my: Any, at: Any, stride: Any, slots: Any, slot: Any
    ) -> Any:
        """g² , d², gd and d of golden[at + k * stride + lane] into slots[:, slot + lane]."""
        del typing_context, at, stride, slot
        places = types.intp, types.intp
        return types.void(golden, my, *places, slots, types.intp), generate

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        element = signature.args[0].dtype
        pointer = ir.VectorType(_ELEMENTS[element], LANES).as_pointer()
        alignment = element.bitwidth // 8

        def vector(array: int, at: Any) -> Any:
            made = context.make_array(signature.args[array])(context, builder, values[array])
            return builder.bitcast(builder.gep(made.data, [at]), pointer)

        at, stride, slot = values[2], values[3], values[5]
        made = context.make_array(signature.args[4])(context, builder, values[4])
        row = builder.extract_value(made.shape, 1)
        terms: list[Any] = []
        for _ in range(rows):
            g, m = (builder.load(vector(side, at), align=1) for side in (0, 1))
            d = builder.fsub(m, g)
            products = [builder.fmul(x, y, flags=_FLAGS) for x, y in ((g, g), (d, d), (g, d))]
            terms.append([*products, d])
            at = builder.add(at, stride)
        for added in zip(*terms, strict=True):
            place = vector(4, slot)
            total = builder.load(place, align=alignment)
            for term in added:
                total = builder.fadd(total, term, flags=_FLAGS)
            builder.store(total, place, align=alignment)
            slot = builder.add(slot, row)
        return context.get_dummy_value()

    return add


_add_vector, _add_vectors = _vector_adder(1), _vector_adder(_ROWS)


@njit(**EXACT)
def add_columns(golden: Any, my: Any, index: int, grid: Grid, slots: Any, tables: Tables) -> None:
    """Add a block that starts at this flat index to its slots, which are of its type."""
    elements = golden.shape[0]
    if tables.marks[PENDING] + elements > grid.patience:
        fold_columns(grid, slots, tables)
    tables.marks[PENDING] += elements
    if grid.shift == 0:
        _add_lines(golden, my, index % grid.period, grid.period, slots)
    else:
        _add_bins(golden, my, index % grid.channels, grid, slots)


@njit(**EXACT)
def _add_lines(golden: Any, my: Any, phase: int, period: int, slots: Any) -> None:
    """Period by period from where in it the block begins, the one slot of an element after the
    other; the last ones of a period are the first slots."""
    elements, at = golden.shape[0], 0
    while at < elements:
        length = min(period, elements - at)
        head = min(length, period - phase)
        rows = _ROWS if elements - at >= _ROWS * period else 1
        _add_line(golden, my, at, head, rows, period, slots, phase)
        _add_line(golden, my, at + head, length - head, rows, period, slots, 0)
        at += rows * length


@njit(**EXACT)
def _add_line(
    golden: Any, my: Any, at: int, length: int, rows: int, period: int, slots: Any, slot: int
) -> None:
    whole = length - length % LANES
    if rows == 1:
        for i in range(0, whole, LANES):
            _add_vector(golden, my, at + i, 0, slots, slot + i)
    else:
        for i in range(0, whole, LANES):
            _add_vectors(golden, my, at + i, period, slots, slot + i)
    for row in range(rows):
        for i in range(whole, length):
            _add_one(golden, my, at + row * period + i, slots, slot + i)


@njit(**EXACT)
def _add_bins(golden: Any, my: Any, column: int, grid: Grid, slots: Any) -> None:
    """Bin by bin; a bin's width is a multiple of four vectors."""
    elements, at = golden.shape[0], 0
    while at < elements:
        slot = (column >> grid.shift) * LANES
        end = min(((column >> grid.shift) + 1) << grid.shift, grid.channels)
        stop = min(at + end - column, elements)
        column = end if end < grid.channels else 0
        while at + _ROWS * LANES <= stop:
            _add_vectors(golden, my, at, LANES, slots, slot)
            at += _ROWS * LANES
        while at < stop:
            _add_one(golden, my, at, slots, slot + at % LANES)
            at += 1


@njit(**EXACT)
def _add_one(golden: Any, my: Any, at: int, slots: Any, slot: int) -> None:
    g = golden[at]
    d = my[at] - g
    slots[0, slot] += g * g
    slots[1, slot] += d * d
    slots[2, slot] += g * d
    slots[3, slot] += d


@njit(**EXACT)
def fold_columns(grid: Grid, slots: Any, tables: Tables) -> None:
    """Add the slots to the table of channels, and empty them."""
    if tables.marks[PENDING] == 0:
        return
    tables.marks[PENDING] = 0
    channels = tables.channels
    for which in range(slots.shape[0]):
        sums, row = channels[which + 1], slots[which]
        if grid.shift == 0:
            for first in range(0, grid.period, grid.channels):
                for i in range(grid.channels):
                    sums[i] += np.float64(row[first + i])
        else:
            for i in range(sums.shape[0] * LANES):
                sums[i // LANES] += np.float64(row[i])
        for i in range(row.shape[0]):
            row[i] = 0
