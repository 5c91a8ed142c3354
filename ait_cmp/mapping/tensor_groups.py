"""The tensors of two dumps that make one row, before it is known whether they can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankPair
from ait_cmp.mapping.lookup import named_files
from ait_cmp.mapping.name_rule import NameRule, NameRules
from ait_cmp.mapping.named_pair import NamedPair, NamedPairs
from ait_cmp.mapping.sharding import Sharding

__all__ = ["Group", "RankedTensor", "Rule", "Sides", "Users", "named", "names_of", "token_of"]

Rule = NameRule | NamedPair


@dataclass(frozen=True, slots=True)
class RankedTensor:
    """A tensor and where it stands: the number of its pair of ranks, its place in its own."""

    rank: int
    place: int
    listed: DumpedTensor


@dataclass(slots=True)
class Group:
    """Golden tensors that make one row, and the my tensors that belong to them."""

    rule: Rule | None
    golden: list[RankedTensor]
    my: list[RankedTensor] = field(default_factory=list)


Users = dict[RankedTensor, list[Group]]  # the groups that each my tensor is in


@dataclass(frozen=True, slots=True)
class Sides:
    """The ranks of two dumps; `spans`: they are not as many, so what a rule joins is of all;
    `ignores_unpaired`: what has no counterpart is left out on purpose; with `sharding` the ranks
    of one side are a run of one rank on the other."""

    ranks: Sequence[RankPair]
    spans: bool
    ignores_unpaired: bool
    rules: NameRules | NamedPairs
    sharding: Sharding | None = None

    def tensors(self, side: Literal["golden", "my"]) -> list[RankedTensor]:
        """All of a side, rank by rank."""
        return [
            RankedTensor(number, place, listed)
            for number, pair in enumerate(self.ranks)
            if (rank := pair[side == "my"])
            for place, listed in enumerate(rank.tensors)
        ]

    def shards(self, side: Literal["golden", "my"]) -> bool:
        """Whether the ranks of `side` have shards of what the other has whole."""
        return self.sharding is not None and self.sharding.side == side

    def parts(self, group: Group) -> list[RankedTensor]:
        """What the several ranks have of one tensor."""
        return group.golden if self.shards("golden") else group.my

    def run(self, one: RankedTensor) -> int:
        """The number of the run that a row of `one` is of."""
        return 0 if self.sharding else one.rank

    def dump(self, rank: int) -> str:
        """How the dump of a pair of ranks is called: golden's, where it is there."""
        return next(one.name for one in self.ranks[rank] if one)


def names_of(listed: DumpedTensor) -> tuple[str, ...]:
    """What a tensor is called in mappings: as now, or as in those of older dumps."""
    return (listed.name, listed.identity.former) if listed.identity else (listed.name,)


def named(ones: Sequence[RankedTensor]) -> str:
    """Some of them for a sentence."""
    return named_files(one.listed.file for one in ones)


def token_of(one: RankedTensor) -> int:
    """Its round in the order of rounds: what is of none comes first."""
    return -1 if one.listed.token_id is None else one.listed.token_id
