"""One tensor against those that several ranks have of it: the ways in which they may belong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ait_cmp.values.location import Location

__all__ = ["NAMED_RANKS", "Shards", "Way", "named_ranks"]

NAMED_RANKS = 8  # ranks in a sentence


@dataclass(frozen=True, slots=True)
class Way:
    """A way to take what the ranks have, `name` as a person reads it: every one of `copies` is
    then the whole tensor, and all are alike."""

    name: str
    copies: tuple[Location, ...]


@dataclass(frozen=True, slots=True)
class Shards:
    """The ways that shapes allow, the likeliest first, on the side that has several ranks."""

    side: Literal["golden", "my"]
    ranks: tuple[str, ...]
    ways: tuple[Way, ...]

    @property
    def is_settled(self) -> bool:
        """Whether shapes say all: there is one way, of which one tensor comes."""
        return len(self.ways) == 1 and len(self.ways[0].copies) == 1

    @property
    def said(self) -> str:
        """Which ranks, and how they are taken."""
        ways = " or ".join(way.name for way in self.ways)
        return f"{ways} of {self.side} {named_ranks(self.ranks)}"


def named_ranks(ranks: tuple[str, ...], count: int | None = None) -> str:
    """`ranks 0, 1` in words, a few for all; `count`: of how many `ranks` are the first."""
    shown = ", ".join(ranks[:NAMED_RANKS])
    rest = (len(ranks) if count is None else count) - NAMED_RANKS
    return f"ranks {shown}{f' and {rest} more' if rest > 0 else ''}"
