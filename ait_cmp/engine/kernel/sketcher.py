"""Lines of stored bits in, the sums of their fingerprint out."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel.abi.arguments import Stored, desk
from ait_cmp.engine.kernel.abi.flags import BLOCK, Bytes, Counts, Doubles, Singles
from ait_cmp.engine.kernel.abi.kinds import KINDS
from ait_cmp.engine.kernel.compiled import checker, looker, sketcher
from ait_cmp.fingerprint.signs import GROUP, bit_rows, kept_buckets, kept_signs, turns
from ait_cmp.values.dtypes import DType

__all__ = ["BUCKETS", "Sums", "add_blocks", "add_lines", "bits_of"]

BUCKETS = 16
_KEPT = 16


class Sums(NamedTuple):
    """What is known of lines: 16 signed sums, Σx and Σx² of each bin of lines, and of channels; the
    least and the largest element; those of the largest magnitudes, and their flat indices."""

    lines: Doubles
    channels: Doubles
    extremes: Singles
    largest: Singles
    places: Counts


class _Lines(NamedTuple):
    bits: npt.NDArray[np.uint64]
    own: Counts


class _Channels(NamedTuple):
    bits: npt.NDArray[np.uint32]
    own: Counts
    turns: Counts


def add_lines(
    data: Bytes, dtype: DType, first: int, channels: int, widths: tuple[int, int]
) -> Sums:
    """Those of whole lines, from `first` on.

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
    peaks = np.empty((count, -(-channels // BLOCK)), np.float32)
    held = np.empty((BUCKETS + 2, -(-channels // GROUP) * GROUP), np.float32)
    extremes, largest = np.empty(2, np.float32), np.empty(_KEPT, np.float32)
    places = np.empty(_KEPT, np.int64)
    sketcher()(
        data, stored, first, widths, lines.bits, lines.own, of_channels.bits, of_channels.own,
        of_channels.turns, desk(), held, *tables, peaks, extremes, largest, places,
    )  # fmt: skip
    return Sums(tables[0], tables[1], extremes, largest, places + first * channels)


def bits_of(data: Bytes, dtype: DType, end: float) -> tuple[int, int]:
    """The bits of float32 significands in use by elements of at least 2**-14 and below `end`, and
    how many these are."""
    found = np.zeros(2, np.int64)
    word = int(np.float32(end).view(np.int32))
    looker()(data, Stored(KINDS[dtype.name], dtype.itemsize), word, desk().rows, found)
    return int(found[0]), int(found[1])


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
    bits = bit_rows(np.arange(-(-count // GROUP) * GROUP, dtype=np.uint64))
    halves = np.stack((bits, bits >> np.uint64(32))).astype(np.uint32)
    own = np.stack((kept_buckets(places) % BUCKETS, kept_signs(places).astype(np.int64)))
    return _Channels(halves, own.astype(np.int64), turns(places[::GROUP]) % BUCKETS)
