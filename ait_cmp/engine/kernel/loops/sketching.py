"""The sums of a fingerprint, line by line: what `ait_cmp.fingerprint.make` does by operations.

Signs are bits that are flipped, so that a signed sum costs what a sum does. Lines are taken in
fours, two pairs of one bucket each, so that the sums of channels are fetched seldom.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import ChannelPlaces, Desk, LinePlaces, Sketch, Stored
from ait_cmp.engine.kernel.abi.flags import (
    BLOCK,
    EXACT,
    INLINE,
    LANES,
    Bytes,
    Counts,
    Doubles,
    Singles,
)
from ait_cmp.engine.kernel.abi.kinds import BFLOAT16
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
    places: LinePlaces,
    channels: ChannelPlaces,
    keys: Any,
    factors: Any,
    desk: Desk,
    held: Singles,
    made: Sketch,
) -> Any:
    """Add lines of `data`, from `first` on; `widths` lines, and channels, are in a bin. `held` is
    for 18 sums of each channel, of whole groups of 32.

    Returned is what the blocks that begin among the lines, which have `factors`, add to the
    checksum: they are read just before their lines, which are in a cache then.
    """
    count, size = places.bits.shape[0], channels.own.shape[1]
    block = _blocks(first * size * stored.itemsize, keys)
    mark, factor = np.uint64(0), 0
    desk.turned[:] = 0.0
    held[:] = 0.0
    desk.ends[_LEAST], desk.ends[_MOST], desk.ends[_TOP] = -1, -0x80000000, 0
    for start in range(0, count, GROUP):
        stop = min(start + GROUP, count)
        until = _blocks((first + stop) * size * stored.itemsize, keys) - block
        while factor < min(until, factors.shape[0]):
            mark += _mark(data, keys, block + factor, factors[factor])
            factor += 1
        for line in range(start, stop):
            _expand(places.bits[line], desk.masks[line - start])
        rows = ROWS if stop == start + GROUP else 1
        for line in range(start, stop if rows == 1 else start + BUCKETS, 1 if rows == 1 else 2):
            _add_lines(line, rows, data, stored, first, widths[0], places.own, channels, desk,
                       held, made)  # fmt: skip
        if stop % widths[0] == 0 or stop == count:
            for bin_ in range(start // widths[0], (stop - 1) // widths[0] + 1):
                add_orders(desk.turned, _table(bin_, start, widths[0]), made.lines, bin_)
        if stop % _FLUSHED == 0 or stop == count:
            _flush(held, widths[1], made.channels)
    _bin(held, channels.own, widths[1], desk.signs, made.channels)
    _say(desk.ends, made.extremes.view(np.int32))
    keep_largest(data, stored, first, size, desk, made)
    return mark


@njit(**EXACT)
def _blocks(size: int, keys: Any) -> int:
    """How many blocks begin before so many bytes."""
    return (size + 4 * keys.shape[0] - 1) // (4 * keys.shape[0])


@njit(**EXACT)
def _mark(data: Bytes, keys: Any, block: int, factor: Any) -> Any:
    """What a block adds to the checksum, as `ait_cmp.fingerprint.checksum` has it."""
    size = 4 * keys.shape[0]
    words = data[block * size : (block + 1) * size].view(np.int32)
    found = add_products(words, keys, 0, keys.shape[0] // 2)
    return np.uint64(found ^ (found >> np.int64(32))) * np.uint64(factor)


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
    first: int,
    width: int,
    own: Counts,
    channels: ChannelPlaces,
    desk: Desk,
    held: Singles,
    made: Sketch,
) -> None:
    """Add one line; or four: it, the next one, and those that share their buckets."""
    size = channels.own.shape[1]
    half = channels.bits[(first + line) % _PATTERNS // GROUP]
    for row in range(rows):
        _tell(line + _step(row), own, width, desk.facts[row])
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        _add_tile((first + line) * size, start, stop, rows, data, stored, size, half,
                  channels.turns, desk, held)  # fmt: skip
        for row in range(rows):
            one = line + _step(row)
            made.lines[one // width, BUCKETS] += desk.sums[2 * row]
            made.lines[one // width, BUCKETS + 1] += desk.sums[2 * row + 1]
            most, top = desk.ends[2 * row], desk.ends[2 * row + 1]
            desk.ends[_MOST] = max(desk.ends[_MOST], most)
            desk.ends[_TOP] = _larger(desk.ends[_TOP], top)
            largest = max(most, top & np.int32(0x7FFFFFFF) if top < 0 else np.int32(0))
            made.peaks.view(np.int32)[one, start // BLOCK] = largest


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
    line: int, column: int, stop: int, rows: int, data: Bytes, stored: Stored, size: int, half: Any,
    turns: Counts, desk: Desk, held: Singles,
) -> None:  # fmt: skip
    """Add a tile of the line that begins at this element, or of four: whole groups of channels,
    then the rest, which is filled up by zeros that are in no extremes."""
    ends, sums = desk.ends, desk.sums
    groups = (stop - column) // GROUP
    at, end = line + column, line + column + groups * GROUP
    far = 0 if rows == 1 else size  # from one line to the next
    two, three, four = _step(1) * far, _step(2) * far, _step(3) * far
    if groups == 0:
        _begin(rows, ends, sums)
    elif stored.kind == BFLOAT16:
        i, j = _halves(data, at, end), _halves(data, at + two, end + two)
        k, m = _halves(data, at + three, end + three), _halves(data, at + four, end + four)
        _add_groups(i, j, k, m, rows, half, turns, held, desk, ends, sums, column, groups)
    else:
        a = load32(data, stored, at, end, desk.rows[0])
        b = load32(data, stored, at + two, end + two, desk.rows[1 if rows > 1 else 0])
        c = load32(data, stored, at + three, end + three, desk.rows[2 if rows > 1 else 0])
        d = load32(data, stored, at + four, end + four, desk.rows[3 if rows > 1 else 0])
        _add_groups(a, b, c, d, rows, half, turns, held, desk, ends, sums, column, groups)
    if end == line + stop:
        return
    for row in range(rows):
        begin, past = end + _step(row) * far, line + stop + _step(row) * far
        _fill(data, stored, begin, past, desk.rows[0], desk.tails[row], row, ends)
    e, f, g, h = desk.tails[0], desk.tails[1], desk.tails[2], desk.tails[3]
    column += groups * GROUP
    ends, sums = desk.other_ends, desk.other_sums
    _add_groups(e, f, g, h, rows, half, turns, held, desk, ends, sums, column, 1)
    for number in range(2 * rows):
        desk.sums[number] += sums[number]


@njit(**EXACT)
def _begin(rows: int, ends: Any, sums: Singles) -> None:
    """As of no channels."""
    for row in range(rows):
        ends[2 * row], ends[2 * row + 1] = np.int32(-0x80000000), np.int32(0)
        sums[2 * row] = sums[2 * row + 1] = np.float32(0)


@njit(**INLINE)
def _halves(data: Bytes, start: int, stop: int) -> Any:
    return data[2 * start : 2 * stop].view(np.uint16)


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
def _fill(
    data: Bytes, stored: Stored, start: int, stop: int, scratch: Singles, tail: Singles, row: int,
    ends: Any,
) -> None:  # fmt: skip
    """Copy what is left of a line, and know its extremes."""
    x = load32(data, stored, start, stop, scratch)
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
    """The checksum of whole blocks of as many words as there are keys."""
    total = np.uint64(0)
    for block in range(factors.shape[0]):
        total += _mark(data, keys, block, factors[block])
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
