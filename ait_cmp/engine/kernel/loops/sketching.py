"""The sums of a fingerprint, line by line: what `ait_cmp.fingerprint.make` does by operations.

Signs are bits that are flipped, so that a signed sum costs what a sum does. Lines are taken in
fours, two pairs of one bucket each, so that the sums of channels are fetched seldom.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import Desk, Stored
from ait_cmp.engine.kernel.abi.flags import BLOCK, EXACT, LANES, Bytes, Counts, Doubles, Singles
from ait_cmp.engine.kernel.passes.largest import keep_largest
from ait_cmp.engine.kernel.passes.load import load32
from ait_cmp.engine.kernel.passes.signing import (
    BUCKETS,
    FLIP,
    GROUP,
    HELD,
    MASK,
    ROWS,
    SHIFT,
    TABLE,
    TURN,
    add_four,
    add_one,
    add_orders,
    add_products,
    add_turns,
)

__all__ = ["add_words", "look_at_bits", "sketch_lines"]

_PATTERNS, _FLUSHED = 64, 64  # lines after which sums of channels go to float64
_LEAST, _MOST, _TOP = 2 * ROWS, 2 * ROWS + 1, 2 * ROWS + 2  # of `Desk.ends`
_LEAST_TOLD = np.int32(0x38800000)  # 2**-14


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
    desk: Desk,
    held: Singles,
    lines: Doubles,
    channels: Doubles,
    peaks: Singles,
    extremes: Singles,
    largest: Singles,
    places: Counts,
) -> None:
    """Add all lines of `data`, from `first` on; `widths` lines, and channels, are in a bin.

    Of each line there are 64 `bits`, its bucket as one that is summed, and its bucket and sign as
    one that is kept (`own`, 3 rows); of each channel both halves of its bits, its bucket and its
    sign as one that is kept, and of each 32 channels the part of the bucket that they share. Added
    to are 16 signed sums, Σx and Σx² of each bin of `lines` and of `channels`; made are the largest
    magnitude of each line and tile (`peaks`), the least and the largest element (`extremes`), and
    the elements of the largest magnitudes with their indices in `data`, 0.0 where there are fewer.
    `held` is for 18 sums of each channel, of whole groups of 32.
    """
    count = bits.shape[0]
    desk.turned[:] = 0.0
    held[:] = 0.0
    desk.ends[_LEAST], desk.ends[_MOST], desk.ends[_TOP] = -1, -0x80000000, 0
    for start in range(0, count, GROUP):
        stop = min(start + GROUP, count)
        for line in range(start, stop):
            _expand(bits[line], desk.masks[line - start])
        half = channel_bits[(first + start) % _PATTERNS // GROUP]
        if stop == start + GROUP:
            for line in range(start, start + BUCKETS, 2):
                _add_lines(line, ROWS, data, stored, widths[0], own, half, turns,
                           channel_own.shape[1], desk, held, lines, peaks)  # fmt: skip
        else:
            for line in range(start, stop):
                _add_lines(line, 1, data, stored, widths[0], own, half, turns,
                           channel_own.shape[1], desk, held, lines, peaks)  # fmt: skip
        if stop % widths[0] == 0 or stop == count:
            for bin_ in range(start // widths[0], (stop - 1) // widths[0] + 1):
                add_orders(desk.turned, _table(bin_, start, widths[0]), lines, bin_)
        if stop % _FLUSHED == 0 or stop == count:
            _flush(held, widths[1], channels)
    _bin(held, channel_own, widths[1], desk.signs, channels)
    _say(desk.ends, extremes.view(np.int32))
    keep_largest(data, stored, channel_own.shape[1], peaks, desk, largest, places)


@njit(**EXACT)
def _expand(bits: Any, masks: Any) -> None:
    """Each bit as the sign bit of a word."""
    for i in range(_PATTERNS):
        masks[i] = np.uint32((bits >> np.uint64(i)) & np.uint64(1)) << np.uint32(31)


@njit(**EXACT)
def _table(bin_: int, start: int, width: int) -> int:
    """Where the sums by order are of a bin of lines, of which a group may have several."""
    return (bin_ - start // width) * BUCKETS * BUCKETS


@njit(**EXACT)
def _add_lines(
    line: int,
    rows: int,
    data: Bytes,
    stored: Stored,
    width: int,
    own: Counts,
    half: Any,
    turns: Counts,
    size: int,
    desk: Desk,
    held: Singles,
    lines: Doubles,
    peaks: Singles,
) -> None:
    """Add one line; or four: it, the next one, and those that share their buckets."""
    for row in range(rows):
        _tell(line + _step(row), own, width, desk.facts[row])
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        at, end = line * size + start, line * size + stop
        if rows == 1:
            a = load32(data, stored, at, end, desk.rows[0])
            _add_tile(a, a, a, a, rows, start, half, turns, desk, held)
        else:
            a = load32(data, stored, at, end, desk.rows[0])
            b = load32(data, stored, at + _step(1) * size, end + _step(1) * size, desk.rows[1])
            c = load32(data, stored, at + _step(2) * size, end + _step(2) * size, desk.rows[2])
            d = load32(data, stored, at + _step(3) * size, end + _step(3) * size, desk.rows[3])
            _add_tile(a, b, c, d, rows, start, half, turns, desk, held)
        for row in range(rows):
            one = line + _step(row)
            lines[one // width, BUCKETS] += desk.sums[2 * row]
            lines[one // width, BUCKETS + 1] += desk.sums[2 * row + 1]
            most, top = desk.ends[2 * row], desk.ends[2 * row + 1]
            desk.ends[_MOST] = max(desk.ends[_MOST], most)
            desk.ends[_TOP] = _larger(desk.ends[_TOP], top)
            largest = max(most, top & np.int32(0x7FFFFFFF) if top < 0 else np.int32(0))
            peaks.view(np.int32)[one, start // BLOCK] = largest


@njit(**EXACT)
def _step(row: int) -> int:
    """Which line is in this row, counted from the first of four."""
    return row % 2 * BUCKETS + row // 2


@njit(**EXACT)
def _tell(line: int, own: Counts, width: int, facts: Any) -> None:
    start = line // GROUP * GROUP
    facts[HELD], facts[MASK] = own[0, line], line - start
    facts[TABLE] = _table(line // width, start, width)
    facts[TURN], facts[FLIP] = own[1, line], own[2, line]
    facts[SHIFT] = 31 - line % GROUP


@njit(**EXACT)
def _add_tile(
    a: Any, b: Any, c: Any, d: Any, rows: int, column: int, half: Any, turns: Counts, desk: Desk,
    held: Singles,
) -> None:  # fmt: skip
    """Add a tile of one line, or of four: whole groups of channels, then the rest, which is filled
    up by zeros that are in no extremes."""
    groups = a.shape[0] // GROUP
    _add_groups(a, b, c, d, rows, half, turns, held, desk, desk.ends, desk.sums, column, groups)
    whole = groups * GROUP
    if whole == a.shape[0]:
        return
    _fill(a[whole:], desk.tails[0], 0, desk.ends)
    if rows > 1:
        _fill(b[whole:], desk.tails[1], 1, desk.ends)
        _fill(c[whole:], desk.tails[2], 2, desk.ends)
        _fill(d[whole:], desk.tails[3], 3, desk.ends)
    e, f, g, h = desk.tails[0], desk.tails[1], desk.tails[2], desk.tails[3]
    ends, sums = desk.other_ends, desk.other_sums
    _add_groups(e, f, g, h, rows, half, turns, held, desk, ends, sums, column + whole, 1)
    for i in range(2 * rows):
        desk.sums[i] += sums[i]


@njit(**EXACT)
def _add_groups(
    a: Any, b: Any, c: Any, d: Any, rows: int, half: Any, turns: Counts, held: Singles, desk: Desk,
    ends: Any, sums: Any, column: int, groups: int,
) -> None:  # fmt: skip
    facts, masks, turned = desk.facts, desk.masks, desk.turned
    if rows == 1:
        add_one(a, b, c, d, facts, half, turns, held, masks, turned, ends, sums, column, groups)
    else:
        add_four(a, b, c, d, facts, half, turns, held, masks, turned, ends, sums, column, groups)


@njit(**EXACT)
def _fill(x: Any, tail: Singles, row: int, ends: Any) -> None:
    """Copy what is left of a line, and know its extremes."""
    tail[:] = np.float32(0)
    words = x.view(np.int32)
    most, top, least = ends[2 * row], ends[2 * row + 1], ends[_LEAST]
    for i in range(x.shape[0]):
        tail[i] = x[i]
        most = max(most, words[i])
        top = _larger(top, words[i])
        least = words[i] if np.uint32(words[i]) < np.uint32(least) else least
    ends[2 * row], ends[2 * row + 1], ends[_LEAST] = most, top, least


@njit(**EXACT)
def _larger(one: Any, two: Any) -> Any:
    """As numbers without a sign."""
    return one if np.uint32(one) >= np.uint32(two) else two


@njit(**EXACT)
def _flush(held: Singles, width: int, channels: Doubles) -> None:
    """Σx and Σx² of channels to their bins."""
    for which in range(BUCKETS, BUCKETS + 2):
        for bin_ in range(channels.shape[0]):
            start = bin_ * width
            channels[bin_, which] += _total(held[which, start : min(start + width, held.shape[1])])
        held[which, :] = np.float32(0)


@njit(**LANES)
def _total(some: Any) -> float:
    total = 0.0
    for i in range(some.shape[0]):
        total += np.float64(some[i])
    return total


@njit(**EXACT)
def _bin(held: Singles, own: Counts, width: int, signs: Singles, channels: Doubles) -> None:
    """Signed sums of channels to their bins, with what the channels' own places say."""
    size = own.shape[1]
    for bin_ in range(channels.shape[0]):
        start, stop = bin_ * width, min((bin_ + 1) * width, size)
        for block in range(start - start % BUCKETS, stop, BUCKETS):
            for i in range(BUCKETS):
                is_in = start <= block + i < stop
                signs[i] = np.float32(own[1, block + i]) if is_in else np.float32(0)
            add_turns(held, block, own[0, block], signs, channels, bin_)


