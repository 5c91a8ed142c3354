"""Token ids, expert indices and the like beside the scores that they were chosen by.

Where golden and my chose otherwise: how near golden's scores were to the other choice. Only lines
that differ are looked at, a few at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel import widen
from ait_cmp.source import Source

__all__ = ["Choices", "Flip", "look_at_choices", "scored_lines"]

_BLOCK = 1 << 18  # ids that are read at once
_ULP = 2.0**-22  # scores this near, relative to the largest, may have been chosen either way

Shape = tuple[int, ...]
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flip:
    """One line in which golden and my chose otherwise, and what the scores say of it.

    `golden` and `my` are the first ids that differ. `margin` is how much golden's scores prefer
    golden's choice, `change` by how much the difference of my's scores from golden's changes
    that, `size` the rms of golden's scores in this line and `spread` that of their differences
    elsewhere in it, at `others` places, the mean apart. `golden_top` and `my_top` say whether each
    side chose the largest of its own scores, `my_best` is the id of my's largest. `toward` is 1
    where the scores that my alone chose gained, from golden to my, on those that golden alone
    chose, else -1; 0 where both chose the same in another order. Without scores the numbers are
    nan.
    """

    line: int
    golden: int
    my: int
    margin: float = math.nan
    change: float = math.nan
    size: float = math.nan
    spread: float = math.nan
    others: int = 0
    golden_top: bool = False
    my_top: bool = False
    my_best: int = -1
    toward: int = 0


@dataclass(frozen=True, slots=True)
class Choices:
    """The lines of a row of ids in which the sides differ, of all its `lines`; of none where only
    fingerprints are there, which do not tell. `told` is whether what they were chosen by could be
    read."""

    lines: int
    flips: tuple[Flip, ...]
    told: bool = True

    def packed(self) -> list[Any]:
        """All of it as plain values."""
        names = [one.name for one in fields(Flip)]
        flips = [[getattr(flip, name) for name in names] for flip in self.flips]
        return [self.lines, flips, self.told]

    @staticmethod
    def unpacked(packed: Sequence[Any]) -> Choices:
        """What `packed` gave."""
        lines, flips, *told = packed
        return Choices(lines, tuple(Flip(*flip) for flip in flips), *told)


def scored_lines(ids: Shape, scores: Shape) -> tuple[int, int] | None:
    """(ids in a line, how many lines of scores there are for each) of ids that may be chosen from
    scores of such a shape, of several from the last; None where they may not."""
    *places, size = scores or (0,)
    if size < 2 or not math.prod(ids):
        return None
    ways = [(places, 1)]
    if len(places) == 2:  # of each sequence the last position
        ways.append((places[:1], places[1]))
    for kept, step in ways:
        flat = _without_ones(kept)
        if _without_ones(ids) == flat:
            return 1, step
        if ids and ids[-1] <= size and _without_ones(ids[:-1]) == flat:
            return ids[-1], step
    return None


def _without_ones(shape: Sequence[int]) -> Shape:
    return tuple(size for size in shape if size != 1)


def look_at_choices(
    *,
    golden: Source,
    my: Source,
    width: int,
    golden_scores: Source | None,
    my_scores: Source | None,
) -> Choices:
    """The flips of two rows of ids of one shape, chosen from these scores; without them, of lines
    of `width` ids."""
    if golden_scores is None or my_scores is None:
        lines = golden.elements // max(1, width)
        flips = [Flip(line, *_first(*ids)) for line, ids in _differing(golden, my, width)]
        return Choices(lines, tuple(flips))
    one, two = _Lines.of(golden.shape, golden_scores), _Lines.of(golden.shape, my_scores)
    if one.width != two.width:
        raise ValueError("the scores of both sides are for other numbers of ids")
    flips = [
        _flip(line, ids, one.read(line), two.read(line))
        for line, ids in _differing(golden, my, one.width)
    ]
    return Choices(golden.elements // one.width, tuple(flips))


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of scores that ids, `width` in each, were chosen from: every `step`-th, the last
    of so many."""

    scores: Source
    width: int
    step: int

    @classmethod
    def of(cls, ids: Shape, scores: Source) -> _Lines:
        fits = scored_lines(ids, scores.shape)
        if fits is None:
            raise ValueError(f"{list(ids)} ids are not chosen from {list(scores.shape)} scores")
        return cls(scores, *fits)

    def read(self, line: int) -> _Floats:
        size = self.scores.shape[-1]
        start = (line * self.step + self.step - 1) * size
        return widen(self.scores.read(start, start + size), self.scores.dtype)


def _differing(golden: Source, my: Source, width: int) -> Iterator[tuple[int, tuple[_Ints, _Ints]]]:
    """Each line of `width` ids that differs, and the ids of both sides."""
    step = max(1, _BLOCK // max(1, width)) * width
    for start in range(0, golden.elements, max(1, step)):
        stop = min(start + step, golden.elements)
        one, two = (
            np.asarray(side.read(start, stop)).astype(np.int64).reshape(-1, width)
            for side in (golden, my)
        )
        for line in np.flatnonzero((one != two).any(axis=1)).tolist():
            yield start // width + line, (one[line], two[line])


def _first(golden: _Ints, my: _Ints) -> tuple[int, int]:
    place = int(np.flatnonzero(golden != my)[0])
    return int(golden[place]), int(my[place])


def _flip(line: int, ids: tuple[_Ints, _Ints], golden: _Floats, my: _Floats) -> Flip:
    """What one line's scores say of two choices from it."""
    first = _first(*ids)
    width = min(golden.size, my.size)
    best = int(np.argmax(my))
    if not all(((side >= 0) & (side < width)).all() for side in ids):
        return Flip(line, *first, my_best=best)
    common = golden[:width], my[:width]
    difference = common[1] - common[0]
    others = np.delete(difference, np.concatenate(ids))
    others = others if others.size else difference
    return Flip(
        line,
        *first,
        _apart(golden, *ids),
        abs(_apart(difference, *ids)),
        _rms(golden),
        _rms(others - others.mean()),
        others.size,
        _is_top(golden, ids[0]),
        _is_top(my, ids[1]),
        best,
        _toward(difference, *ids),
    )


def _apart(values: _Floats, golden: _Ints, my: _Ints) -> float:
    """The largest difference of `values` between an id of one side and what stands for it on the
    other: at its place, and among those that one side alone chose."""
    found = float(np.abs(values[golden] - values[my]).max())
    only_golden, only_my = np.setdiff1d(golden, my), np.setdiff1d(my, golden)
    if only_golden.size and only_my.size:
        across = values[only_golden][:, None] - values[only_my]
        found = max(found, float(np.abs(across).max()))
    return found


def _toward(difference: _Floats, golden: _Ints, my: _Ints) -> int:
    """Whether scores moved so that my's choice may come of it."""
    lost, won = difference[np.setdiff1d(golden, my)], difference[np.setdiff1d(my, golden)]
    if not (lost.size and won.size):
        return 0
    return 1 if won.mean() > lost.mean() else -1


def _rms(values: _Floats) -> float:
    finite = values[np.isfinite(values)]
    return math.sqrt(float(np.mean(np.square(finite)))) if finite.size else math.nan


def _is_top(scores: _Floats, ids: _Ints) -> bool:
    """Whether `ids` are as many of the largest scores, ties either way."""
    if np.unique(ids).size != ids.size or np.isnan(scores).any():
        return False
    least = float(np.partition(scores, -ids.size)[-ids.size])
    finite = scores[np.isfinite(scores)]
    slack = _ULP * float(np.abs(finite).max()) if finite.size else 0.0
    return bool((scores[ids] >= least - slack).all())
