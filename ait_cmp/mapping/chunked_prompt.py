"""A prompt that one side took in chunks, round by round, and the other at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ait_cmp.mapping.rounds_of_rank import RoundsOfRank

__all__ = ["Prompt"]

_WARM = 4  # rounds before the first chunk
_CHUNKS = 64


@dataclass(frozen=True, slots=True)
class Prompt:
    """A side whose first round may be the whole prompt, and one whose rounds may be its chunks."""

    whole: RoundsOfRank
    parts: RoundsOfRank
    names: Mapping[str, str]

    def as_written(self, *, swapped: bool) -> str | None:
        """The rounds of the chunks, where one answer is proven; `swapped`: golden has them."""
        found = [one for one in self.possible() if self._is_proven(*one)]
        if len(found) != 1:
            return None
        (start, count) = found[0]
        first, last = self.parts.rounds[start], self.parts.rounds[start + count - 1]
        sides = [f"{first}-{last}", str(self.whole.rounds[0])]
        rest = [f"{last + 1}-", f"{self.whole.rounds[0] + 1}-"]
        if swapped:
            sides, rest = sides[::-1], rest[::-1]
        return f"{':'.join(sides)} {':'.join(rest)}"

    def possible(self) -> Iterator[tuple[int, int]]:
        """Where rounds that may be all chunks of the prompt begin, and how many they are."""
        for start in range(min(_WARM, len(self.parts.rounds))):
            for count in range(2, min(_CHUNKS, len(self.parts.rounds) - start) + 1):
                if self._is_possible(start, count):
                    yield start, count

    def _is_possible(self, start: int, count: int) -> bool:
        adding = self._adding(start, count)
        if 2 * len(adding) < len(self.names) or not self._next_fits(adding, start + count):
            return False
        ids = self._same_ids(adding, start, count)
        alone = len(self.whole.rounds) == 1
        return ids is not False and (ids or alone or self._ends(adding, start, count))

    def _is_proven(self, start: int, count: int) -> bool:
        """By token ids, or since no tokens that come one by one are like these."""
        adding = self._adding(start, count)
        if self._same_ids(adding, start, count):
            return True
        return count > 2 and self._ends(adding, start, count)

    def _adding(self, start: int, count: int) -> list[str]:
        chunks = self.parts.rounds[start : start + count]
        return [name for name in self.names if self._adds_up(name, chunks)]

    def _sizes(self, name: str, rounds: Sequence[int]) -> list[int | None]:
        return [self.parts.size(self.names[name], one) for one in rounds]

    def _adds_up(self, name: str, chunks: Sequence[int]) -> bool:
        """Whether chunks, all but the last of one size, are as many elements as the whole."""
        sizes = self._sizes(name, chunks)
        known = [size for size in sizes if size]
        return (
            len(known) == len(sizes)
            and len(set(known[:-1])) == 1
            and known[-1] <= known[0]
            and sum(known) == self.whole.size(name, self.whole.rounds[0])
        )

    def _same_ids(self, names: Sequence[str], start: int, count: int) -> bool | None:
        """Whether the whole numbers of the chunks are those of the whole; None without any."""
        chunks, agree = self.parts.rounds[start : start + count], None
        for name in names:
            one = self.whole.ids(name, self.whole.rounds[0])
            others = [self.parts.ids(self.names[name], chunk) for chunk in chunks]
            known = [other for other in others if other is not None]
            if one is not None and len(known) == len(others):
                agree = agree is not False and np.array_equal(one, np.concatenate(known))
        return agree

    def _next_fits(self, names: Sequence[str], place: int) -> bool:
        """Whether the round after the chunks has the sizes of that after the whole, if there are
        such."""
        if len(self.whole.rounds) < 2 or place >= len(self.parts.rounds):
            return True
        after = self.whole.rounds[1]
        following = self.parts.rounds[place]
        sizes = [
            (self.whole.size(name, after), self.parts.size(self.names[name], following))
            for name in names
        ]
        return all(one == other for one, other in sizes if one is not None and other is not None)

    def _ends(self, names: Sequence[str], start: int, count: int) -> bool:
        """Whether a smaller round follows: what comes token by token is no chunk of a prompt."""
        place = start + count
        if place >= len(self.parts.rounds):
            return False
        first, following = self.parts.rounds[start], self.parts.rounds[place]
        sizes = [self._sizes(name, (first, following)) for name in names]
        return all(one is None or other is None or one > other for one, other in sizes)
