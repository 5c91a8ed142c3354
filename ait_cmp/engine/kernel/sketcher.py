"""Lines of stored bits in, the sums of their fingerprint out."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel.abi.arguments import Stored
from ait_cmp.engine.kernel.abi.flags import Bytes, Counts, Doubles, Singles
from ait_cmp.engine.kernel.abi.kinds import KINDS
from ait_cmp.engine.kernel.compiled import checker, sketcher
from ait_cmp.fingerprint.signs import GROUP, bit_rows, kept_buckets, kept_signs, turns
from ait_cmp.values.dtypes import DType

__all__ = ["BUCKETS", "TILE", "add_blocks", "add_lines"]

BUCKETS, TILE = 16, 1024  # of `loops.sketching`
_SCRATCH = TILE + 208  # see `abi.flags.ROW`


class _Lines(NamedTuple):
    bits: npt.NDArray[np.uint64]
    own: Counts


class _Channels(NamedTuple):
    bits: npt.NDArray[np.uint32]
    own: Counts
    turns: Counts


def add_lines(
    data: Bytes, dtype: DType, first: int, channels: int, widths: tuple[int, int]
) -> tuple[Doubles, Doubles, Singles]:
    """Of whole lines, from `first` on: 16 signed sums, Σx and Σx² of their bins, and of the bins of
    channels, and the least and the largest element of each line and 1,024 channels.

    `first` is a multiple of 64, and of the lines in a bin. Of values that are not finite, or whose
    squares are not, the sums say so.
    """
    stored = Stored(KINDS[dtype.name], dtype.itemsize)
    count = len(data) // (channels * dtype.itemsize)
    lines, of_channels = _lines(first, count), _channels(channels)
    tables = [
        np.zeros((-(-one // width), BUCKETS + 2))
        for one, width in zip((count, channels), widths, strict=True)
    ]
    peaks = np.empty((count, 2 * -(-channels // TILE)), np.float32)
    scratch = np.empty((4, _SCRATCH), np.float32)
    held = np.empty((BUCKETS + 2, channels), np.float32)
    sketcher()(
        data, stored, first, widths, lines.bits, lines.own, of_channels.bits, of_channels.own,
        of_channels.turns, scratch, held, *tables, peaks,
    )  # fmt: skip
    return tables[0], tables[1], peaks


def add_blocks(data: Bytes, keys: npt.NDArray[np.int32], factors: npt.NDArray[np.uint64]) -> int:
    """The checksum of whole blocks, as `ait_cmp.fingerprint.checksum` has it."""
    return checker()(data, keys, factors)


@functools.lru_cache(maxsize=64)
def _lines(first: int, count: int) -> _Lines:
    places = np.arange(first, first + count, dtype=np.uint64)
    flips = np.where(kept_signs(places) < 0, 1 << 31, 0)
    own = np.stack((turns(places) % BUCKETS, kept_buckets(places) % BUCKETS, flips))
    return _Lines(bit_rows(places), own.astype(np.int64))


@functools.lru_cache(maxsize=16)
def _channels(count: int) -> _Channels:
    places = np.arange(count, dtype=np.uint64)
    bits = bit_rows(places)
    halves = np.stack((bits, bits >> np.uint64(32))).astype(np.uint32)
    own = np.stack((kept_buckets(places) % BUCKETS, kept_signs(places).astype(np.int64)))
    return _Channels(halves, own.astype(np.int64), turns(places[::GROUP]) % BUCKETS)
