"""Which layer of my is which of golden: by number only where both sides surely count alike.

One side may count from 1, or the embedding as a layer; each stage of a pipeline from 0; what was
dumped of every second layer through. Then contents tell, where they are read, or names alone pair
nothing: a pair of two layers would be judged as if it were right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ait_cmp.engine.projections import Projection
from ait_cmp.mapping.pairing.contents import AGREES, CLEAR, EXACT, Contents, Distances
from ait_cmp.mapping.pairing.sides import Side, Tensor, side_of

__all__ = ["Counting", "counted"]

_SHOWN = 5  # numbers in a sentence

Layers = dict[int, int]  # golden -> my


@dataclass(frozen=True, slots=True)
class Counting:
    """How a my stem counts, where that is not as golden does or is not known: what is said of it,
    and of its tensors of both sides that then have no pair."""

    stem: str
    said: str
    left: str
    golden: Sequence[Tensor]
    my: Sequence[Tensor]


def counted(golden: Side, my: Side, contents: Contents | None) -> tuple[Side, list[Counting]]:
    """`my` with its layers called as golden counts, and what is to be said of that.

    Numbers below 0 are of layers of which it is not known which of golden they are.
    """
    theirs = _by_stem(golden)
    said: list[Counting] = []
    for stem, ones in _by_stem(my).items():
        alike = {one.name.like for one in ones}
        same = [of for of in theirs.values() if not alike.isdisjoint(one.name.like for one in of)]
        of = [one for several in same or theirs.values() for one in several]
        for place in range(min(_depth(of), _depth(ones)) if of else 0):
            way = _inside(of, ones, place) if place else _outer(of, ones, contents)
            if way is not None:
                said.append(Counting(stem, way.said, way.left, of, ones))
                for one in ones:
                    one.name = replace(one.name, layer=way.of(one.name.layer, place))
    return (side_of(my.tensors) if said else my), said


def _by_stem(side: Side) -> dict[str, list[Tensor]]:
    found: dict[str, list[Tensor]] = defaultdict(list)
    for one in side.tensors:
        if one.name.layer:
            found[one.name.stem].append(one)
    return found


def _depth(ones: Sequence[Tensor]) -> int:
    return max(len(one.name.layer) for one in ones)


@dataclass(frozen=True, slots=True)
class _Way:
    """The golden layer of each my one that has one."""

    golden: Mapping[int, int]
    said: str

    @property
    def left(self) -> str:
        """Why a tensor has no pair."""
        if self.golden:
            return "contents do not tell which layer of the other side is its layer"
        return "numbers alone do not tell which layer of the other side is its layer"

    def of(self, layer: tuple[int, ...], place: int) -> tuple[int, ...]:
        """A layer of my, as golden counts it at one place of its numbers."""
        if len(layer) <= place:
            return layer
        number = self.golden.get(layer[place], -1 - layer[place])
        return (*layer[:place], number, *layer[place + 1 :])


def _outer(
    golden: Sequence[Tensor], my: Sequence[Tensor], contents: Contents | None
) -> _Way | None:
    """How my counts its layers; None where it is by golden's numbers."""
    one, other = _numbers(golden, 0), _numbers(my, 0)
    is_part = one <= other or other <= one
    same_words = golden[0].name.stem == my[0].name.stem
    if one == other:
        return None
    layers = _by_contents(golden, my, contents) if contents else {}
    if layers and all(key == value for key, value in layers.items()) and len(layers) >= len(other):
        return None
    if not layers and is_part and (same_words or _is_part_of_all(one, other)):
        return None
    said = (
        f"layers are {_shown(one)} in golden ({golden[0].name.stem}) and {_shown(other)} in my "
        f"({my[0].name.stem})"
    )
    if layers:
        first = min(layers)
        said += (
            f": by their contents, my layer {layers[first]} is golden layer {first}, and "
            f"{len(layers)} layers of golden are found so"
        )
        return _Way({value: key for key, value in layers.items()}, said)
    way_out = (
        "their contents do not tell either"
        if contents
        else "`python -m ait_cmp.pair` asks contents"
    )
    return _Way({}, f"{said}, and numbers alone do not tell which is which: {way_out}")


def _inside(golden: Sequence[Tensor], my: Sequence[Tensor], place: int) -> _Way | None:
    """How my counts its experts, of which not all need be there: by golden's numbers, but where it
    seems to count those of each rank."""
    one, other = _numbers(golden, place), _numbers(my, place)
    same_words = golden[0].name.stem == my[0].name.stem
    if one == other or same_words or not (_is_run(one) or _is_run(other)):
        return None
    return _Way(
        {},
        f"experts are {_shown(one)} in golden ({golden[0].name.stem}) and {_shown(other)} in my "
        f"({my[0].name.stem}), and numbers alone do not tell which is which",
    )


