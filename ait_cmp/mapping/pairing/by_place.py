"""Pairs by where the tensors stand: in other layers they paired so, or between two pairs there is
one way alone."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from ait_cmp.mapping.pairing.match import AGREES, Match, State, may_be
from ait_cmp.mapping.pairing.shapes import Fit
from ait_cmp.mapping.pairing.sides import Tensor

__all__ = ["pair_as_in_other_layers", "pair_in_gaps"]

_LAYERS, _GAP = 0.9, 0.8
_IN_ORDER = 0.98  # of the pairs, where order means something

Layer = tuple[int, ...]


def pair_as_in_other_layers(state: State) -> None:
    """What is called so in this layer belongs to what the same names belong to in others."""
    patterns = _learned(state)
    layers = _layers(state)
    my = {(one.name.pattern, one.name.layer): one for one in state.left_my()}
    for golden in state.left_golden():
        learned = patterns.get(golden.name.pattern)
        layer = layers.get(golden.name.layer)
        other = my.get((learned[0], layer)) if learned and layer is not None else None
        if other is None or other.paired or not may_be(golden, other):
            continue
        assert learned is not None
        why = f"as in {learned[1]} other layer{'s' if learned[1] > 1 else ''}"
        fit, apart = state.best_fit(golden, other) or (Fit(), None)
        state.add(Match((golden,), (other,), _LAYERS, why, fit.golden, fit.my, apart))


def _learned(state: State) -> dict[str, tuple[str, int]]:
    """my pattern by golden pattern, where all layers that are paired say the same, and how many
    they are."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    back: dict[str, set[str]] = defaultdict(set)
    for match in state.matches():
        if len(match.golden) == len(match.my) == 1:
            golden, my = match.golden[0].name, match.my[0].name
            if golden.layer and my.layer:
                votes[golden.pattern][my.pattern] += 1
                back[my.pattern].add(golden.pattern)
    return {
        golden: found.most_common(1)[0]
        for golden, found in votes.items()
        if len(found) == 1 and len(back[next(iter(found))]) == 1
    }


def _layers(state: State) -> dict[Layer, Layer]:
    """my layer by golden layer, as nearly all pairs of the layer say."""
    votes: dict[Layer, Counter[Layer]] = defaultdict(Counter)
    every: set[Layer] = set()
    for match in state.matches():
        golden, my = match.golden[0].name.layer, match.my[0].name.layer
        if golden and my:
            votes[golden][my] += 1
    found = {golden: one.most_common(1)[0][0] for golden, one in votes.items()}
    if all(golden == my for golden, my in found.items()):
        every = {one.name.layer for one in state.golden.tensors if one.name.layer}
        return {layer: layer for layer in every}
    return found if len(set(found.values())) == len(found) else {}


def pair_in_gaps(state: State) -> None:
    """Between two neighbouring pairs, what is the same series of shapes on both sides, each shape
    once: the order of the computation tells who is who."""
    anchors = _anchors(state)
    if anchors is None:
        return
    golden, my = state.left_golden(), state.left_my()
    bounds = [(-1, -1), *anchors, (len(state.golden.tensors), len(state.my.tensors))]
    for (start, my_start), (stop, my_stop) in pairwise(bounds):
        ones = _between(golden, start, stop)
        others = _between(my, my_start, my_stop)
        if ones and others:
            _pair_gap(state, ones, others)


def _anchors(state: State) -> list[tuple[int, int]] | None:
    """Places of pairs in the order of both sides; None where the orders have little in common."""
    pairs = [(match.golden[0].place, match.my[0].place) for match in state.matches()]
    if not pairs:
        return []
    kept = _rising([place for _, place in pairs])
    if len(kept) < _IN_ORDER * len(pairs):
        return None
    return [pairs[number] for number in kept]


def _rising(values: Sequence[int]) -> list[int]:
    """The numbers of the longest series of rising values."""
    tails: list[int] = []
    numbers: list[int] = []
    before: list[int] = []
    for number, value in enumerate(values):
        place = bisect_left(tails, value)
        before.append(numbers[place - 1] if place else -1)
        tails[place : place + 1] = [value]
        numbers[place : place + 1] = [number]
    found = []
    number = numbers[-1] if numbers else -1
    while number >= 0:
        found.append(number)
        number = before[number]
    return found[::-1]


def _between(ones: Sequence[Tensor], start: int, stop: int) -> list[Tensor]:
    first = bisect_left(ones, start + 1, key=lambda one: one.place)
    last = bisect_left(ones, stop, key=lambda one: one.place)
    return list(ones[first:last])


def _pair_gap(state: State, golden: Sequence[Tensor], my: Sequence[Tensor]) -> None:
    signs = [[_signature(one) for one in side] for side in (golden, my)]
    if signs[0] != signs[1] or len(set(signs[0])) < len(signs[0]) or None in signs[0]:
        common = set(signs[0]) & set(signs[1])
        why = "order and shapes leave several ways"
        for side, ones, said in (("golden", golden, signs[0]), ("my", my, signs[1])):
            found = [one for one, sign in zip(ones, said, strict=True) if sign in common]
            state.doubt(side, found, why)
        return
    for one, other in zip(golden, my, strict=True):
        fit, apart = state.best_fit(one, other) or (None, None)
        if fit is None or not fit.sure or (apart is not None and apart > AGREES):
            continue
        why = "order and shape: between two pairs there is no other"
        state.add(Match((one,), (other,), _GAP, why, fit.golden, fit.my, apart))


def _signature(one: Tensor) -> tuple[str, bool, tuple[int, ...]] | None:
    """Kind, whether it is floating, sizes."""
    if one.shape is None or one.dtype is None:
        return None
    sizes = tuple(size for size in one.shape if size != 1)
    return one.name.kind, one.dtype.is_floating, sizes
