"""A run of one rank against one of several: which side has the ranks, and what is said of it."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from ait_cmp.mapping.layouts.ranks import RankDump, RankPair
from ait_cmp.mapping.lone_part import lone_shard
from ait_cmp.mapping.selection import Wish
from ait_cmp.mapping.shards import join_shards
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location, Step
from ait_cmp.values.pair import Pair
from ait_cmp.values.shards import NAMED_RANKS, named_ranks

__all__ = ["Holders", "Sharding", "are_shards", "refuse_other_worlds", "sharding_of"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sharding:
    """`side` has the `ranks`, by the number of their pair of ranks; `cell` is the rank of the one
    process of the other side. `required`: every rank must have every tensor."""

    side: Literal["golden", "my"]
    ranks: tuple[str, ...]
    cell: str
    required: bool
    golden_steps: tuple[Step, ...]
    my_steps: tuple[Step, ...]

    def missing(self, name: str, ranks: Sequence[int]) -> PairError | None:
        """Why a tensor that not all ranks have is no whole one, where all must have it."""
        without = tuple(one for rank, one in enumerate(self.ranks) if one and rank not in ranks)
        if not self.required or not without:
            return None
        reason = Reason.GOLDEN_MISSING if self.side == "golden" else Reason.MY_MISSING
        return PairError(
            reason,
            f"{self.side} {named_ranks(without)} have no {name!r}, and shards=required asks for "
            "all; dump them again, or pass shards=auto",
        )

    def lacking(self, name: str, ranks: Sequence[int], without: frozenset[int]) -> PairError:
        """Why what some ranks have of a tensor is not known to be all of it."""
        reason = Reason.GOLDEN_MISSING if self.side == "golden" else Reason.MY_MISSING
        has, lacks = (
            named_ranks(tuple(self.ranks[rank] for rank in sorted(of))) for of in (ranks, without)
        )
        return PairError(
            reason,
            f"{self.side} {lacks} have no {name!r}, which {has} have, so that these may not be all "
            "of it; dump it again, or pass shards=off to compare rank by rank",
        )

    def alone(self, pair: Pair, name: str, rank: int) -> Pair:
        """`pair` of a tensor that one rank alone has, or why it is a shard of a whole one."""
        golden, my = pair.golden.then(self.golden_steps), pair.my.then(self.my_steps)
        whole, part = (my, golden) if self.side == "golden" else (golden, my)
        called = self.ranks[rank]
        error = lone_shard(
            name,
            whole=whole,
            part=part,
            rank=called,
            ranks=tuple(filter(None, self.ranks)),
            side=self.side,
        )
        if error:
            return pair._replace(error=error, paired_by="")
        return pair.also_by(f"shards: {self.side} rank {called} alone")

    def joined(
        self,
        pair: Pair,
        golden: Sequence[Location],
        my: Sequence[Location],
        ranks: Sequence[int],
    ) -> Pair:
        """`pair` of what the ranks have: joined as shapes say, or why these fit no way."""
        golden = [one.then(self.golden_steps) for one in golden]
        my = [one.then(self.my_steps) for one in my]
        (whole,), parts = (my, golden) if self.side == "golden" else (golden, my)
        found = join_shards(whole, parts, [self.ranks[rank] for rank in ranks], self.side)
        if found.error or found.shards is None:
            return pair._replace(error=found.error, paired_by="")
        one, other = found.whole, found.parts
        if self.side == "golden":
            one, other = other, one
        pair = pair.also_by(f"shards: {found.shards.said}")
        return pair._replace(golden=one, my=other, shards=found.shards)

    def tell(self, pairs: Sequence[Pair]) -> None:
        """Say what became of the tensors."""
        names = [" or ".join(way.name for way in one.shards.ways) for one in pairs if one.shards]
        said = [f"{count} by {name}" for name, count in Counter(names).most_common()]
        _LOGGER.info(
            "%s is one process, and %s has %s of another run, whose tensors are taken as their "
            "shapes say: %s%s (shards=off compares rank by rank)",
            "my" if self.side == "golden" else "golden",
            self.side,
            named_ranks(tuple(filter(None, self.ranks))),
            ", ".join(said) or "none is of several ranks",
            "; where these leave several ways, the numbers decide"
            if any(" or " in name for name in names)
            else "",
        )


class Holders:
    """Which ranks have which tensors of a round: all, or those of a stage, an expert or a group,
    while the others have what is theirs."""

    def __init__(self, held: Iterable[tuple[str, int | None, int]]) -> None:
        self._ever: dict[str, set[int]] = defaultdict(set)
        there: dict[tuple[str, int | None], set[int]] = defaultdict(set)
        for name, token, rank in held:
            self._ever[name].add(rank)
            there[name, token].add(rank)
        self._together: dict[int | None, set[frozenset[int]]] = defaultdict(set)
        for (_, token), ranks in there.items():
            self._together[token].add(frozenset(ranks))

    def without(self, name: str, token: int | None, ranks: Iterable[int]) -> frozenset[int]:
        """The ranks that lack what `ranks` have of a tensor: that have it in other rounds, or have
        nothing of their own instead. What one rank alone has is whole as it is."""
        there = frozenset(ranks)
        lost = frozenset(self._ever[name]) - there
        if lost or len(there) < 2:
            return lost
        together = self._together[token]
        rest = frozenset[int]().union(*together) - there
        own = (one for one in together if one.isdisjoint(there))
        return rest.difference(*own)


def refuse_other_worlds(golden: Sequence[RankDump], my: Sequence[RankDump]) -> None:
    """Raises UsageError where both are several ranks, of runs of other sizes: what one rank has is
    another part of a tensor than what the same rank has on the other side."""
    sizes = [{_world(dump) for dump in side if dump.record} for side in (golden, my)]
    if min(len(golden), len(my)) < 2 or any(len(one) != 1 for one in sizes):
        return
    (one,), (other,) = sizes
    if 1 < one != other > 1:
        raise UsageError(
            f"golden is a run of {one} ranks and my of {other}, so that no rank of one has what a "
            "rank of the other has; compare either with a run of one process, or pass shards=off "
            "to compare rank by rank all the same"
        )


def sharding_of(pairs: Sequence[RankPair], wish: Wish) -> Sharding | None:
    """Which side has several ranks of a run that the other has one of. None where neither has, or
    nothing tells that its dumps are ranks and not runs; raises UsageError where that is required.
    """
    if wish.shards == "off":
        return None
    side, one, many = _one_and_many(pairs)
    ranks = _there(many)
    why = _why_not(_there(one), ranks, side)
    lost = "" if why else _lost(ranks, side)
    if wish.shards == "required" and (why or lost):
        raise UsageError(f"shards=required, but {why or lost}")
    if why:
        _tell_of_lone_ranks(pairs)
        return None
    if lost:
        _LOGGER.warning("%s; what they had is missing in what is joined", lost)
    number = _there(one)[0].number
    return Sharding(
        side,
        tuple(_called(dump) if dump else "" for dump in many),
        "" if number is None else str(number),
        wish.shards == "required",
        wish.golden_steps,
        wish.my_steps,
    )


def are_shards(pairs: Sequence[RankPair]) -> bool:
    """Whether one side has several ranks of a run that the other has one of."""
    side, one, many = _one_and_many(pairs)
    return not _why_not(_there(one), _there(many), side)


_Dumps = list[RankDump | None]


def _one_and_many(pairs: Sequence[RankPair]) -> tuple[Literal["golden", "my"], _Dumps, _Dumps]:
    """Which side has several, the side of one, and that of several."""
    golden, my = ([pair[side] for pair in pairs] for side in (0, 1))
    return ("golden", my, golden) if len(_there(my)) == 1 else ("my", golden, my)


def _there(dumps: Sequence[RankDump | None]) -> list[RankDump]:
    return [dump for dump in dumps if dump]


def _why_not(one: Sequence[RankDump], many: Sequence[RankDump], side: str) -> str:
    if len(one) != 1 or len(many) < 2:
        other = "my" if side == "golden" else "golden"
        return (
            f"{side} has {len(many)} processes and {other} {len(one)}, where one side must have "
            "one and the other several; pass shards=auto"
        )
    record = one[0].record
    if record and (record.world_size or 1) > 1:
        return f"{one[0].name} is itself one of {record.world_size} ranks; pass the whole run"
    numbers = {dump.number for dump in many}
    devices = {dump.rank.device if dump.rank else None for dump in many}
    if None not in numbers:
        several = f"{side} has several runs of one rank; pass the folder of one run"
        return "" if len(numbers) == len(many) else several
    if len(devices) < len(many) or None in devices:
        return f"nothing tells which ranks the dumps of {side} are; dump them with RANK set"
    return ""


def _tell_of_lone_ranks(pairs: Sequence[RankPair]) -> None:
    """Say that a side is one rank of several, where the other is one process."""
    golden, my = (_there([pair[side] for pair in pairs]) for side in (0, 1))
    if len(golden) != 1 or len(my) != 1:
        return
    sizes = {side: _world(dump) for side, (dump,) in (("golden", golden), ("my", my))}
    side = max(sizes, key=lambda one: sizes[one])
    if min(sizes.values()) == 1 < sizes[side]:
        _LOGGER.warning(
            "%s is one rank of %d, and the other side one process: what is cut among ranks cannot "
            "be compared without the others; pass the folder that holds all of them",
            side,
            sizes[side],
        )


def _world(dump: RankDump) -> int:
    return (dump.record.world_size or 1) if dump.record else 1


def _lost(many: Sequence[RankDump], side: str) -> str:
    """Which ranks of the world are not there."""
    sizes = (dump.record.world_size or 0 for dump in many if dump.record)
    size = max(sizes, default=0)
    there = {dump.number for dump in many}
    count = size - sum(number is not None and number < size for number in there)
    # The world is as large as a file says: only those named are made.
    gone = (str(rank) for rank in range(size) if rank not in there)
    named = named_ranks(tuple(islice(gone, NAMED_RANKS)), count)
    return f"{side} lacks {named} of {size}" if count else ""


def _called(dump: RankDump) -> str:
    device = dump.rank.device if dump.rank else -1
    return str(dump.number) if dump.number is not None else f"device {device}"