def _numbers(ones: Sequence[Tensor], place: int) -> frozenset[int]:
    return frozenset(one.name.layer[place] for one in ones if len(one.name.layer) > place)


def _is_run(numbers: frozenset[int]) -> bool:
    """Whether they are as somebody counts who has these alone."""
    first = min(numbers, default=-1)
    return first in (0, 1) and len(numbers) == max(numbers) - first + 1


def _is_part_of_all(one: frozenset[int], other: frozenset[int]) -> bool:
    """Whether those of the side that has fewer were left with their numbers: with gaps, and both
    count from 0."""
    less = min(one, other, key=len)
    return 0 in less and not _is_run(less)


def _shown(numbers: frozenset[int]) -> str:
    """`0 to 29` in words."""
    listed = sorted(numbers)
    if len(listed) == 1:
        return str(listed[0])
    if len(listed) == listed[-1] - listed[0] + 1:
        return f"{listed[0]} to {listed[-1]}"
    more = f", … {listed[-1]}" if len(listed) > _SHOWN else ""
    return ", ".join(map(str, listed[:_SHOWN])) + more


# -- what contents tell


def _by_contents(golden: Sequence[Tensor], my: Sequence[Tensor], contents: Contents) -> Layers:
    """The my layer of each golden one, where what they hold says so and nothing against it."""
    votes: dict[int, set[int]] = defaultdict(set)
    for ones, others in _alike(golden, my, contents):
        for layer, called in _nearest(ones, others):
            votes[layer].add(called)
    told = {layer: next(iter(called)) for layer, called in votes.items() if len(called) == 1}
    back: dict[int, set[int]] = defaultdict(set)
    for layer, called in told.items():
        back[called].add(layer)
    told = {layer: told[layer] for layer in sorted(told) if len(back[told[layer]]) == 1}
    if list(told.values()) != sorted(told.values()):
        return {}
    return _filled(told, _numbers(golden, 0), _numbers(my, 0))


_Known = tuple[int, Projection]  # a layer, and what its tensor holds


def _alike(
    golden: Sequence[Tensor], my: Sequence[Tensor], contents: Contents
) -> Iterator[tuple[list[_Known], list[_Known]]]:
    """What both sides have of one kind and size, in all layers."""
    groups: dict[object, tuple[list[_Known], list[_Known]]] = defaultdict(lambda: ([], []))
    for side, ones in enumerate((golden, my)):
        for one in ones:
            if len(one.name.layer) > 1 or one.dtype is None:
                continue
            if one.ranks > 1 and not contents.are_alike(one):
                continue
            held = contents.of((one,), "", one.first)
            if held and held.squares:
                key = one.name.like, one.dtype.is_floating, held.elements
                groups[key][side].append((one.name.layer[0], held))
    yield from ((ones, others) for ones, others in groups.values() if ones and others)


def _nearest(golden: Sequence[_Known], my: Sequence[_Known]) -> Iterator[tuple[int, int]]:
    """Golden and my layers that agree, where no other of either side comes near."""
    blocks = [
        apart for _, apart in Distances([held for _, held in golden], [held for _, held in my])
    ]
    rows = [row for block in blocks for row in block]
    for number, row in enumerate(rows):
        place = int(row.argmin())
        rivals = [*row[:place], *row[place + 1 :]]
        rivals += [other[place] for at, other in enumerate(rows) if at != number]
        if row[place] < AGREES and all(one > CLEAR * row[place] + EXACT for one in rivals):
            yield golden[number][0], my[place][0]


def _filled(told: Layers, golden: frozenset[int], my: frozenset[int]) -> Layers:
    """With the layers between two that are equally far on; all, where both sides have as many in
    a row and one is known: behind a fault nothing agrees."""
    if not told:
        return {}
    further = {called - layer for layer, called in told.items()}
    if len(further) == 1:
        shift = further.pop()
        if my == {layer + shift for layer in golden}:
            return {layer: layer + shift for layer in golden}
    filled = dict(told)
    layers = sorted(told)
    for one, other in pairwise(layers):
        shift = told[one] - one
        if told[other] - other == shift:
            filled |= {layer: layer + shift for layer in range(one, other)}
    return filled
