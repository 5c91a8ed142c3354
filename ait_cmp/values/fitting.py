"""Which adapters would make two shapes equal: proposals for the user, who knows what is meant."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from ait_cmp.values.location import NAMED, Step

__all__ = ["Cut", "Fit", "cuts", "fits"]

Shape = tuple[int, ...]
# Of each dimension the axes of the stored tensor, those of more than 1, that it consists of.
_Dims = tuple[tuple[int, ...], ...]

_MOST_DIMS = 6
_MOST_STEPS = 3  # adapters of both sides together


@dataclass(frozen=True, slots=True)
class Fit:
    """The adapters of both sides; `N` in one of them stands for an index that nobody knows."""

    golden: tuple[Step, ...] = ()
    my: tuple[Step, ...] = ()

    def __str__(self) -> str:
        sides = (("golden", self.golden), ("my", self.my))
        return " and ".join(
            f"{side}: {' | '.join(map(str, steps))}" for side, steps in sides if steps
        )


@functools.lru_cache(maxsize=4096)
def fits(golden: Shape, my: Shape) -> tuple[Fit, ...]:
    """The shortest adapters after which the shapes are equal and no element is left out, one for
    each order of elements that can be meant; none where the shapes are equal, or nothing short
    makes them so."""
    elements = math.prod(golden)
    most = max(len(golden), len(my))
    if golden == my or elements != math.prod(my) or most > _MOST_DIMS:
        return ()
    for steps in range(1, _MOST_STEPS + 1):
        found: dict[object, Fit] = {}
        # Transposing one side is enough; the other is where it consists of fewer dimensions.
        for turned in ("golden", "my"):
            for one in _together(golden, my, steps, turned):
                found.setdefault(one.order, one.fit)
            if found:
                return tuple(found.values())
    return ()


@dataclass(frozen=True, slots=True)
class _Found:
    order: object
    fit: Fit


@dataclass(frozen=True, slots=True)
class _Seen:
    """A tensor after some adapters."""

    dims: _Dims
    steps: tuple[Step, ...] = ()

    def shape(self, stored: Shape) -> Shape:
        return tuple(math.prod(stored[axis] for axis in dim) for dim in self.dims)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes from the outermost to the innermost: the order in memory."""
        return tuple(axis for dim in self.dims for axis in dim)


def _together(golden: Shape, my: Shape, steps: int, turned: str) -> Iterator[_Found]:
    """The ways to equal shapes by so many adapters, of which one side may have transposes."""
    for of_golden in range(steps, -1, -1):
        of_my = steps - of_golden
        goldens = _reached(golden, of_golden, turned == "golden", my)
        mys = _reached(my, of_my, turned == "my", golden)
        for shape in goldens.keys() & mys.keys():
            for one, other in itertools.product(goldens[shape], mys[shape]):
                # What is flattened on both sides would fit whatever it holds.
                if all(min(map(len, dims)) < 2 for dims in zip(one.dims, other.dims, strict=True)):
                    yield _Found((one.order, other.order), Fit(one.steps, other.steps))


@functools.lru_cache(maxsize=256)
def _reached(stored: Shape, steps: int, turns: bool, other: Shape) -> dict[Shape, list[_Seen]]:
    """What so many adapters make of a tensor, by shape; of each order of elements the first."""
    seen = {_Seen(tuple((axis,) if size != 1 else () for axis, size in enumerate(stored))): None}
    for _ in range(steps):
        kept: dict[_Dims, _Seen] = {}
        for one in seen:
            for step, dims in _moves(one.dims, one.shape(stored), turns, other):
                kept.setdefault(dims, _Seen(dims, (*one.steps, step)))
        seen = dict.fromkeys(kept.values())
    reached: dict[Shape, list[_Seen]] = {}
    for one in seen:
        reached.setdefault(one.shape(stored), []).append(one)
    return reached


