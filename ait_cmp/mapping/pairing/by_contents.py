"""Pairs by what the tensors hold: the true counterpart agrees up to rounding, and no other does.

Where several tensors of a side hold the same (what one module gives is what the next one takes),
their kinds and places decide, or nothing does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ait_cmp.engine.projections import Projection
from ait_cmp.mapping.pairing.contents import AGREES, CLEAR, EXACT, Distances
from ait_cmp.mapping.pairing.match import Match, State, joined_shape, same_class
from ait_cmp.mapping.pairing.sides import Tensor

__all__ = ["pair_by_contents", "pair_of_modules", "part_contradicted"]

_ALONE, _KIND, _MODULE, _DENIED = 0.97, 0.9, 0.92, 0.5
_SAME = 1e-6  # tensors of one side that are this near are one
_TURNED = 4096  # pairs of which other layouts are tried


@dataclass(slots=True)
class _Group:
    """Tensors of both sides of one size whose contents are near each other, and of none else;
    `is_one_tensor` where those of one side all hold the very same."""

    golden: list[Tensor]
    my: list[Tensor]
    is_one_tensor: bool


def pair_by_contents(state: State) -> None:
    """Pair what agrees with one tensor of the other side alone, outputs before all others: they
    tell modules apart, which then tell their inputs."""
    state.learn_limit()
    for kinds in (("out", "param", ""), ("in", ""), ("out", "in", "")):
        for group in _groups(state, kinds, state.left_golden(), state.left_my()):
            _settle(state, group)
        pair_of_modules(state)
    _pair_turned(state)


def pair_of_modules(state: State) -> None:
    """The tensors of modules whose outputs are paired already, by what they hold."""
    paths = _paired_paths(state)
    golden, my = _by_path(state.left_golden()), _by_path(state.left_my())
    for path, ones in golden.items():
        others = my.get(paths.get(path, ""), [])
        near = [
            (one, other, apart)
            for one in ones
            for other in others
            if one.name.kind == other.name.kind and (apart := _apart(state, one, other)) is not None
        ]
        for one, other, apart in near:
            rivals = [pair for pair in near if (pair[0] is one) != (pair[1] is other)]
            if all(pair[2] > CLEAR * apart + EXACT for pair in rivals):
                why = "contents agree, within modules that are paired"
                _add(state, one, other, _MODULE, why)


def _paired_paths(state: State) -> dict[str, str]:
    """Which golden module is which my module, where all their pairs say the same."""
    found: dict[str, set[str]] = defaultdict(set)
    back: dict[str, set[str]] = defaultdict(set)
    for match in state.matches():
        if len(match.golden) == len(match.my) == 1:
            golden, my = match.golden[0].name.path, match.my[0].name.path
            found[golden].add(my)
            back[my].add(golden)
    return {
        golden: next(iter(my))
        for golden, my in found.items()
        if len(my) == 1 and len(back[next(iter(my))]) == 1
    }


def _by_path(ones: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    found: dict[str, list[Tensor]] = defaultdict(list)
    for one in ones:
        found[one.name.path].append(one)
    return found


def _apart(state: State, golden: Tensor, my: Tensor) -> float | None:
    if not same_class(golden, my):
        return None
    joins = [(one, other) for one in state.joins(golden) for other in state.joins(my)]
    found = (state.apart((golden,), (my,), *both) for both in joins)
    near = [apart for apart in found if apart is not None and apart < _limit(state, golden)]
    return min(near, default=None)


def _limit(state: State, one: Tensor) -> float:
    return state.limit if one.dtype is not None and one.dtype.is_floating else EXACT


# -- what names say, and contents deny


def part_contradicted(state: State) -> int:
    """Part what names bring together where what the two hold differs, and agrees with another that
    is free or as badly paired: names or the model may be wrong, and nothing says which. Equal
    names stay, and say so. Their number."""
    of = {match.golden[0]: match for match in state.matches() if _is_bad(match)}
    bad = {one for match in of.values() for one in match.my}
    golden = [one for one in state.golden.tensors if one in of or not one.paired]
    my = [one for one in state.my.tensors if one in bad or not one.paired]
    found = 0
    for kinds in (("out", "param", ""), ("in", "")):
        for group in _groups(state, kinds, golden, my):
            for one in group.golden:
                match = of.get(one)
                if match and state.found.get(one.place) is match and match.my[0] not in group.my:
                    _contradict(state, match, group.my[0])
                    found += 1
    good = sum(bool(one.my[0].name.layer) and _is_good(one) for one in state.matches())
    if found > good:  # of layers that agree with others, the numbers say nothing of the rest
        for match in [one for one in of.values() if one.golden[0].paired]:
            if match.golden[0].name.layer and not match.is_same_name:
                state.part(match, "contents deny what the numbers of other layers say")
    return found


def _is_good(match: Match) -> bool:
    return match.apart is not None and match.apart <= AGREES


def _is_bad(match: Match) -> bool:
    several = len(match.golden) + len(match.my) > 2
    return not several and match.apart is not None and match.apart > AGREES


def _contradict(state: State, match: Match, near: Tensor) -> None:
    golden, my = match.golden[0].name.text, match.my[0].name.text
    if match.is_same_name:
        against = f", and those of my {near.name.text} agree"
        state.found[match.golden[0].place] = replace(match, confidence=_DENIED, against=against)
        return
    why = (
        f"by name golden {golden} is my {my}, by contents it is my {near.name.text}: add the pair "
        "that is meant"
    )
    state.part(match, why)


# -- who is near whom


def _groups(
    state: State, kinds: Sequence[str], golden: Sequence[Tensor], my: Sequence[Tensor]
) -> Iterator[_Group]:
    """All that is near each other, of those of these kinds."""
    others = _sized(state, my, kinds)
    for size, ones in _sized(state, golden, kinds).items():
        if size in others:
            yield from _near(ones, others[size], _limit(state, ones[0][0]))


def _sized(
    state: State, ones: Sequence[Tensor], kinds: Sequence[str]
) -> dict[Hashable, list[tuple[Tensor, Projection]]]:
    found: dict[Hashable, list[tuple[Tensor, Projection]]] = defaultdict(list)
    for one in ones:
        if one.name.kind not in kinds or one.dtype is None or state.contents is None:
            continue
        for join in state.joins(one):
            projection = state.contents.of((one,), join, one.first)
            if projection and projection.squares:
                whole = math.prod(joined_shape(one, join, one.first) or ())
                found[one.dtype.is_floating, projection.elements, whole].append((one, projection))
    return found


def _near(
    golden: Sequence[tuple[Tensor, Projection]],
    my: Sequence[tuple[Tensor, Projection]],
    limit: float,
) -> Iterator[_Group]:
    """Groups of tensors that are nearer to each other than to all others."""
    blocks = Distances([one for _, one in golden], [one for _, one in my])
    least_golden, least_my = blocks.least()
    edges: dict[int, set[int]] = defaultdict(set)
    back: dict[int, set[int]] = defaultdict(set)
    for start, apart in blocks:
        least = np.minimum(least_golden[start : start + len(apart), None], least_my)
        for row, column in np.argwhere((apart < limit) & (apart <= CLEAR * least + EXACT)):
            edges[start + int(row)].add(int(column))
            back[int(column)].add(start + int(row))
    taken: set[int] = set()
    for row in sorted(edges):
        if row in taken:
            continue
        rows, columns = _connected(edges, back, row)
        taken |= rows
        ones, others = [golden[one] for one in sorted(rows)], [my[one] for one in sorted(columns)]
        same = _are_one(ones) and _are_one(others)
        # Ranks may be joined in several ways that give the same.
        golden_ones, my_ones = (
            list(dict.fromkeys(one for one, _ in side)) for side in (ones, others)
        )
        yield _Group(golden_ones, my_ones, same)


def _connected(
    edges: Mapping[int, set[int]], back: Mapping[int, set[int]], row: int
) -> tuple[set[int], set[int]]:
    """All rows and columns that edges lead to from a row."""
    rows, columns = {row}, set[int]()
    new = rows
    while new:
        more = set().union(*(edges[one] for one in new)) - columns
        columns |= more
        new = set().union(*(back[one] for one in more)) - rows
        rows |= new
    return rows, columns


def _are_one(ones: Sequence[tuple[Tensor, Projection]]) -> bool:
    """Whether all hold the very same."""
    projections = [one for _, one in ones]
    return all(float(apart.max()) < _SAME for _, apart in Distances(projections[:1], projections))


# -- what of a group is certain


def _settle(state: State, group: _Group) -> None:
    """Pair a group's tensors, by kind and place in the model where it has several."""
    if len(group.golden) == len(group.my) == 1:
        _add(state, group.golden[0], group.my[0], _ALONE, "contents agree, and no other's do")
        return
    for one, other in _called_alike(group):
        _add(state, one, other, _KIND, "contents agree; of several that do the one of this name")
    golden = _split(group.golden, state.golden.outer)
    my = _split(group.my, state.my.outer)
    for key, ones in golden.items():
        others = my.get(key, [])
        if len(ones) == len(others) == 1:
            why = "contents agree; of several that do the only one of its kind"
            _add(state, ones[0], others[0], _KIND, why)
    if group.is_one_tensor:
        left = ([one for one in side if not one.paired] for side in (group.golden, group.my))
        for one, other in zip(*left, strict=False):
            _add(state, one, other, _KIND, "contents agree, which others hold as well")
    why = f"{len(group.golden)} golden and {len(group.my)} my tensors hold the same"
    state.doubt("golden", group.golden, why)
    state.doubt("my", group.my, why)


