"""Where the error is: the rows, channels, blocks of an otherwise right tensor that are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ait_cmp.engine.diagnosis.naming import part
from ait_cmp.engine.diagnosis.sides import Floats, Index, Mask, Sides, other_axes

__all__ = ["Place", "box_of", "wrong_places"]

# Of the error, relative to golden, so much may be beside the place, for each of its own, and of all
# of it so much must be in it: where it is told how the place is wrong, and where only that it is.
_NEARLY_RIGHT, _RIGHT = 0.1, 0.02
_MOST_IN, _ALL_IN = 0.9, 0.98
_WRONG = 0.03  # of golden, the least error of a place
_OFF = 0.2  # of golden, the most that may be beside it
_SOLID = 0.9  # of the lines of a place have errors: else it is several
_MOST = 0.9  # of a tensor may be wrong for the rest to be called right
_NOTABLE, _GAP = 0.02, 4.0  # of the largest error of a slice; and between two, in squares
_DENSE = 0.7  # of a run that is wrong is found to be so


@dataclass(frozen=True, slots=True)
class Place:
    """The indices of each axis that cross out what is wrong; its share of Σd², and what is wrong
    of it and of the rest, relative to golden."""

    axes: tuple[Index, ...]
    share: float
    inside: float
    outside: float

    @property
    def is_all(self) -> bool:
        """Whether the rest is right, whatever is wrong with the place."""
        return self.share >= _ALL_IN and self.outside <= _RIGHT * self.inside

    @property
    def index(self) -> tuple[Index, ...]:
        """As NumPy takes it."""
        return tuple(np.ix_(*self.axes))


def box_of(mask: Mask) -> list[Index]:
    """Of each axis the indices at which the mask is true anywhere."""
    axes = range(mask.ndim)
    return [np.flatnonzero(mask.any(other_axes(mask.ndim, axis))) for axis in axes]


def wrong_places(sides: Sides) -> Iterator[Place]:
    """The wrong parts, where the rest is nearly right, the smallest first: what all axes cross
    out, all channels of that, and of each axis alone all that is wrong along it."""
    squares, golden, told = sides.squares, sides.sizes, sides.told
    axes = [_wrong_indices(squares, golden, told, axis) for axis in range(squares.ndim)]
    axes = _tightened(axes, squares, golden, told)
    whole = [np.arange(size) for size in squares.shape]
    dense = [
        one if len(one) < _DENSE * len(all_) else all_
        for one, all_ in zip(axes, whole, strict=True)
    ]
    boxes = [dense, axes, [*axes[:-1], whole[-1]]]
    boxes += [[*whole[:axis], axes[axis], *whole[axis + 1 :]] for axis in range(len(axes))]
    seen = set[str]()
    for box in boxes:
        key = part(box, squares.shape)
        if key not in seen and (found := _place(sides, box)):
            yield found
        seen.add(key)


def _place(sides: Sides, axes: Sequence[Index]) -> Place | None:
    squares, golden, told = sides.squares, sides.sizes, sides.told
    inside = np.ix_(*axes)
    count, total = int(np.count_nonzero(told[inside])), int(np.count_nonzero(told))
    if not 0 < count <= _MOST * total:
        return None
    error = float(squares[inside].sum())
    if error < _MOST_IN * sides.error:
        return None
    beside = squares.copy()
    beside[inside] = 0.0
    rest = float(beside.sum())  # of which a difference of sums has nothing left
    mean = float(golden.sum()) / total  # an element that golden has small may be off by as much
    own = max(float(golden[inside].sum()), mean * count, 1e-300)
    other = max(float(golden.sum()) - float(golden[inside].sum()), 1e-300)
    place = Place(tuple(axes), error / sides.error, (error / own) ** 0.5, (rest / other) ** 0.5)
    stands_out = place.outside <= _NEARLY_RIGHT * place.inside and place.inside >= _WRONG
    if not stands_out or place.outside > _OFF:
        return None
    lines = squares[inside].any(-1)
    return place if np.count_nonzero(lines) >= _SOLID * lines.size else None


def _wrong_indices(squares: Floats, golden: Floats, told: Mask, axis: int) -> Index:
    """The indices of an axis whose error stands out from that of most."""
    others = other_axes(squares.ndim, axis)
    error, size = squares.sum(others), golden.sum(others)
    count = told.sum(others)
    around = size.sum() / max(int(count.sum()), 1) * count
    relative = error / np.maximum(np.maximum(size, 0.1 * around), 1e-300)
    return _without_gaps(np.flatnonzero(relative >= _least(relative)))


def _least(errors: Floats) -> float:
    """From which error on something is wrong: above the widest gap between errors, where one is
    wide enough, since the others have noise."""
    least = _NOTABLE * float(errors.max())
    notable = np.sort(errors[errors >= least])
    if len(notable) < 2:
        return least
    steps = notable[1:] / np.maximum(notable[:-1], 1e-300)
    widest = int(steps.argmax())
    return float(notable[widest + 1]) if steps[widest] >= _GAP else least


def _without_gaps(found: Index) -> Index:
    """All of a run of which most is wrong: some of it is nearly right by chance."""
    run = np.arange(found[0], found[-1] + 1)
    return run if len(found) >= _DENSE * len(run) else found


def _tightened(axes: Sequence[Index], squares: Floats, golden: Floats, told: Mask) -> list[Index]:
    """The same within the others: an axis along which all was wrong a little in one place."""
    found = list(axes)
    for axis, before in enumerate(axes):
        box = list(found)
        box[axis] = np.arange(squares.shape[axis])
        inside = np.ix_(*box)
        kept = _wrong_indices(squares[inside], golden[inside], told[inside], axis)
        found[axis] = kept if len(kept) else before
    return found
