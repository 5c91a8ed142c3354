"""Pairs by where the tensors stand: in other layers they paired so, or between two pairs there is
one way alone."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from ait_cmp.mapping.pairing.contents import AGREES
from ait_cmp.mapping.pairing.match import Match, State, may_be
from ait_cmp.mapping.pairing.shapes import Fit
from ait_cmp.mapping.pairing.sides import Tensor

__all__ = ["pair_as_in_other_layers", "pair_in_gaps"]

_LAYERS, _GAP = 0.9, 0.8
_IN_ORDER = 0.98  # of the pairs, where order means something

Layer = tuple[int, ...]


def pair_as_in_other_layers(state: State) -> None:
    """What is called so in this layer belongs to what the same names belong to in others."""
    learned = _learned(state)
    my = {(one.name.pattern, one.name.layer): one for one in state.left_my()}
    for golden in state.left_golden():
        if golden.name.pattern not in learned:
            continue
        (pattern, further), layers = learned[golden.name.pattern]
        layer = tuple(map(sum, zip(golden.name.layer, further, strict=True)))
        other = my.get((pattern, layer))
        if other is None or other.paired or not may_be(golden, other):
            continue
        why = f"as in {layers} other layer{'s' if layers > 1 else ''}"
        fit, apart = state.best_fit(golden, other) or (Fit(), None)
        # The first layer has no residual yet, and teaches nothing of those that have.
        if (apart is None or apart > AGREES) and state.is_crowded(golden, other):
            continue
        state.add(Match((golden,), (other,), _LAYERS, why, fit.golden, fit.my, apart))


def _learned(state: State) -> dict[str, tuple[tuple[str, Layer], int]]:
    """By golden pattern the my pattern and how many layers further on it is, where all layers that
    are paired say the same, and how many they are."""
    votes: dict[str, Counter[tuple[str, Layer]]] = defaultdict(Counter)
    back: dict[str, set[str]] = defaultdict(set)
    for match in state.matches():
        golden, my = match.golden[0].name, match.my[0].name
        several = len(match.golden) + len(match.my) > 2
        known = golden.layer and len(golden.layer) == len(my.layer) and min(my.layer) >= 0
        if several or not known:
            continue
        further = tuple(other - one for one, other in zip(golden.layer, my.layer, strict=True))
        votes[golden.pattern][my.pattern, further] += 1
        back[my.pattern].add(golden.pattern)
    return {
        golden: found.most_common(1)[0]
        for golden, found in votes.items()
        if len(found) == 1 and len(back[next(iter(found))[0]]) == 1
    }


def pair_in_gaps(state: State) -> None:
    """Between two neighbouring pairs, what is the same series of shapes on both sides, each shape
    once: the order of the computation tells who is who."""
    anchors = _anchors(state)
    if anchors is None:
        return
    # Of what there is a doubt already, the place says no more.
    golden = [one for one in state.left_golden() if ("golden", one.place) not in state.reasons]
    my = [one for one in state.left_my() if ("my", one.place) not in state.reasons]
    bounds = [(-1, -1), *anchors, (len(state.golden.tensors), len(state.my.tensors))]
    for (start, my_start), (stop, my_stop) in pairwise(bounds):
        ones, others = _between(golden, start, stop), _between(my, my_start, my_stop)
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
        if one.name.known and other.name.known and one.name.role != other.name.role:
            continue
        fit, apart = state.best_fit(one, other) or (None, None)
        if fit is None or not fit.sure or (apart is not None and apart > AGREES):
            continue
        if apart is None and state.is_crowded(one, other):
            continue
        why = "order and shape: between two pairs there is no other"
        state.add(Match((one,), (other,), _GAP, why, fit.golden, fit.my, apart))


def _signature(one: Tensor) -> tuple[str, bool, tuple[int, ...]] | None:
    """Kind, whether it is floating, sizes."""
    if one.shape is None or one.dtype is None:
        return None
    sizes = tuple(size for size in one.shape if size != 1)
    return one.name.kind, one.dtype.is_floating, sizes
