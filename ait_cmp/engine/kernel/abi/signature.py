"""The types of what the compiled functions are given."""

from __future__ import annotations

from numba import types

from ait_cmp.engine.kernel.abi.arguments import (
    ChannelPlaces,
    Desk,
    Grid,
    LinePlaces,
    Results,
    Room,
    Sketch,
    Stored,
    Tables,
    Thresholds,
)
from ait_cmp.engine.parts import Parts

__all__ = ["ADD", "CHECK", "CLEAN", "ENDS", "LOOK", "REDUCE", "SKETCH"]

# Arrays that may be written, or are aligned, are accepted for one that may not or is not.
_BYTES = types.Array(types.uint8, 1, "C", readonly=True, aligned=False)
_ROW = types.Array(types.float64, 1, "C", readonly=True)
_TABLE = types.Array(types.float64, 2, "C", readonly=True)
_PLACES = types.Array(types.int64, 1, "C", readonly=True)
_SINGLES, _DOUBLES = types.float32[:, ::1], types.float64[:, ::1]
_COUNTS = types.int64[::1]

_STORED = types.NamedUniTuple(types.int64, 2, Stored)
_THRESHOLDS = types.NamedTuple(
    (
        *(types.float64,) * 3,
        *(types.float32,) * 5,
        types.boolean,
        types.NamedUniTuple(types.boolean, len(Parts._fields), Parts),
    ),
    Thresholds,
)
_ROOM = types.NamedTuple((_SINGLES, _DOUBLES, types.int32[::1]), Room)
_RESULTS = types.NamedTuple((_COUNTS, types.float64[::1]), Results)
_GRID = types.NamedTuple(
    (*(types.int64,) * 5, types.boolean, types.int64, types.int64, *(types.float64,) * 5), Grid
)
_TABLES = types.NamedTuple(
    (_DOUBLES, _DOUBLES, _SINGLES, _DOUBLES, _DOUBLES, _COUNTS, _COUNTS), Tables
)

_SIDE = (_BYTES, _STORED)
ADD = types.void(
    *_SIDE, *_SIDE, types.int64, types.boolean, _THRESHOLDS, _ROOM, _RESULTS, _GRID, _TABLES
)
_WORDS = types.Array(types.uint64, 1, "C", readonly=True)
_NUMBERS = types.Array(types.int64, 2, "C", readonly=True)
_HALVES = types.Array(types.uint32, 2, "C", readonly=True)
_SINGLE, _SIGNED = types.float32[::1], types.int32[::1]
_DESK = types.NamedTuple(
    (
        *(_SINGLES, _SINGLES, types.uint32[:, ::1]),
        *(_SINGLE,) * 4,
        *(types.int64[:, ::1], _COUNTS, _SINGLE, _SINGLE, _SIGNED, _SIGNED),
    ),
    Desk,
)
_KEYS = types.Array(types.int32, 1, "C", readonly=True)
_SKETCH = (_DOUBLES, _DOUBLES, _SINGLES, _SINGLE, _SINGLE, _COUNTS)
SKETCH = types.int64(
    *_SIDE, types.int64, types.UniTuple(types.int64, 2),
    types.NamedTuple((_WORDS, _NUMBERS), LinePlaces),
    types.NamedTuple((_HALVES, _NUMBERS, _PLACES), ChannelPlaces),
    _KEYS, _WORDS, _DESK, _SINGLES, types.NamedTuple(_SKETCH, Sketch),
)  # fmt: skip
LOOK = types.void(*_SIDE, types.int64, _SINGLES, _COUNTS)
ENDS = types.void(*_SIDE, types.float64, _SINGLES, _COUNTS, types.float64[::1])
CLEAN = types.void(
    *_SIDE, types.int64, types.UniTuple(types.int64, 2), types.float64,
    types.UniTuple(types.float64, 2), _SINGLES, _SINGLES, _COUNTS, _COUNTS,
)  # fmt: skip
CHECK = types.int64(_BYTES, _KEYS, _WORDS)
REDUCE = types.boolean(_TABLE, _TABLE, _ROW, _ROW, _PLACES, *(types.int64,) * 4, _ROOM, _RESULTS)