def _called_alike(group: _Group) -> Iterator[tuple[Tensor, Tensor]]:
    """Those that share a word with one alone: what a user calls `input_ids` is `in.input_ids`."""
    golden, my = _by_word(group.golden), _by_word(group.my)
    for word, ones in golden.items():
        if len(ones) == len(my.get(word, ())) == 1:
            yield ones[0], my[word][0]


def _by_word(ones: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    found: dict[str, list[Tensor]] = defaultdict(list)
    for one in ones:
        word = one.name.which.rpartition(".")[2]
        found[one.name.role if word.isdigit() or not word else word].append(one)
    return found


def _split(ones: Sequence[Tensor], outer: frozenset[str]) -> dict[Hashable, list[Tensor]]:
    """By kind, by layer where names say it, and by whether the module has others inside."""
    found: dict[Hashable, list[Tensor]] = defaultdict(list)
    for one in ones:
        if not one.paired:
            found[(one.name.kind, one.name.layer, one.name.path in outer)].append(one)
    return found


def _add(state: State, golden: Tensor, my: Tensor, confidence: float, why: str) -> None:
    """Pair them, where adapters make one shape of the other, and both are free."""
    if golden.paired or my.paired:
        return
    found = state.best_fit(golden, my)
    if found is not None:
        fit, apart = found
        state.add(Match((golden,), (my,), confidence, why, fit.golden, fit.my, apart))


# -- the same elements in another order, or some of them


def _pair_turned(state: State) -> None:
    """Tensors that agree once one of them is turned or cut, and agree so with one alone."""
    golden = [one for one in state.left_golden() if one.shape and len(one.shape) > 1]
    my = [one for one in state.left_my() if one.shape and len(one.shape) > 1]
    if len(golden) * len(my) > _TURNED:
        return
    near: list[tuple[float, Tensor, Tensor]] = []
    for one in golden:
        for other in my:
            kinds = {one.name.kind, other.name.kind}
            if len(kinds) > 1 and "" not in kinds:
                continue
            found = state.best_fit(one, other)
            if found and found[1] is not None and found[1] < _limit(state, one):
                near.append((found[1], one, other))
    for apart, one, other in near:
        rivals = [pair for pair in near if (pair[1] is one) != (pair[2] is other)]
        if all(pair[0] > CLEAR * apart + EXACT for pair in rivals):
            _add(state, one, other, _KIND, "contents agree in this layout, and no other's do")
