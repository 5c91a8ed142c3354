"""Lines of stored bits in, the sums of their fingerprint out."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel.abi.arguments import ChannelPlaces, LinePlaces, Sketch, Stored, desk
from ait_cmp.engine.kernel.abi.flags import BLOCK, Bytes, Counts, Doubles, Singles
from ait_cmp.engine.kernel.abi.kinds import KINDS
from ait_cmp.engine.kernel.compiled import checker, cleaner, ends_looker, looker, sketcher
from ait_cmp.fingerprint.signs import GROUP, bit_rows, kept_buckets, kept_signs, turns
from ait_cmp.values.dtypes import DType

__all__ = ["BUCKETS", "add_blocks", "add_lines", "bits_of", "cleaned_lines", "ends_of"]

Keys = npt.NDArray[np.int32]
Factors = npt.NDArray[np.uint64]

BUCKETS = 16
_KEPT = 16


def add_lines(
    data: Bytes, dtype: DType, part: slice, channels: int, widths: tuple[int, int], keys: Keys,
    factors: Factors, *, first: int | None = None,
) -> tuple[Sketch, int]:  # fmt: skip
    """That of whole lines, a part of a tensor, with indices in that, and what the blocks that begin
    in it, which have `factors`, add to the checksum. They begin at the line `first` of `data`,
    which is that of the part where nothing is said.

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
    first = part.start if first is None else first
    mark = sketcher()(
        data, stored, first, widths, _lines(part.start, count), _channels(channels), keys,
        factors, desk(), held, made,
    )  # fmt: skip
    np.add(made.places, (part.start - first) * channels, out=made.places)
    return made, mark


def ends_of(data: Bytes, dtype: DType, end: float) -> tuple[Counts, Doubles]:
    """Of elements that are no less than `end`, or no numbers: how many are NaN, infinite and
    neither (positive, negative each), a hash of their places, and the first that is not finite, -1
    where none is; the extremes of all others, and of what is finite of these, and its sum."""
    counts = np.array([0] * 6 + [-1], np.int64)
    ends = np.array([np.inf, -np.inf, np.inf, -np.inf, 0.0])
    stored = Stored(KINDS[dtype.name], dtype.itemsize)
    ends_looker()(data, stored, end, desk().rows, counts, ends)
    return counts, ends


def cleaned_lines(
    data: Bytes, dtype: DType, part: slice, channels: int, widths: tuple[int, int], end: float,
    exponent: int,
) -> tuple[Singles, Counts, Counts]:  # fmt: skip
    """Whole lines of `data` in units of 2**exponent, without elements that are no less than `end`,
    or no numbers; and how many these are, by bins of lines and of channels."""
    count = part.stop - part.start
    half = exponent // 2  # in two steps, since a power of two may be out of reach
    cleaned = np.empty((count, channels), np.float32)
    bins = [-(-one // width) for one, width in zip((count, channels), widths, strict=True)]
    left_out = [np.zeros(one, np.int64) for one in bins]
    stored = Stored(KINDS[dtype.name], dtype.itemsize)
    units = 2.0**-half, 2.0 ** (half - exponent)
    cleaner()(data, stored, part.start, widths, end, units, desk().rows, cleaned, *left_out)
    return cleaned, left_out[0], left_out[1]


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