def _moves(dims: _Dims, shape: Shape, turns: bool, other: Shape) -> Iterator[tuple[Step, _Dims]]:
    """Every adapter that may be next, with what it makes of the dimensions."""
    ones = [place for place, dim in enumerate(dims) if not dim]
    for place in ones:
        yield _step("squeeze", place), (*dims[:place], *dims[place + 1 :])
    if len(ones) > 1:
        yield _step("squeeze"), tuple(dim for dim in dims if dim)
    places = range(len(dims))
    for first, last in itertools.combinations(places, 2):
        if all(dims[first : last + 1]):
            one = tuple(itertools.chain(*dims[first : last + 1]))
            yield _step("flatten", first, last), (*dims[:first], one, *dims[last + 1 :])
    if not turns:
        return
    for first, last in itertools.combinations(places, 2):
        turned = list(dims)
        turned[first], turned[last] = dims[last], dims[first]
        if tuple(turned) != dims:
            yield _step("transpose", first, last), tuple(turned)
    if sorted(shape) == sorted(other):
        for order in itertools.permutations(places):
            moved = sum(place != old for place, old in enumerate(order))
            if moved > 2 and tuple(shape[old] for old in order) == other:
                yield _step("permute", *order), tuple(dims[old] for old in order)


def _step(name: str, *arguments: object) -> Step:
    return Step(name, tuple(map(str, arguments)))


# -- where one side has more elements


@dataclass(frozen=True, slots=True)
class Cut:
    """Adapters that leave elements out, and what must be so that they are right."""

    fit: Fit
    where: str


def cuts(golden: Shape, my: Shape) -> list[Cut]:
    """Which part of the larger tensor the smaller one may be: a sequence of a batch, the positions
    that are no padding, a range of one dimension."""
    large, small = (golden, my) if math.prod(golden) > math.prod(my) else (my, golden)
    names = ("golden", "my") if large is golden else ("my", "golden")
    if not math.prod(small) or math.prod(large) == math.prod(small):
        return []
    found = [*_of_range(large, small), *_of_batch(large, small)]
    return [
        Cut(Fit(**dict(zip(names, steps, strict=True))), where.format(*names))
        for *steps, where in found
    ]


_Proposal = tuple[tuple[Step, ...], tuple[Step, ...], str]  # of the larger side, the smaller, where


def _of_batch(large: Shape, small: Shape) -> Iterator[_Proposal]:
    """[B, S, …] against [s, …] or [1, s, …]."""
    has_batch = len(small) == len(large) and small[0] == 1
    core = small[1:] if has_batch else small
    if len(large) < 2 or len(core) != len(large) - 1 or core[1:] != large[2:]:
        return
    (batch, length), mine = large[:2], core[0]
    squeezed = (_step("squeeze", 0),) if has_batch else ()
    number = "N" if batch > 1 else 0
    one = f"{{1}} is sequence N of {batch}" if batch > 1 else "{1} is the same"
    if batch == 1 and has_batch:
        pass  # a range of the same dimension
    elif mine == length:
        yield (_step("select", 0, "N"),), squeezed, one
    elif mine < length:
        if batch > 1:
            mask = Step(NAMED, ("MASK_DATA_ID", "N"))
            yield (mask,), squeezed, f"{one} and padded, in every round"
        left = _step("slice", number, f"{length - mine}:")
        right = _step("slice", number, f"0:{mine}")
        yield (left,), squeezed, f"{one}, padded on the left"
        yield (right,), squeezed, "the padding is on the right"
    if mine < batch * length:
        yield (Step(NAMED, ("MASK_DATA_ID",)),), squeezed, f"a mask of {{0}} has {mine} ones"


def _of_range(large: Shape, small: Shape) -> Iterator[_Proposal]:
    """Shapes that are equal but for one dimension."""
    places = [at for at, sizes in enumerate(zip(large, small, strict=False)) if len(set(sizes)) > 1]
    if len(large) != len(small) or len(places) != 1 or (places == [0] and small[0] == 1):
        return
    (at,) = places
    before, size = [":"] * at, small[at]
    last = (_step("slice", *before, f"{large[at] - size}:"),)
    first = (_step("slice", *before, f"0:{size}"),)
    if at == len(large) - 1 and at:
        yield first, (), "the rest is padding or another tensor's"
    else:
        yield last, (), "the first positions are padding"
        yield first, (), "the last ones are"
