"""One tensor against those that several ranks have of it: the ways in which they may belong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ait_cmp.values.location import Location

__all__ = ["Shards", "Way", "named_ranks"]

_NAMED = 8  # ranks in a sentence


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


def named_ranks(ranks: tuple[str, ...]) -> str:
    """`ranks 0, 1` in words, a few for all."""
    shown = ", ".join(ranks[:_NAMED])
    more = f" and {len(ranks) - _NAMED} more" if len(ranks) > _NAMED else ""
    return f"ranks {shown}{more}"
