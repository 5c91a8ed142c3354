"""Two dumps, tensor by tensor: `tree` by equal names, `rules` and `names` by the user's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from ait_cmp.mapping.annotated import join_annotated
from ait_cmp.mapping.group_rows import rows_of
from ait_cmp.mapping.layouts import Dump, list_dump
from ait_cmp.mapping.layouts.beside import with_counterparts
from ait_cmp.mapping.layouts.ranks import RankDump, RankPair, pair_ranks, rank_cells
from ait_cmp.mapping.name_rule import SAME_NAME, NameRules
from ait_cmp.mapping.named_pair import NamedPairs
from ait_cmp.mapping.own_names import with_own_names
from ait_cmp.mapping.proposing import counted_otherwise, guessed_names, pairs_by_name
from ait_cmp.mapping.rounds import in_rounds
from ait_cmp.mapping.rows_of_batches import with_rows_of_batches
from ait_cmp.mapping.selection import Wish
from ait_cmp.mapping.sharding import refuse_other_worlds, sharding_of
from ait_cmp.mapping.tensor_groups import Sides
from ait_cmp.mapping.unordered import in_order
from ait_cmp.values.errors import UsageError
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import DOUBTED, Pair
from ait_cmp.values.text import printable

__all__ = ["name_pairs", "rule_pairs", "tree_pairs"]

_LOGGER = logging.getLogger(__name__)
_BESIDE = "(beside)"  # the dump of their rows
_SAME_NAMES = NameRules((SAME_NAME,))


def tree_pairs(wish: Wish) -> list[Pair]:
    """The tensors of two dumps that have the same name, and those of one side only."""
    return _pairs(wish, _SAME_NAMES)


def rule_pairs(wish: Wish) -> list[Pair]:
    """The tensors of two dumps that the rules bring together, and all others."""
    if not wish.rules:
        raise UsageError(
            "mapping=rules has no rules; write them to mapping/NAME.yaml of a folder "
            "of your own and pass --config-dir FOLDER mapping=NAME"
        )
    return _pairs(wish, NameRules(wish.rules))


def name_pairs(wish: Wish) -> list[Pair]:
    """The tensors of two dumps that a list of names brings together, and all others."""
    if not wish.names:
        raise UsageError(
            "mapping=names has no names; let `python -m ait_cmp.pair` write FILE.yaml and pass "
            "mapping=FILE.yaml"
        )
    return _pairs(wish, NamedPairs(wish.names))


def _pairs(wish: Wish, rules: NameRules | NamedPairs) -> list[Pair]:
    golden_path, my_path = wish.two_folders()
    golden, my = list_dump("golden_path", golden_path), list_dump("my_path", my_path)
    if wish.shards != "off":
        refuse_other_worlds(golden.ranks, my.ranks)
    if len(golden.ranks) != len(my.ranks):  # else ranks are compared one by one
        golden = replace(golden, ranks=join_annotated("golden", golden.ranks))
        my = replace(my, ranks=join_annotated("my", my.ranks))
    if rules is _SAME_NAMES:
        golden_ranks, my_ranks = with_own_names(golden=golden.ranks, my=my.ranks)
        golden, my = replace(golden, ranks=golden_ranks), replace(my, ranks=my_ranks)
    by_name = not wish.may_guess or pairs_by_name(golden.ranks, my.ranks)
    doubted = wish.may_guess and by_name and counted_otherwise(golden.ranks, my.ranks)
    if not by_name or (doubted and wish.contents is not None):
        names = guessed_names(golden, my, wish.contents, doubted=doubted)
        rules = NamedPairs(names, guessed=True) if names else rules
    ranks = pair_ranks(golden=golden.ranks, my=my.ranks)
    ranks, found = in_rounds(in_order(ranks), wish.rounds, rules)
    spans = len(golden.ranks) != len(my.ranks)
    sharding = sharding_of(ranks, wish)
    sides = Sides(ranks, spans, wish.ignore_unpaired, rules, sharding)
    for side, dump in (("golden", golden), ("my", my)):
        for sentence in dict.fromkeys(one for rank in dump.ranks for one in rank.unseen):
            _LOGGER.warning("of the %s run not all is dumped: %s", side, printable(sentence))
    pairs = [_told(pair, found[pair.run]) for pair in rows_of(sides)]
    if doubted and wish.contents is None:
        pairs = [pair if pair.error else pair.also_by(DOUBTED) for pair in pairs]
    if wish.may_guess and not (spans or wish.golden_steps or wish.my_steps):
        pairs = with_rows_of_batches(pairs)
    if sharding:
        sharding.tell(pairs)
    else:
        _tell_ranks(ranks)
    return pairs + _beside(golden, my, len(ranks))


def _tell_ranks(ranks: Sequence[RankPair]) -> None:
    """Which process is compared with which."""
    for (golden, my), cell in zip(ranks, rank_cells(ranks), strict=True):
        if golden and my and golden.name and my.name:
            which = f"{my.name} (rank {cell})" if cell else my.name
            _LOGGER.info("golden %s is compared with my %s", golden.name, which)


def _told(pair: Pair, rounds: str) -> Pair:
    """`pair` with the rounds that were found for it, and not said."""
    return pair if not rounds or pair.error else pair.also_by(rounds)


def _beside(golden: Dump, my: Dump, run: int) -> list[Pair]:
    """The files beside the ranks: those of equal names, and why all others are left out."""
    sides = with_counterparts(golden=golden.beside_both(my), my=my.beside_both(golden))
    golden_rest, my_rest = (
        RankDump(_BESIDE, None, side, order_by=OrderBy.NAMES) if side else None for side in sides
    )
    if not golden_rest and not my_rest:
        return []
    rows = rows_of(Sides([(golden_rest, my_rest)], False, False, _SAME_NAMES))
    return [pair._replace(run=run) for pair in rows]
