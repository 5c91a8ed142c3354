"""Which rounds of my answer which of golden, written `+1`, `-1`, or `0-2:0 3-:1-`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ait_cmp.values.errors import UsageError

__all__ = ["Rounds", "Span", "parse_rounds"]

_OFFSET = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_ITEM = re.compile(r"(\d{1,9})(-(\d{1,9})?)?:(\d{1,9})(-(\d{1,9})?)?", re.ASCII)
_HOW = "write +1 (my round 1 answers golden round 0), or my:golden like 0-2:0 3-:1-"
_OPEN = 10**9  # above every round that can be written


@dataclass(frozen=True, slots=True)
class Span:
    """The rounds of my that answer those of golden, one by one; where one side has a single round
    and the other several, these are parts of it."""

    my: range
    golden: range

    @property
    def joins_my(self) -> bool:
        """Whether several rounds of my are one of golden."""
        return len(self.my) > len(self.golden)

    @property
    def joins_golden(self) -> bool:
        """Whether several rounds of golden are one of my."""
        return len(self.golden) > len(self.my)

    def golden_of(self, my_round: int) -> int:
        """The golden round that a my one answers, or the first of those."""
        if self.joins_my or self.joins_golden:
            return self.golden[0]
        return self.golden[my_round - self.my[0]]


@dataclass(frozen=True, slots=True)
class Rounds:
    """Spans, and how they are written."""

    spans: tuple[Span, ...]
    text: str

    def span_of(self, my_round: int) -> Span | None:
        """The one that a round of my is in."""
        return next((span for span in self.spans if my_round in span.my), None)

    @property
    def is_plain(self) -> bool:
        """Whether each round answers that of its own number."""
        return self.spans == (Span(range(_OPEN), range(_OPEN)),)


def parse_rounds(text: str) -> Rounds | None:
    """What `text` writes; None where rounds are to be found. Raises UsageError for other text."""
    words = text.strip()
    if words in ("", "auto"):
        return None
    if words == "off":
        words = "0"
    if _OFFSET.fullmatch(words):
        offset = int(words)
        my, golden = max(offset, 0), max(-offset, 0)
        return Rounds((Span(range(my, my + _OPEN), range(golden, golden + _OPEN)),), f"{offset:+}")
    spans = tuple(_span(item, text) for item in re.split(r"[\s,]+", words))
    for side in ("my", "golden"):
        twice = next(_shared([getattr(span, side) for span in spans]), None)
        if twice is not None:
            raise UsageError(f"rounds={text!r} names {side} round {twice} twice")
    return Rounds(spans, " ".join(re.split(r"[\s,]+", words)))


def _span(item: str, text: str) -> Span:
    match = _ITEM.fullmatch(item)
    if not match:
        raise UsageError(f"rounds={text!r} cannot be read at {item!r}; {_HOW}")
    my, golden = _range(*match.group(1, 2, 3)), _range(*match.group(4, 5, 6))
    if not my or not golden:
        raise UsageError(f"rounds={text!r} has the empty range {item!r}; write FIRST-LAST upwards")
    counts = {len(my), len(golden)}
    if len(counts) > 1 and (1 not in counts or _OPEN in counts):
        raise UsageError(
            f"rounds={text!r} has ranges of unequal length in {item!r}; they must be as many, or "
            "one side a single round, of which the other has the parts"
        )
    return Span(my, golden)


def _range(first: str, dash: str | None, last: str | None) -> range:
    start = int(first)
    if dash is None:
        return range(start, start + 1)
    return range(start, start + _OPEN if last is None else int(last) + 1)


def _shared(ranges: list[range]) -> Iterator[int]:
    """The first round of each overlap."""
    for number, one in enumerate(ranges):
        for other in ranges[:number]:
            first = max(one[0], other[0])
            if first in one and first in other:
                yield first
