"""Elements that are in no sum of a fingerprint: what `ait_cmp.fingerprint.left_out` does by
operations, and lines without them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ait_cmp.engine.kernel.abi.arguments import Stored
from ait_cmp.engine.kernel.abi.flags import BLOCK, EXACT, Bytes, Counts, Doubles, Singles
from ait_cmp.engine.kernel.passes.load import load32

__all__ = ["clean_lines", "look_at_ends"]

# What is counted, and where; and the extremes of what is left in, and of what stands for infinity.
_NANS, _POSITIVE, _NEGATIVE, _ENDS_POSITIVE, _ENDS_NEGATIVE, _PLACES, _FIRST = range(7)
_LEAST, _MOST, _END_LEAST, _END_MOST, _END_TOTAL = range(5)
_MIX, _MIX_AGAIN = np.int64(-0x61C8864680B583EB), np.int64(-0x40A7B892E31B1A47)


def look_at_ends(
    data: Bytes, stored: Stored, end: float, scratch: Singles, counts: Counts, ends: Doubles
) -> None:
    """Add to `counts` and `ends` what elements are that are no less than `end`, or no numbers, and
    where; and the extremes of all others."""
    for start in range(0, data.shape[0] // stored.itemsize, BLOCK):
        stop = min(start + BLOCK, data.shape[0] // stored.itemsize)
        x = load32(data, stored, start, stop, scratch[0])
        low, high, left_out = _plain(x, np.float32(end))
        ends[_LEAST], ends[_MOST] = min(ends[_LEAST], low), max(ends[_MOST], high)
        if left_out:
            _count(x, np.float32(end), start, counts, ends)


@njit(**EXACT)
def _plain(x: Any, end: Any) -> Any:
    low, high, left_out = np.float32(np.inf), np.float32(-np.inf), np.int32(0)
    for i in range(x.shape[0]):
        is_plain = abs(x[i]) < end
        low = min(low, x[i] if is_plain else np.float32(np.inf))
        high = max(high, x[i] if is_plain else np.float32(-np.inf))
        left_out += np.int32(0) if is_plain else np.int32(1)
    return low, high, left_out


@njit(**EXACT)
def _count(x: Any, end: Any, start: int, counts: Counts, ends: Doubles) -> None:
    for i in range(x.shape[0]):
        one = x[i]
        if abs(one) < end:
            continue
        positive, is_finite = one > np.float32(0), abs(one) < np.float32(np.inf)
        if one != one:
            kind, which = 1, _NANS
        else:
            kind, which = (3, _POSITIVE) if positive else (5, _NEGATIVE)
        if is_finite:
            which = _ENDS_POSITIVE if positive else _ENDS_NEGATIVE
            ends[_END_LEAST], ends[_END_MOST] = (
                min(ends[_END_LEAST], one),
                max(ends[_END_MOST], one),
            )
            ends[_END_TOTAL] += one
        elif counts[_FIRST] < 0:
            counts[_FIRST] = start + i
        counts[which] += 1
        mixed = np.int64(start + i + 1) * _MIX
        mixed = (mixed ^ (mixed >> np.int64(29))) * _MIX_AGAIN
        counts[_PLACES] += (mixed ^ (mixed >> np.int64(32))) * np.int64(kind)


def clean_lines(
    data: Bytes, stored: Stored, first: int, widths: Any, end: float, units: Any, scratch: Singles,
    cleaned: Singles, lines: Counts, channels: Counts,
) -> None:  # fmt: skip
    """Copy lines of `data`, from `first` on, to `cleaned`, times both `units`: what is no less than
    `end`, or no number, as 0, and counted by bins of so many lines and channels (`widths`)."""
    size, scale, again = cleaned.shape[1], np.float32(units[0]), np.float32(units[1])
    for line in range(cleaned.shape[0]):
        for start in range(0, size, BLOCK):
            stop = min(start + BLOCK, size)
            at = (first + line) * size
            x = load32(data, stored, at + start, at + stop, scratch[0])
            if not _copy(x, np.float32(end), scale, again, cleaned[line, start:stop]):
                continue
            for i in range(x.shape[0]):
                if not abs(x[i]) < np.float32(end):
                    lines[line // widths[0]] += 1
                    channels[(start + i) // widths[1]] += 1


@njit(**EXACT)
def _copy(x: Any, end: Any, scale: Any, again: Any, into: Any) -> bool:
    left_out = np.int32(0)
    for i in range(x.shape[0]):
        is_plain = abs(x[i]) < end
        into[i] = x[i] * scale * again if is_plain else np.float32(0)
        left_out += np.int32(0) if is_plain else np.int32(1)
    return bool(left_out > 0)
