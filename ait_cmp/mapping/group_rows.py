"""The rows of two dumps: what each says, and their order, that of the computation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ait_cmp.dump_tree import is_weight
from ait_cmp.mapping.group_errors import NAMED, GroupErrors, statistics_of
from ait_cmp.mapping.grouping import Grouping
from ait_cmp.mapping.layouts.ranks import RankDump, rank_cells
from ait_cmp.mapping.named_pair import NamedPairs
from ait_cmp.mapping.tensor_groups import Group, RankedTensor, Sides, Users, token_of
from ait_cmp.mapping.through_rounds import places_through_rounds
from ait_cmp.values.location import Location, Step
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import Pair

__all__ = ["rows_of"]

# A place in the order of rows: pair of ranks, token, golden tensor, and what has none after it.
_Place = tuple[int, int, int, int]
_LAST = 1 << 62  # behind all rounds


def rows_of(sides: Sides) -> list[Pair]:
    """Every tensor of either side in exactly one row, in the order of the computation."""
    golden, my = sides.tensors("golden"), sides.tensors("my")
    groups = Grouping(sides, my).groups(golden)
    users: Users = {}
    for group in groups:
        for one in group.my:
            users.setdefault(one, []).append(group)
    rows = _Rows(sides, GroupErrors(sides, golden, my), users)
    found = [(rows.place(group), rows.row(group)) for group in groups]
    return _in_order([*found, *rows.rest(my), *rows.of_nothing()])


class _Rows:
    """The row of each group, and of each tensor and entry that is in none."""

    def __init__(self, sides: Sides, errors: GroupErrors, users: Users) -> None:
        self._sides = sides
        self._errors = errors
        self._users = users
        self._cells = rank_cells(sides.ranks)
        self._order_by = [_order_by(golden, my) for golden, my in sides.ranks]
        # Of each pair of ranks, where golden says in which order its rounds were computed.
        self._places = [
            None if sides.sharding else places_through_rounds(golden) for golden, _ in sides.ranks
        ]

    def place(self, group: Group) -> _Place:
        """Where its row stands."""
        first = group.golden[0]
        if places := self._places[first.rank]:
            return self._sides.run(first), 0, places[first.place], 0
        # Of several golden ranks none has the order of all, and a plain folder has none at all; the
        # one run of my has.
        golden, my = self._sides.ranks[first.rank]
        by_my = golden and not golden.is_ordered and my and my.is_ordered
        if by_my and my and not group.my:
            return self._sides.run(first), token_of(first), len(my.tensors) + first.place, 0
        place = group.my[0] if group.my and (by_my or self._sides.shards("golden")) else first
        return self._sides.run(first), token_of(first), place.place, 0

    def row(self, group: Group) -> Pair:
        """Its row."""
        first, rule = group.golden[0], group.rule
        error = self._errors.of(group, self._users)
        names = dict.fromkeys(one.listed.name for one in group.golden)
        # Of those that are too many, a few stand for all.
        my = group.my if rule and rule.joins_my else group.my[:NAMED]
        pair = Pair(
            " + ".join(names),
            first.listed.token_id,
            _location(group.golden, rule.golden_steps if rule else ()),
            _location(my, rule.my_steps) if rule and my else Location(()),
            first.listed.dump or self._sides.dump(first.rank),
            error=error,
            rank=self._cells[first.rank],
            run=first.rank,
            paired_by=rule.by if rule and not error else "",
            statistics=None if error else statistics_of(group),
            order_by=self._own_order(first),
        )
        return self._joined(pair, group) if self._sides.sharding else pair

    def _own_order(self, first: RankedTensor) -> OrderBy:
        """How the order of a row is known, and whether that says anything of it."""
        identity = first.listed.identity
        weighs = identity is not None and is_weight(identity.operand)
        return OrderBy.WEIGHTS if weighs else self._order_by[first.rank]

    def _joined(self, pair: Pair, group: Group) -> Pair:
        """The row of what several ranks have of one tensor."""
        sharding, rule = self._sides.sharding, group.rule
        assert sharding is not None
        pair = pair._replace(rank=sharding.cell, run=0)
        parts = self._sides.parts(group)
        if pair.error or rule is None or rule.joins_golden or rule.joins_my:
            return pair
        if len(parts) == 1:
            return sharding.alone(pair, parts[0].listed.name, parts[0].rank)
        golden = [_location([one], rule.golden_steps) for one in group.golden]
        my = [_location([one], rule.my_steps) for one in group.my]
        return sharding.joined(pair, golden, my, [one.rank for one in parts])

    def rest(self, my: Sequence[RankedTensor]) -> Iterator[tuple[_Place, Pair]]:
        """The my tensors of no row, each behind the one that was dumped before it."""
        behind: dict[tuple[int, int], int] = {}
        for one in self._through_rounds(my):
            where = one.rank, self._token(one)
            if one in self._users:
                behind[where] = max(behind.get(where, -1), self.place(self._users[one][0])[2])
                continue
            error = one.listed.error or self._errors.of_my(one)
            pair = Pair(
                one.listed.name,
                one.listed.token_id,
                Location(()),
                _location([one], ()),
                self._sides.dump(one.rank),
                error=error,
                rank=self._cells[one.rank],
                run=self._sides.run(one),
                order_by=self._order_by[one.rank],
            )
            yield (self._sides.run(one), where[1], behind.get(where, -1), 1 + one.place), pair

    def _token(self, one: RankedTensor) -> int:
        """Its round, where rounds stand one after the other."""
        return 0 if self._places[one.rank] else token_of(one)

    def _through_rounds(self, my: Sequence[RankedTensor]) -> list[RankedTensor]:
        """My tensors in the order of the computation, where theirs is known as golden's is."""
        known = [
            places_through_rounds(rank) if self._places[number] else None
            for number, (_, rank) in enumerate(self._sides.ranks)
        ]

        def key(one: RankedTensor) -> tuple[int, int]:
            places = known[one.rank]
            return one.rank, places[one.place] if places else one.place

        return sorted(my, key=key)

    def of_nothing(self) -> Iterator[tuple[_Place, Pair]]:
        """The entries of a list whose golden tensors are nowhere."""
        rules = self._sides.rules
        for number, pair in enumerate(rules.pairs if isinstance(rules, NamedPairs) else ()):
            error = self._errors.of_entry(pair)
            if error is None:
                continue
            row = Pair(
                " + ".join(pair.golden),
                None,
                Location(()),
                Location(()),
                self._sides.dump(0),
                error=error,
                rank=self._sides.sharding.cell if self._sides.sharding else self._cells[0],
                run=0,
            )
            yield (0, _LAST, number, 0), row


def _order_by(golden: RankDump | None, my: RankDump | None) -> OrderBy:
    """How the order of the rows of both is known."""
    if my and my.is_ordered:
        return OrderBy.DUMP
    return golden.order_by if golden else OrderBy.DUMP  # what stands alone is not judged


def _location(ones: Sequence[RankedTensor], steps: tuple[Step, ...]) -> Location:
    """Where `ones` are, with the adapters that a dump itself asks for before those of a rule."""
    own = ones[0].listed.steps if len(ones) == 1 else ()
    return Location(tuple(file for one in ones for file in one.listed.files), own + steps)


def _in_order(rows: list[tuple[_Place, Pair]]) -> list[Pair]:
    """The rows, numbered within their pair of ranks."""
    ordered = sorted(rows, key=lambda row: row[0])
    orders: dict[int, int] = {}
    pairs = []
    for (rank, *_), pair in ordered:
        pairs.append(pair._replace(order=orders.get(rank, 0)))
        orders[rank] = orders.get(rank, 0) + 1
    return pairs
