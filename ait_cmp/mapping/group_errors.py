"""Why the tensors of a row cannot be compared, and why a tensor has no counterpart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Literal

from ait_cmp.mapping.name_rule import SAME_NAME
from ait_cmp.mapping.named_pair import NamedPair, NamedPairs, lacking
from ait_cmp.mapping.sharding import Holders
from ait_cmp.mapping.tensor_groups import Group, RankedTensor, Sides, Users, named, names_of
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.statistics import Statistics

__all__ = ["NAMED", "GroupErrors", "statistics_of"]

NAMED = 5  # tensors in a sentence
_SIDES: tuple[tuple[Literal["golden", "my"], Reason], ...] = (
    ("golden", Reason.GOLDEN_MISSING),
    ("my", Reason.MY_MISSING),
)


class GroupErrors:
    """What is wrong with groups and with what is in none; `golden` and `my` are all tensors."""

    def __init__(
        self, sides: Sides, golden: Sequence[RankedTensor], my: Sequence[RankedTensor]
    ) -> None:
        self._sides = sides
        self._holders: Holders | None = None
        self._rounds = [{one.listed.token_id for one in side} for side in (golden, my)]
        self._named: list[set[str]] = []
        if sides.sharding:
            parts = golden if sides.shards("golden") else my
            self._holders = Holders(
                (one.listed.name, one.listed.token_id, one.rank) for one in parts
            )
        if isinstance(sides.rules, NamedPairs):
            self._named = [
                {name for one in of for name in names_of(one.listed)} for of in (golden, my)
            ]

    def of(self, group: Group, users: Users) -> PairError | None:
        """Why a group makes no pair; `users` are the groups that each my tensor is in."""
        for one in (*group.golden, *group.my):
            if one.listed.error:
                return one.listed.error
        name, identity = group.golden[0].listed.name, group.golden[0].listed.identity
        if not group.my and identity and identity.wrapper:
            return _of_wrapper(name, identity.wrapper)
        if group.rule is None:
            return self._unpaired(Reason.MY_MISSING, self._sides.rules.lacks(name, "golden"))
        if isinstance(group.rule, NamedPair) and (error := self._entry_error(group, group.rule)):
            return error
        if not group.my:
            called = "" if group.rule is SAME_NAME else f" called {group.rule.called} by its rule"
            other = self._other_rounds("my", group.golden[0].listed.token_id)
            return self._unpaired(
                Reason.MY_MISSING,
                f"the golden tensor {name!r} has no my one{called} in its round{other}",
            )
        if self._sides.sharding and (error := self._shard_error(group)):
            return error
        if len(group.my) > 1 and not group.rule.joins_my and not self._sides.shards("my"):
            return PairError(
                Reason.MAPPING_AMBIGUOUS,
                f"several my tensors belong to {name!r}: {named(group.my)}; name one, or join them",
            )
        for side in (group.golden, group.my):
            if len(side) > 1 and not self._sides.sharding and any(one.listed.steps for one in side):
                return PairError(
                    Reason.MAPPING_AMBIGUOUS,
                    f"a rule joins {named(side)}, which are shards that their own dump says how "
                    "to join; leave the join out of the rule",
                )
        claimants = (other for one in group.my for other in users[one] if other is not group)
        others = [one for other in islice(claimants, NAMED) for one in other.golden]
        if others:
            return PairError(
                Reason.MAPPING_AMBIGUOUS,
                f"the my tensor {group.my[0].listed.name!r} belongs to several golden ones: "
                f"{named([*group.golden, *others])}; narrow the rules",
            )
        return _no_tensor(group)

    def of_my(self, one: RankedTensor) -> PairError:
        """Why a my tensor is in no group."""
        name, identity = one.listed.name, one.listed.identity
        if identity and identity.wrapper:
            return _of_wrapper(name, identity.wrapper)
        golden, my = self._sides.ranks[one.rank]
        why = self._sides.rules.lacks(name, "my")
        why += self._other_rounds("golden", one.listed.token_id)
        if my and not golden and not self._sides.sharding:  # a shard never stands alone
            why = (
                f"the my tensor {name!r} has no golden one: golden has fewer dumps than my, so "
                f"{my.name} stands alone; pass as my_path the one that belongs to golden"
            )
        return self._unpaired(Reason.GOLDEN_MISSING, why)

    def of_entry(self, pair: NamedPair) -> PairError | None:
        """Why an entry of a list is in no group: its golden tensors are nowhere."""
        if not self._named[0].isdisjoint(pair.golden):
            return None
        return PairError(Reason.GOLDEN_MISSING, lacking(pair, "golden", (), "in golden at all"))

    def _shard_error(self, group: Group) -> PairError | None:
        """Why what the ranks have of one tensor are no shards of it."""
        sharding, rule = self._sides.sharding, group.rule
        assert sharding is not None
        assert rule is not None
        parts = self._sides.parts(group)
        if error := self._lacking(parts):
            return error
        if rule.joins_golden or rule.joins_my:
            return None
        if len({one.rank for one in parts}) < len(parts):
            return PairError(
                Reason.MAPPING_AMBIGUOUS,
                f"one rank has several tensors {parts[0].listed.name!r}: {named(parts)}; leave "
                "one of them there",
            )
        return sharding.missing(parts[0].listed.name, [one.rank for one in parts])

    def _lacking(self, parts: Sequence[RankedTensor]) -> PairError | None:
        """Why what some ranks have of a tensor may not be all of it."""
        assert self._sides.sharding is not None
        assert self._holders is not None
        names: dict[str, list[RankedTensor]] = {}
        for one in parts:
            names.setdefault(one.listed.name, []).append(one)
        for name, ones in names.items():
            ranks = [one.rank for one in ones]
            if without := self._holders.without(name, ones[0].listed.token_id, ranks):
                return self._sides.sharding.lacking(name, ranks, without)
        return None

    def _unpaired(self, reason: Reason, sentence: str) -> PairError:
        return PairError(Reason.UNPAIRED if self._sides.ignores_unpaired else reason, sentence)

    def _other_rounds(self, side: Literal["golden", "my"], token: int | None) -> str:
        """What is said of a round that a side has not at all."""
        there = self._rounds[side == "my"]
        if token is None or token in there or not there - {None}:
            return ""
        return (
            f"; {side} has no round {token}, so say by rounds= which answers which where calls "
            "were counted otherwise (rounds=+1: my round 1 answers golden round 0)"
        )

    def _entry_error(self, group: Group, pair: NamedPair) -> PairError | None:
        """Why the names of an entry are not those of tensors, or not of all that it joins."""
        for side, reason in _SIDES:
            known = self._named[side == "my"]
            ones = group.golden if side == "golden" else group.my
            here = {name for one in ones for name in names_of(one.listed)}
            lost = lacking(pair, side, known, f"in {side} at all")
            lost = lost or (lacking(pair, side, here, f"in {side}'s round") if ones else "")
            if lost:
                return PairError(reason, lost)
        return None


def _of_wrapper(name: str, wrapper: str) -> PairError:
    return PairError(
        Reason.LEFT_OUT,
        f"{name} is of {wrapper}, which wraps a module that is compared, and the other run has no "
        "such wrapper",
    )


def statistics_of(group: Group) -> tuple[Statistics, Statistics] | None:
    """What is compared instead of tensors, where a side has none and both have it."""
    ones = [one.listed for one in (*group.golden, *group.my)]
    if all(one.is_saved for one in ones) or len(group.golden) != 1 or len(group.my) != 1:
        return None
    golden, my = (one.statistics for one in ones)
    adapted = group.rule and (group.rule.golden_steps or group.rule.my_steps)
    if not golden or not my or adapted:
        return None
    return (golden, my) if golden.is_recorded and my.is_recorded else None


def _no_tensor(group: Group) -> PairError | None:
    """Why a group cannot be compared of which some tensors were not saved."""
    lost = [one.listed for one in (*group.golden, *group.my) if not one.listed.is_saved]
    if not lost or statistics_of(group):
        return None
    return PairError(
        Reason.NO_TENSOR,
        f"{lost[0].file} has only statistics of {lost[0].name!r}, which can neither be compared "
        "with a tensor nor joined or adapted; dump the tensor",
    )
