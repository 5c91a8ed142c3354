"""Who belongs to whom where names differ: a proposal, with how certain it is and why.

What is certain first: equal names, the same thing in the words of other families, then what holds
the same, then what stands where its like stands in other layers. A tensor that might belong to
two is left out, and says so: no pair is better than a wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ait_cmp.mapping.layouts.ranks import RankDump, pair_ranks
from ait_cmp.mapping.padded import padded_ranks
from ait_cmp.mapping.pairing.by_contents import pair_by_contents, part_contradicted
from ait_cmp.mapping.pairing.by_groups import pair_regrouped
from ait_cmp.mapping.pairing.by_name import (
    pair_by_names,
    pair_fused,
    pair_operands,
    pair_same_names,
)
from ait_cmp.mapping.pairing.by_place import pair_as_in_other_layers, pair_in_gaps
from ait_cmp.mapping.pairing.contents import Contents
from ait_cmp.mapping.pairing.layers import counted
from ait_cmp.mapping.pairing.match import Match, State
from ait_cmp.mapping.pairing.sides import Side, make_side
from ait_cmp.mapping.sharding import are_shards

__all__ = ["Left", "Match", "Proposal", "propose"]

_NOTHING = "nothing that is left on the other side is like it"


@dataclass(frozen=True, slots=True)
class Left:
    """A tensor without a pair, and why."""

    side: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Pairs in golden order, what is left, golden before my, and what is said of the whole."""

    matches: tuple[Match, ...]
    left: tuple[Left, ...]
    said: tuple[str, ...] = ()


def propose(
    *, golden: Sequence[RankDump], my: Sequence[RankDump], budget: int | None = None
) -> Proposal:
    """Pairs of the names of two dumps; with a `budget` of bytes, by what the tensors hold too."""
    one, other = _sides(golden, my)
    padding = padded_ranks(golden, my)
    padded = padding.padded if padding else None
    contents = None if budget is None else Contents(one, other, budget, padded)
    other, counts = counted(one, other, contents)
    miscounted = frozenset(count.stem for count in counts)
    state = State(
        one,
        other,
        contents,
        spans=len(golden) != len(my),
        padding=padding,
        miscounted=miscounted,
    )
    pair_same_names(state)
    pair_by_names(state)
    pair_operands(state)
    pair_fused(state)
    pair_regrouped(state)
    if contents:
        pair_by_contents(state)
    for count in counts:
        state.doubt("golden", count.golden, count.left)
        state.doubt("my", count.my, count.left)
    pair_as_in_other_layers(state)
    pair_in_gaps(state)
    pair_as_in_other_layers(state)
    said = [count.said for count in counts]
    if contents and (denied := part_contradicted(state)):
        said.append(f"{denied} pairs by names are denied by contents, which agree with others")
    left = [
        Left(side, one.name.text, state.reasons.get((side, one.place), _NOTHING))
        for side, ones in (("golden", state.left_golden()), ("my", state.left_my()))
        for one in ones
    ]
    return Proposal(tuple(state.matches()), tuple(left), tuple(dict.fromkeys(said)))


def _sides(golden: Sequence[RankDump], my: Sequence[RankDump]) -> tuple[Side, Side]:
    """Both sides; where one is a process and the other the ranks of a run, with what each has."""
    one_run = False
    if min(len(golden), len(my)) == 1 != max(len(golden), len(my)):
        pairs = pair_ranks(golden=golden, my=my)
        one_run = are_shards(pairs)
        golden = [one for one, _ in pairs if one]
        my = [one for _, one in pairs if one]
    return make_side(golden, are_one_run=one_run), make_side(my, are_one_run=one_run)