@njit(**EXACT)
def _say(ends: Any, extremes: Any) -> None:
    """The least and the largest: of what has a sign the largest bits are the least number."""
    extremes[0] = ends[_TOP] if ends[_TOP] < 0 else ends[_LEAST]
    extremes[1] = ends[_MOST] if ends[_MOST] >= 0 else ends[_LEAST]


def add_words(data: Bytes, keys: Any, factors: Any) -> Any:
    """The checksum of whole blocks of twice as many words as there are keys of half a block; the
    sum of products, as `ait_cmp.fingerprint.checksum` has it."""
    half = keys.shape[0] // 2
    total = np.uint64(0)
    words = data.view(np.int32)
    for block in range(factors.shape[0]):
        found = add_products(words, keys, block * 2 * half, half)
        total += np.uint64(found ^ (found >> np.int64(32))) * np.uint64(factors[block])
    return total


def look_at_bits(data: Bytes, stored: Stored, end: int, scratch: Singles, found: Counts) -> None:
    """Add to `found` the bits of significands in use by elements of at least 2**-14 and below the
    one of these bits (`end`), by a bitwise or, and how many such elements there are."""
    for start in range(0, data.shape[0] // stored.itemsize, BLOCK):
        stop = min(start + BLOCK, data.shape[0] // stored.itemsize)
        x = load32(data, stored, start, stop, scratch[0])
        bits, count = _in_use(x.view(np.int32), np.int32(end))
        found[0] |= bits
        found[1] += count


@njit(**EXACT)
def _in_use(words: Any, end: Any) -> Any:
    bits = count = np.int32(0)
    for i in range(words.shape[0]):
        magnitude = np.int32(words[i] & np.int32(0x7FFFFFFF))
        told = magnitude >= _LEAST_TOLD and magnitude < end
        bits |= np.int32(words[i] & np.int32(0x7FFFFF)) if told else np.int32(0)
        count += np.int32(1) if told else np.int32(0)
    return bits, count
