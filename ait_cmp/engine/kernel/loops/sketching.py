"""The sums of a fingerprint, line by line: what `ait_cmp.fingerprint.make` does by operations.

Signs are bits that are flipped, so that a signed sum costs what a sum does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import Stored
from ait_cmp.engine.kernel.abi.flags import EXACT, LANES, Bytes, Counts, Doubles, Singles
from ait_cmp.engine.kernel.passes.load import load32

__all__ = ["add_words", "sketch_lines"]

_BUCKETS, _TILE = 16, 1024  # `abi.sketching` has them too
_PATTERNS, _FLUSHED = 64, 64  # lines after which sums of channels go to float64


def sketch_lines(
    data: Bytes,
    stored: Stored,
    first: int,
    widths: Any,
    bits: Any,
    own: Counts,
    channel_bits: Any,
    channel_own: Counts,
    turns: Counts,
    scratch: Singles,
    held: Singles,
    lines: Doubles,
    channels: Doubles,
    peaks: Singles,
) -> None:
    """Add all lines of `data`, from `first` on; `widths` lines, and channels, are in a bin.

    Of each line there are 64 `bits`, its bucket as one that is summed, and its bucket and sign as
    one that is kept (`own`, 3 rows); of each channel both halves of its bits, its bucket and its
    sign as one that is kept, and of each 32 channels the part of the bucket that they share. Added
    to are 16 signed sums, Σx and Σx² of each bin of `lines` and of `channels`; made are the least
    and the largest element of each line and tile, side by side (`peaks`). `held` is for 18 sums of
    each channel.
    """
    size, count = held.shape[1], bits.shape[0]
    row, words = scratch[0], scratch[1].view(np.uint32)
    masks, turned = scratch[2].view(np.uint32), scratch[3]
    turned[: _BUCKETS * _BUCKETS] = 0.0
    held[:] = 0.0
    for line in range(count):
        _expand(bits[line], masks)
        at, into = first + line, lines[line // widths[0]]
        half, shift = channel_bits[at % _PATTERNS // 32], np.uint32(31 - at % 32)
        for start in range(0, size, _TILE):
            stop = min(start + _TILE, size)
            x = load32(data, stored, line * size + start, line * size + stop, row)
            _add_signed(x.view(np.uint32), masks, held[own[0, line], start:stop])
            _add_plain(x, held[_BUCKETS, start:stop], held[_BUCKETS + 1, start:stop])
            _add_line(x, into)
            _peaks(x.view(np.int32), peaks[line, 2 * (start // _TILE) :].view(np.int32))
            _turn(x.view(np.uint32), half[start:stop], shift, np.uint32(own[2, line]), words)
            _add_turned(words.view(np.float32), stop - start, turns[start // (2 * _BUCKETS) :],
                        own[1, line], turned)  # fmt: skip
        if (line + 1) % widths[0] == 0 or line + 1 == count:
            _untwist(turned, into)
        if (line + 1) % _FLUSHED == 0 or line + 1 == count:
            _flush(held, widths[1], channels)
    _bin(held, channel_own, widths[1], channels)


@njit(**EXACT)
def _expand(bits: Any, masks: Any) -> None:
    """Each bit as the sign bit of a word."""
    for i in range(_PATTERNS):
        masks[i] = np.uint32((bits >> np.uint64(i)) & np.uint64(1)) << np.uint32(31)


@njit(**LANES)
def _add_signed(words: Any, masks: Any, signed: Singles) -> None:
    whole = words.shape[0] // _PATTERNS
    for block in range(whole):
        at = block * _PATTERNS
        some, into = words[at : at + _PATTERNS], signed[at : at + _PATTERNS]
        for i in range(_PATTERNS):
            into[i] += np.uint32(some[i] ^ masks[i]).view(np.float32)
    for i in range(whole * _PATTERNS, words.shape[0]):
        signed[i] += np.uint32(words[i] ^ masks[i % _PATTERNS]).view(np.float32)


@njit(**LANES)
def _add_plain(x: Singles, total: Singles, squares: Singles) -> None:
    whole = x.shape[0] // _PATTERNS
    for block in range(whole):
        at = block * _PATTERNS
        some, one = x[at : at + _PATTERNS], total[at : at + _PATTERNS]
        two = squares[at : at + _PATTERNS]
        for i in range(_PATTERNS):
            one[i] += some[i]
            two[i] += some[i] * some[i]
    for i in range(whole * _PATTERNS, x.shape[0]):
        total[i] += x[i]
        squares[i] += x[i] * x[i]


@njit(**LANES)
def _add_line(x: Singles, into: Doubles) -> None:
    total = squares = np.float32(0)
    for i in range(x.shape[0]):
        total += x[i]
        squares += x[i] * x[i]
    into[_BUCKETS] += total
    into[_BUCKETS + 1] += squares


@njit(**EXACT)
def _peaks(words: Any, peaks: Any) -> None:
    """The least and the largest, as whole numbers of the same order; NaN is beyond infinity."""
    least, most = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
    for i in range(words.shape[0]):
        ordered = np.int32(words[i] ^ ((words[i] >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        least = min(least, ordered)
        most = max(most, ordered)
    peaks[0] = np.int32(least ^ ((least >> np.int32(31)) & np.int32(0x7FFFFFFF)))
    peaks[1] = np.int32(most ^ ((most >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@njit(**EXACT)
def _turn(words: Any, half: Any, shift: Any, flip: Any, turned: Any) -> None:
    """Each element with its sign as one that is summed by a line; zeros up to whole vectors."""
    size = words.shape[0]
    for i in range(size):
        turned[i] = words[i] ^ ((half[i] << shift) & np.uint32(0x80000000)) ^ flip
    for i in range(size, (size + 31) // 32 * 32):
        turned[i] = np.uint32(0)


@njit(**LANES)
def _add_turned(x: Singles, size: int, turns: Counts, own: int, turned: Singles) -> None:
    """Sixteen channels are in sixteen buckets, in the order that one number tells, the next sixteen
    in the same: those of equal order are added up."""
    for group in range((size + 2 * _BUCKETS - 1) // (2 * _BUCKETS)):
        at = (turns[group] ^ own) * _BUCKETS
        into, some = turned[at : at + _BUCKETS], x[2 * group * _BUCKETS :]
        for i in range(_BUCKETS):
            into[i] += some[i] + some[_BUCKETS + i]


@njit(**EXACT)
def _untwist(turned: Singles, into: Doubles) -> None:
    """Add the sums of each order to the buckets that they are of, and begin anew."""
    for order in range(_BUCKETS):
        for i in range(_BUCKETS):
            into[i ^ order] += turned[order * _BUCKETS + i]
            turned[order * _BUCKETS + i] = np.float32(0)


@njit(**EXACT)
def _flush(held: Singles, width: int, channels: Doubles) -> None:
    """Σx and Σx² of channels to their bins."""
    for which in range(_BUCKETS, _BUCKETS + 2):
        for i in range(held.shape[1]):
            channels[i // width, which] += held[which, i]
            held[which, i] = np.float32(0)


@njit(**EXACT)
def _bin(held: Singles, own: Counts, width: int, channels: Doubles) -> None:
    """Signed sums of channels to their bins, with what the channels' own places say."""
    for which in range(_BUCKETS):
        for i in range(held.shape[1]):
            channels[i // width, which ^ own[0, i]] += own[1, i] * held[which, i]


def add_words(data: Bytes, keys: Any, factors: Any) -> Any:
    """The checksum of whole blocks of twice as many words as there are keys of half a block; the
    sum of products, as `ait_cmp.fingerprint.checksum` has it."""
    half = keys.shape[0] // 2
    total = np.uint64(0)
    for block in range(factors.shape[0]):
        words = data[block * 8 * half : (block + 1) * 8 * half].view(np.int32)
        total += _mixed(_products(words, keys, half)) * np.uint64(factors[block])
    return total


@njit(**EXACT)
def _products(words: Any, keys: Any, half: int) -> Any:
    total = np.int64(0)
    for i in range(half):
        one = np.int64(np.int32(words[i] + keys[i]))
        two = np.int64(np.int32(words[half + i] + keys[half + i]))
        total += one * two
    return total


@njit(**EXACT)
def _mixed(value: Any) -> Any:
    return np.uint64(value ^ (value >> np.int64(32)))
