"""The elements of the largest magnitudes, of equal ones the first: what tiles have of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import Desk, Sketch, Stored
from ait_cmp.engine.kernel.abi.flags import BLOCK, EXACT, Bytes, Counts, Singles
from ait_cmp.engine.kernel.passes.load import load32

__all__ = ["keep_largest"]

_AT_ONCE = 64


@njit(**EXACT)
def keep_largest(
    data: Bytes, stored: Stored, first: int, size: int, desk: Desk, made: Sketch
) -> None:
    """The largest elements of lines of this size, from `first` on, none of which is 0, with their
    indices: they are in the tiles of the largest peaks, as many as are kept."""
    tiles, heights, peaks = desk.tiles, desk.heights, made.peaks
    largest, places = made.largest, made.places
    largest[:] = np.float32(0)
    places[:] = 0
    kept = _highest(peaks, heights, tiles)
    least = heights[-1] if kept == heights.shape[0] else np.float32(0)
    _sort(tiles[:kept])
    magnitudes = desk.magnitudes
    found = 0
    for number in range(kept):
        line = first + tiles[number] // peaks.shape[1]
        start = tiles[number] % peaks.shape[1] * BLOCK
        begin, stop = line * size + start, line * size + min(start + BLOCK, size)
        x = load32(data, stored, begin, stop, desk.rows[0])
        for ahead in range(0, x.shape[0], _AT_ONCE):
            some = x[ahead : ahead + _AT_ONCE]
            if not _has(some, least):
                continue
            for i in range(some.shape[0]):
                height = abs(some[i])
                if height < least or not height > (magnitudes[-1] if found == 16 else 0.0):
                    continue
                at = _make_room(height, magnitudes, places, found)
                for j in range(min(found, 15), at, -1):
                    largest[j] = largest[j - 1]
                largest[at], places[at] = some[i], begin + ahead + i
                found = min(found + 1, 16)


@njit(**EXACT)
def _highest(peaks: Singles, heights: Singles, tiles: Counts) -> int:
    """The tiles of the largest peaks, and how many there are."""
    found = 0
    for line in range(peaks.shape[0]):
        for column in range(peaks.shape[1]):
            height = peaks[line, column]
            if found < heights.shape[0] or height > heights[-1]:
                at = _make_room(height, heights, tiles, found)
                tiles[at] = line * peaks.shape[1] + column
                found = min(found + 1, heights.shape[0])
    return found


@njit(**EXACT)
def _make_room(height: Any, heights: Singles, items: Counts, found: int) -> int:
    """Where an item of this height goes, behind those of equal height; the last may go."""
    at = min(found, heights.shape[0] - 1)
    while at > 0 and heights[at - 1] < height:
        heights[at], items[at] = heights[at - 1], items[at - 1]
        at -= 1
    heights[at] = height
    return at


@njit(**EXACT)
def _sort(items: Counts) -> None:
    for i in range(1, items.shape[0]):
        for j in range(i, 0, -1):
            if items[j - 1] > items[j]:
                items[j - 1], items[j] = items[j], items[j - 1]


@njit(**EXACT)
def _has(some: Any, least: Any) -> bool:
    count = np.int32(0)
    for i in range(some.shape[0]):
        count += np.int32(1) if abs(some[i]) >= least else np.int32(0)
    return bool(count > 0)
