"""The verdicts of a million rows: two numbers of each that plainly passes, some bytes of others."""

from __future__ import annotations

import math
import pickle
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator

from ait_cmp.judging.choices import JudgedFlip
from ait_cmp.judging.verdict import Status, Verdict

__all__ = ["Verdicts"]

_TOGETHER = 512  # verdicts of a block
_NO_FLIP = JudgedFlip()


class Verdicts:
    """Verdicts in the order in which they were added; what is asked for is made anew.

    Sentences of failing rows are much alike, so that blocks of them take a tenth of their room.
    """

    def __init__(self) -> None:
        self._expected, self._noise = array("d"), array("d")
        self._told = array("q")  # the numbers of those that are not plain
        self._blocks: list[bytes] = []  # of these, and the last, which are not many enough yet
        self._last: list[Verdict] = []
        self._opened: tuple[int, list[Verdict]] = (-1, [])

    def __len__(self) -> int:
        return len(self._expected)

    def __iter__(self) -> Iterator[Verdict]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> Verdict:
        place = bisect_left(self._told, number)
        if place < len(self._told) and self._told[place] == number:
            return self._block(place // _TOGETHER)[place % _TOGETHER]
        expected, noise = self._expected[number], self._noise[number]
        return Verdict(
            Status.PASS,
            expected=None if math.isnan(expected) else expected,
            noise=None if math.isnan(noise) else noise,
        )

    def append(self, verdict: Verdict) -> None:
        """Add the next."""
        plain = _is_plain(verdict)
        expected, noise = (verdict.expected, verdict.noise) if plain else (None, None)
        self._expected.append(math.nan if expected is None else expected)
        self._noise.append(math.nan if noise is None else noise)
        if plain:
            return
        self._told.append(len(self) - 1)
        self._last.append(verdict)
        if len(self._last) == _TOGETHER:
            self._blocks.append(zlib.compress(pickle.dumps(self._last), 1))
            self._last = []

    def _block(self, number: int) -> list[Verdict]:
        if number == len(self._blocks):
            return self._last
        if self._opened[0] != number:
            packed = zlib.decompress(self._blocks[number])
            self._opened = number, pickle.loads(packed)  # noqa: S301  this process packed it
        return self._opened[1]


def _is_plain(verdict: Verdict) -> bool:
    """Whether there is no more to say of it than its numbers."""
    return (
        verdict.status is Status.PASS
        and verdict.reason is None
        and not verdict.yardstick
        and verdict.flip == _NO_FLIP
        and not any(
            one is not None and math.isnan(one) for one in (verdict.expected, verdict.noise)
        )
    )
