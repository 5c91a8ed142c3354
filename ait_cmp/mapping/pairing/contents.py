"""What tensors hold, in short: their projections, read within a budget of bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.adapters import adapt
from ait_cmp.engine.projections import SUMS, Projection, project
from ait_cmp.mapping.padded import Padded
from ait_cmp.mapping.pairing.sides import Side, Tensor
from ait_cmp.values.errors import PairError
from ait_cmp.values.location import NAMED, Step, any_join, parse_steps

__all__ = ["AGREES", "CLEAR", "EXACT", "Contents", "Distances", "distance"]

AGREES = 0.2  # contents this near are the same up to rounding, in whatever type
CLEAR = 3.0  # times as far away is every other tensor
EXACT = 1e-9  # two tensors of whole numbers are equal, or others

_ALIKE = 0.1  # replicas are this near each other; shards and partial sums are not
_LEAST = 4096  # elements of a tensor that are read, whatever the budget: a page or two
_ROWS = 512  # of the matrix of distances at a time

Floats = npt.NDArray[np.float64]


class Contents:
    """Projections of the tensors of two sides; of large ones, of their first elements."""

    def __init__(self, golden: Side, my: Side, budget: int, padded: Padded | None = None) -> None:
        batch = (golden if padded.side == "golden" else my).tensors if padded else ()
        self._mask = next((one for one in batch if padded and one.name.text == padded.mask), None)
        sizes = [
            (math.prod(found[1]), found[0].itemsize)
            for side in (golden, my)
            for one in side.tensors
            if (found := one.header(one.first))
            for _ in range(one.ranks)
        ]
        self.limit = _limit(sizes, budget)
        self._known: dict[tuple[tuple[int, ...], int | None, str, int], Projection | None] = {}

    def of(
        self, tensors: Sequence[Tensor], steps: str = "", token: int | None = None, rank: int = 0
    ) -> Projection | None:
        """The projection of what `steps` make of `tensors` in a round, of all ranks where these
        join, else of one; None where they cannot be read or joined."""
        key = tuple(map(id, tensors)), token, steps, rank
        if key not in self._known:
            self._known[key] = self._taken(tensors, steps, token, rank)
        return self._known[key]

    def are_alike(self, one: Tensor) -> bool:
        """Whether all ranks have the same of a tensor, up to rounding."""
        first, *others = (self.of((one,), "", one.first, rank) for rank in range(one.ranks))
        return all(_is_same(first, other) for other in others)

    def _taken(
        self, tensors: Sequence[Tensor], steps: str, token: int | None, rank: int
    ) -> Projection | None:
        try:
            parsed = self._steps(steps, token)
            joins = any_join(parsed)
            ranks = range(max(one.ranks for one in tensors)) if joins else (rank,)
            sources = [one.source(token, rank) for rank in ranks for one in tensors]
            found = [one for one in sources if one is not None]
            if len(found) < len(sources):
                return None
            return project(adapt(found, parsed), limit=self.limit)
        except (PairError, OSError):
            return None

    def _steps(self, text: str, token: int | None) -> tuple[Step, ...]:
        """The adapters of a text, with the file of the mask for its name."""
        steps = parse_steps(text)
        listed = self._mask.rounds.get(token) if self._mask else None
        if not listed:
            return steps
        return tuple(
            replace(one, arguments=(listed[0].files[0], *one.arguments[1:]))
            if one.name == NAMED
            else one
            for one in steps
        )


def _is_same(one: Projection | None, other: Projection | None) -> bool:
    if one is None or other is None:
        return True  # of which nothing is known
    apart = distance(one, other)
    if apart is None:
        return one.elements == other.elements and one.squares == other.squares
    return apart < _ALIKE


def _limit(sizes: Sequence[tuple[int, int]], budget: int) -> int:
    """So many elements of each tensor that all together are within the budget."""
    least, most = _LEAST, max((count for count, _ in sizes), default=_LEAST)
    while least < most:
        middle = (least + most + 1) // 2
        if sum(min(count, middle) * width for count, width in sizes) <= budget:
            least = middle
        else:
            most = middle - 1
    return max(least, _LEAST)


def distance(golden: Projection | None, my: Projection | None) -> float | None:
    """How far two tensors are from each other, relative to the larger; None where that says
    nothing: of different sizes, without a finite element that is not 0, or not readable."""
    if golden is None or my is None or golden.elements != my.elements:
        return None
    size = math.sqrt(max(golden.squares, my.squares))
    if not size or not math.isfinite(size):
        return None
    apart = float(np.sqrt(np.mean((golden.sums - my.sums) ** 2)))
    return apart / size if math.isfinite(apart) else None


class Distances:
    """How far each golden one is from each my one, relative to the larger, some rows at a time."""

    def __init__(self, golden: Sequence[Projection], my: Sequence[Projection]) -> None:
        self._golden, self._my = (np.array([one.sums for one in side]) for side in (golden, my))
        self._sizes, self._my_sizes = (
            np.array([one.squares for one in side]) for side in (golden, my)
        )

    def __iter__(self) -> Iterator[tuple[int, Floats]]:
        """The number of the first row, and the rows."""
        own = (self._my**2).mean(axis=1)
        for start in range(0, len(self._golden), _ROWS):
            block = self._golden[start : start + _ROWS]
            with np.errstate(over="ignore", invalid="ignore"):
                apart = (block**2).mean(axis=1)[:, None] + own
                apart -= block @ (self._my.T * (2 / SUMS))
                apart /= np.maximum(self._sizes[start : start + _ROWS, None], self._my_sizes)
                np.sqrt(np.maximum(apart, 0.0, out=apart), out=apart)
            yield start, np.nan_to_num(apart, copy=False, nan=np.inf)

    def least(self) -> tuple[Floats, Floats]:
        """Of each row, and of each column."""
        rows = np.empty(len(self._golden))
        columns = np.full(len(self._my), np.inf)
        for start, apart in self:
            rows[start : start + len(apart)] = apart.min(axis=1)
            np.minimum(columns, apart.min(axis=0), out=columns)
        return rows, columns
