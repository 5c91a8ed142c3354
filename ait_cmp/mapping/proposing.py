"""Two dumps whose names differ: who belongs to whom, as their names, order and shapes suggest."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from ait_cmp.mapping.annotated import join_annotated
from ait_cmp.mapping.layouts import Dump, list_dump
from ait_cmp.mapping.layouts.ranks import RankDump
from ait_cmp.mapping.name_rule import steps_of
from ait_cmp.mapping.named_pair import NamedPair
from ait_cmp.mapping.pairing import Match, Proposal, propose
from ait_cmp.mapping.selection import Wish
from ait_cmp.mapping.sharding import refuse_other_worlds
from ait_cmp.values.text import printable

__all__ = ["counted_otherwise", "guessed_names", "pairs_by_name", "proposal"]

_LOGGER = logging.getLogger(__name__)
_ENOUGH = 0.5  # of the names of the smaller side
_NUMBER = re.compile(r"\d+")


def proposal(wish: Wish, *, budget: int | None) -> Proposal:
    """Of two dump folders; with a budget by their contents too. Raises UsageError for what is
    none."""
    golden_path, my_path = wish.two_folders()
    golden, my = list_dump("golden_path", golden_path), list_dump("my_path", my_path)
    refuse_other_worlds(golden.ranks, my.ranks)
    ranks = golden.ranks, my.ranks
    if len(golden.ranks) != len(my.ranks):  # as comparing does: what says how it is cut is whole
        ranks = join_annotated("golden", golden.ranks), join_annotated("my", my.ranks)
    return propose(golden=ranks[0], my=ranks[1], budget=budget)


def pairs_by_name(golden: Sequence[RankDump], my: Sequence[RankDump]) -> bool:
    """Whether plain names pair half of the names of the smaller side, or more."""
    names, others = ({one.name for rank in side for one in rank.tensors} for side in (golden, my))
    least = min(len(names), len(others))
    return len(names & others) >= _ENOUGH * least


def counted_otherwise(golden: Sequence[RankDump], my: Sequence[RankDump]) -> bool:
    """Whether either side alone has names that are alike but for their numbers, which is said:
    layers that are counted from 0 and from 1 have equal names, of which none belong together."""
    names, others = ({one.name for rank in side for one in rank.tensors} for side in (golden, my))
    alone, others_alone = sorted(names - others), sorted(others - names)
    stars, others_stars = ({_NUMBER.sub("*", one) for one in of} for of in (alone, others_alone))
    if not alone or stars != others_stars:
        return False
    _LOGGER.warning(
        "golden alone has %s and my alone %s, and %d such names more: where the sides count from "
        "different numbers, equal names are of different tensors; mapping.contents=true looks "
        "which belong together, as `python -m ait_cmp.pair` does, whose file mapping=FILE takes",
        printable(alone[0]),
        printable(others_alone[0]),
        len(alone) + len(others_alone) - 2,
    )
    return True


def guessed_names(
    golden: Dump, my: Dump, budget: int | None, *, doubted: bool = False
) -> tuple[NamedPair, ...]:
    """The pairs that names, order and shapes suggest, said aloud; none where they suggest none.
    `doubted`: plain names may pair the wrong ones."""
    found = propose(golden=golden.ranks, my=my.ranks, budget=budget)
    for sentence in found.said:
        _LOGGER.warning("%s", printable(sentence))
    new = sum(not one.is_same_name for one in found.matches)
    if not new:
        return ()
    by = "names, order and shapes" if budget is None else "names, order, shapes and contents"
    _LOGGER.warning(
        "plain names pair less than half of the tensors%s, so %d pairs are guessed by %s (column "
        "paired_by), and %d golden and %d my tensors are left; `python -m ait_cmp.pair` proposes "
        "pairs that you can read and edit, and mapping=tree takes plain names alone",
        ", or others than belong together" if doubted else "",
        new,
        by,
        sum(one.side == "golden" for one in found.left),
        sum(one.side == "my" for one in found.left),
    )
    return tuple(map(_named, found.matches))


def _named(match: Match) -> NamedPair:
    place = "a guessed pair"
    return NamedPair(
        tuple(one.name.text for one in match.golden),
        tuple(one.name.text for one in match.my),
        steps_of(place, match.golden_steps),
        steps_of(place, match.my_steps),
        match.by,
    )
