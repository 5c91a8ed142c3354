"""Lines of stored bits in, the sums of their fingerprint out."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel.abi.arguments import ChannelPlaces, LinePlaces, Sketch, Stored, desk
from ait_cmp.engine.kernel.abi.flags import BLOCK, Bytes
from ait_cmp.engine.kernel.abi.kinds import KINDS
from ait_cmp.engine.kernel.compiled import checker, looker, sketcher
from ait_cmp.fingerprint.signs import GROUP, bit_rows, kept_buckets, kept_signs, turns
from ait_cmp.values.dtypes import DType

__all__ = ["BUCKETS", "add_blocks", "add_lines", "bits_of"]

Keys = npt.NDArray[np.int32]
Factors = npt.NDArray[np.uint64]

BUCKETS = 16
_KEPT = 16


def add_lines(
    data: Bytes, dtype: DType, part: slice, channels: int, widths: tuple[int, int], keys: Keys,
    factors: Factors,
) -> tuple[Sketch, int]:  # fmt: skip
    """That of whole lines, a part of `data`, with indices in that, and what the blocks that begin
    in it, which have `factors`, add to the checksum.

    The first line is a multiple of 64, and of the lines in a bin. Of values that are not finite, or
    whose squares are not, the sums say so.
    """
    stored = Stored(KINDS[dtype.name], dtype.itemsize)
    count = part.stop - part.start
    bins = [-(-one // width) for one, width in zip((count, channels), widths, strict=True)]
    made = Sketch(
        lines=np.zeros((bins[0], BUCKETS + 2)),
        channels=np.zeros((bins[1], BUCKETS + 2)),
        peaks=np.empty((count, -(-channels // BLOCK)), np.float32),
        extremes=np.empty(2, np.float32),
        largest=np.empty(_KEPT, np.float32),
        places=np.empty(_KEPT, np.int64),
    )
    held = np.empty((BUCKETS + 2, -(-channels // GROUP) * GROUP), np.float32)
    mark = sketcher()(
        data, stored, part.start, widths, _lines(part.start, count), _channels(channels), keys,
        factors, desk(), held, made,
    )  # fmt: skip
    return made, mark


def bits_of(data: Bytes, dtype: DType, end: float) -> tuple[int, int]:
    """The bits of float32 significands in use by elements of at least 2**-14 and below `end`, and
    how many these are."""
    found = np.zeros(2, np.int64)
    word = int(np.float32(end).view(np.int32))
    looker()(data, Stored(KINDS[dtype.name], dtype.itemsize), word, desk().rows, found)
    return int(found[0]), int(found[1])


def add_blocks(data: Bytes, keys: Keys, factors: Factors) -> int:
    """The checksum of whole blocks, as `ait_cmp.fingerprint.checksum` has it."""
    return checker()(data, keys, factors)


@functools.lru_cache(maxsize=64)
def _lines(first: int, count: int) -> LinePlaces:
    places = np.arange(first, first + count, dtype=np.uint64)
    flips = np.where(kept_signs(places) < 0, 1 << 31, 0)
    own = np.stack((turns(places) % BUCKETS, kept_buckets(places) % BUCKETS, flips))
    return LinePlaces(bit_rows(places), own.astype(np.int64))


@functools.lru_cache(maxsize=16)
def _channels(count: int) -> ChannelPlaces:
    places = np.arange(count, dtype=np.uint64)
    bits = bit_rows(np.arange(-(-count // GROUP) * GROUP, dtype=np.uint64))
    halves = np.stack((bits, bits >> np.uint64(32))).astype(np.uint32)
    own = np.stack((kept_buckets(places) % BUCKETS, kept_signs(places).astype(np.int64)))
    return ChannelPlaces(halves, own.astype(np.int64), turns(places[::GROUP]) % BUCKETS)
