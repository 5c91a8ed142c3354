"""Two dumps, tensor by tensor: `tree` by equal names, `rules` and `names` by the user's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

from ait_cmp.mapping.annotated import join_annotated
from ait_cmp.mapping.layouts import Dump, list_dump
from ait_cmp.mapping.layouts.beside import with_counterparts
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump, RankPair, pair_ranks, rank_cells
from ait_cmp.mapping.lookup import named_files, natural
from ait_cmp.mapping.models import counterparts
from ait_cmp.mapping.name_rule import SAME_NAME, NamePattern, NameRule, NameRules
from ait_cmp.mapping.named_pair import NamedPair, NamedPairs, lacking
from ait_cmp.mapping.own_names import with_own_names
from ait_cmp.mapping.proposing import guessed_names, pairs_by_name, warn_of_counts
from ait_cmp.mapping.rounds import in_rounds
from ait_cmp.mapping.rows_of_batches import with_rows_of_batches
from ait_cmp.mapping.selection import Wish
from ait_cmp.mapping.sharding import Holders, Sharding, refuse_other_worlds, sharding_of
from ait_cmp.mapping.unordered import in_order
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location, Step
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import Pair
from ait_cmp.values.statistics import Statistics
from ait_cmp.values.text import printable

__all__ = ["name_pairs", "rule_pairs", "tree_pairs"]

_LOGGER = logging.getLogger(__name__)
_BESIDE = "(beside)"  # the dump of their rows
_NAMED = 5  # names in a sentence
# A place in the order of rows: pair of ranks, token, golden tensor, and what has none after it.
_Place = tuple[int, int, int, int]
_LAST = 1 << 62  # behind all rounds
_SIDES: tuple[tuple[Literal["golden", "my"], Reason], ...] = (
    ("golden", Reason.GOLDEN_MISSING),
    ("my", Reason.MY_MISSING),
)
Called = str | NamePattern | tuple[str, ...]
Rule = NameRule | NamedPair
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
    if wish.may_guess and pairs_by_name(golden.ranks, my.ranks):
        warn_of_counts(golden.ranks, my.ranks)
    elif wish.may_guess:
        names = guessed_names(golden, my, wish.contents)
        rules = NamedPairs(names, guessed=True) if names else rules
    ranks = pair_ranks(golden=golden.ranks, my=my.ranks)
    ranks, found = in_rounds(in_order(ranks), wish.rounds, rules)
    spans = len(golden.ranks) != len(my.ranks)
    sharding = sharding_of(ranks, wish)
    matching = _Matching(ranks, spans, wish.ignore_unpaired, rules, sharding)
    for side, dump in (("golden", golden), ("my", my)):
        for sentence in dict.fromkeys(one for rank in dump.ranks for one in rank.unseen):
            _LOGGER.warning("of the %s run not all is dumped: %s", side, printable(sentence))
    pairs = [_told(pair, found[pair.run]) for pair in matching.pairs()]
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
    rows = _Matching([(golden_rest, my_rest)], False, False, _SAME_NAMES).pairs()
    return [pair._replace(run=run) for pair in rows]


@dataclass(frozen=True, slots=True)
class _One:
    """A tensor and where it stands: the number of its pair of ranks, its place in its own."""

    rank: int
    place: int
    listed: DumpedTensor


@dataclass(slots=True)
class _Group:
    """Golden tensors that make one row, and the my tensors that belong to them."""

    rule: Rule | None
    golden: list[_One]
    my: list[_One] = field(default_factory=list)


class _Names:
    """My tensors of one rank and token, by name; by their former names where none is called so."""

    def __init__(self) -> None:
        self._ones: dict[str, list[_One]] = {}
        self._former: _Names | None = None

    def add(self, one: _One) -> None:
        """Before the first question."""
        self._ones.setdefault(one.listed.name, []).append(one)
        identity = one.listed.identity
        if identity:
            self._former = self._former or _Names()
            self._former._ones.setdefault(identity.former, []).append(one)

    def find(self, called: Called) -> list[_One]:
        """Those of this name, those of these in their order, or those whose names fit the
        pattern, in dump order."""
        found = self._find(called)
        return found if found or not self._former else self._former._find(called)

    def _find(self, called: Called) -> list[_One]:
        if isinstance(called, str):
            return self._ones.get(called, [])
        if isinstance(called, tuple):
            return [one for name in called for one in self._ones.get(name, [])]
        found = [one for name in called.fitting(self._sorted) for one in self._ones[name]]
        return sorted(found, key=lambda one: one.place)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._ones)


@dataclass(slots=True)
class _Matching:
    """The ranks of two dumps; `spans`: they are not as many, so what a rule joins is of all;
    `ignores_unpaired`: what has no counterpart is left out on purpose; with `sharding` the ranks
    of one side are a run of one rank on the other."""

    ranks: Sequence[RankPair]
    spans: bool
    ignores_unpaired: bool
    rules: NameRules | NamedPairs
    sharding: Sharding | None = None
    _cells: list[str] = field(init=False)
    _order_by: list[OrderBy] = field(init=False)
    _my: dict[tuple[int, int | None], _Names] = field(default_factory=dict)
    _models: dict[int, dict[str, str | None]] = field(default_factory=dict)
    _holders: Holders | None = None
    _rounds: list[set[int | None]] = field(default_factory=list)
    _named: list[set[str]] = field(default_factory=list)
    _found: dict[tuple[int, int | None, Called], list[_One]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cells = rank_cells(self.ranks)
        self._order_by = [_order_by(golden, my) for golden, my in self.ranks]

    def pairs(self) -> list[Pair]:
        """Every tensor of either side in exactly one row, in the order of the computation."""
        golden, my = self._side(0), self._side(1)
        for one in my:
            self._my.setdefault((one.rank, one.listed.token_id), _Names()).add(one)
        if self.sharding:
            parts = golden if self._shards("golden") else my
            self._holders = Holders(
                (one.listed.name, one.listed.token_id, one.rank) for one in parts
            )
        self._rounds = [{one.listed.token_id for one in side} for side in (golden, my)]
        if isinstance(self.rules, NamedPairs):
            self._named = [
                {name for one in of for name in _names_of(one.listed)} for of in (golden, my)
            ]
        groups = self._groups(golden)
        users: dict[_One, list[_Group]] = {}
        for group in groups:
            for one in group.my:
                users.setdefault(one, []).append(group)
        rows = [(self._place(group), self._row(group, users)) for group in groups]
        rows += self._rest(my, users)
        rows += self._of_nothing()
        return _in_order(rows)

    def _side(self, side: int) -> list[_One]:
        return [
            _One(number, place, listed)
            for number, pair in enumerate(self.ranks)
            if (rank := pair[side])
            for place, listed in enumerate(rank.tensors)
        ]

    def _place(self, group: _Group) -> _Place:
        first = group.golden[0]
        # Of several golden ranks none has the order of all, and a plain folder has none at all; the
        # one run of my has.
        golden, my = self.ranks[first.rank]
        by_my = golden and not golden.is_ordered and my and my.is_ordered
        if by_my and my and not group.my:
            return self._run(first), _token(first), len(my.tensors) + first.place, 0
        place = group.my[0] if group.my and (by_my or self._shards("golden")) else first
        return self._run(first), _token(first), place.place, 0

    # -- who belongs together

    def _groups(self, golden: Sequence[_One]) -> list[_Group]:
        groups: dict[object, _Group] = {}
        for one in golden:
            rule, called = self.rules.find(*_names_of(one.listed))
            if rule is SAME_NAME:
                called = self._my_name(one)
            joins = rule is not None and rule.joins_golden
            rank = None if self.spans else one.rank
            key: object = (rule, called, one.listed.token_id, rank) if joins else one
            if rule and not joins and self._shards("golden"):
                key = (rule, called, one.listed.token_id, one.listed.name)
            group = groups.setdefault(key, _Group(rule, []))
            group.golden.append(one)
            if rule and called is not None and len(group.golden) == 1:
                group.my = self._candidates(one, rule, called) or self._by_place(one)
        for group in groups.values():
            if len(group.golden) > 1:
                self._set_in_order(group)
        return list(groups.values())

    def _set_in_order(self, group: _Group) -> None:
        """What is joined: as a list has it, else in dump order, in which a plain folder without one
        is by names."""
        if isinstance(group.rule, NamedPair):
            names = group.rule.golden
            group.golden.sort(key=lambda one: min(map(_index(names), _names_of(one.listed))))
            return
        golden, _ = self.ranks[group.golden[0].rank]
        if golden and not golden.is_ordered:
            group.golden.sort(key=lambda one: (one.rank, natural(one.listed.name)))

    def _my_name(self, golden: _One) -> str | None:
        """How the my tensor is called that is the same one; None where my has no such model."""
        identity, name = golden.listed.identity, golden.listed.name
        if not identity:
            return name
        if golden.rank not in self._models:
            golden_rank, my_rank = self.ranks[golden.rank]
            if self.sharding:
                my_rank = next(my for _, my in self.ranks if my)
            self._models[golden.rank] = counterparts(golden=golden_rank, my=my_rank)
        models = self._models[golden.rank]
        if identity.model not in models:
            return name
        root = models[identity.model]
        return None if root is None else identity.under(root)

    def _candidates(self, golden: _One, rule: Rule, called: Called) -> list[_One]:
        all_ranks = self.sharding or (self.spans and rule.joins_my)
        ranks = range(len(self.ranks)) if all_ranks else [golden.rank]
        by_rank = [self._find(rank, golden.listed.token_id, called) for rank in ranks]
        if not rule.joins_my:
            by_rank = [_alike(found, golden.listed.file) for found in by_rank]
        return [one for found in by_rank for one in found]

    def _shards(self, side: Literal["golden", "my"]) -> bool:
        return self.sharding is not None and self.sharding.side == side

    def _parts(self, group: _Group) -> list[_One]:
        """What the several ranks have of one tensor."""
        return group.golden if self._shards("golden") else group.my

    def _by_place(self, golden: _One) -> list[_One]:
        """Where my is an older dump, which says of no tensor what it is: the one at its place."""
        identity = golden.listed.identity
        rule, called = self.rules.find(identity.former) if identity else (None, None)
        if rule is None or called is None:
            return []
        found = self._candidates(golden, rule, called)
        return [one for one in found if one.listed.identity is None]

    def _find(self, rank: int, token_id: int | None, called: Called) -> list[_One]:
        key = (rank, token_id, called)
        if key not in self._found:
            names = self._my.get((rank, token_id))
            self._found[key] = names.find(called) if names else []
        return self._found[key]

    # -- what a row says

    def _row(self, group: _Group, users: dict[_One, list[_Group]]) -> Pair:
        first, rule = group.golden[0], group.rule
        error = self._error(group, users)
        names = dict.fromkeys(one.listed.name for one in group.golden)
        # Of those that are too many, a few stand for all.
        my = group.my if rule and rule.joins_my else group.my[:_NAMED]
        pair = Pair(
            " + ".join(names),
            first.listed.token_id,
            _location(group.golden, rule.golden_steps if rule else ()),
            _location(my, rule.my_steps) if rule and my else Location(()),
            first.listed.dump or self._dump(first.rank),
            error=error,
            rank=self._cells[first.rank],
            run=first.rank,
            paired_by=rule.by if rule and not error else "",
            statistics=None if error else _statistics(group),
            order_by=self._order_by[first.rank],
        )
        return self._joined(pair, group) if self.sharding else pair

    def _joined(self, pair: Pair, group: _Group) -> Pair:
        """The row of what several ranks have of one tensor."""
        sharding, rule = self.sharding, group.rule
        assert sharding is not None
        pair = pair._replace(rank=sharding.cell, run=0)
        parts = self._parts(group)
        if pair.error or rule is None or rule.joins_golden or rule.joins_my:
            return pair
        if len(parts) == 1:
            return sharding.alone(pair, parts[0].listed.name, parts[0].rank)
        golden = [_location([one], rule.golden_steps) for one in group.golden]
        my = [_location([one], rule.my_steps) for one in group.my]
        return sharding.joined(pair, golden, my, [one.rank for one in parts])

    def _error(self, group: _Group, users: dict[_One, list[_Group]]) -> PairError | None:
        for one in (*group.golden, *group.my):
            if one.listed.error:
                return one.listed.error
        name, identity = group.golden[0].listed.name, group.golden[0].listed.identity
        if not group.my and identity and identity.wrapper:
            return _of_wrapper(name, identity.wrapper)
        if group.rule is None:
            return self._unpaired(Reason.MY_MISSING, self.rules.lacks(name, "golden"))
        if isinstance(group.rule, NamedPair) and (error := self._entry_error(group, group.rule)):
            return error
        if not group.my:
            called = "" if group.rule is SAME_NAME else f" called {group.rule.called} by its rule"
            other = self._other_rounds("my", group.golden[0].listed.token_id)
            return self._unpaired(
                Reason.MY_MISSING,
                f"the golden tensor {name!r} has no my one{called} in its round{other}",
            )
        if self.sharding and (error := self._shard_error(group)):
            return error
        if len(group.my) > 1 and not group.rule.joins_my and not self._shards("my"):
            return PairError(
                Reason.MAPPING_AMBIGUOUS,
                f"several my tensors belong to {name!r}: {_named(group.my)}; name one, or join "
                "them",
            )
        for side in (group.golden, group.my):
            if len(side) > 1 and not self.sharding and any(one.listed.steps for one in side):
                return PairError(
                    Reason.MAPPING_AMBIGUOUS,
                    f"a rule joins {_named(side)}, which are shards that their own dump says how "
                    "to join; leave the join out of the rule",
                )
        claimants = (other for one in group.my for other in users[one] if other is not group)
        others = [one for other in islice(claimants, _NAMED) for one in other.golden]
        if others:
            return PairError(
                Reason.MAPPING_AMBIGUOUS,
                f"the my tensor {group.my[0].listed.name!r} belongs to several golden ones: "
                f"{_named([*group.golden, *others])}; narrow the rules",
            )
        return _no_tensor(group)

    def _shard_error(self, group: _Group) -> PairError | None:
        """Why what the ranks have of one tensor are no shards of it."""
        sharding, rule = self.sharding, group.rule
        assert sharding is not None
        assert rule is not None
        parts = self._parts(group)
        if error := self._lacking(parts):
            return error
        if rule.joins_golden or rule.joins_my:
            return None
        if len({one.rank for one in parts}) < len(parts):
            return PairError(
                Reason.MAPPING_AMBIGUOUS,
                f"one rank has several tensors {parts[0].listed.name!r}: {_named(parts)}; leave "
                "one of them there",
            )
        return sharding.missing(parts[0].listed.name, [one.rank for one in parts])

    def _lacking(self, parts: Sequence[_One]) -> PairError | None:
        """Why what some ranks have of a tensor may not be all of it."""
        assert self.sharding is not None
        assert self._holders is not None
        names: dict[str, list[_One]] = {}
        for one in parts:
            names.setdefault(one.listed.name, []).append(one)
        for name, ones in names.items():
            ranks = [one.rank for one in ones]
            if without := self._holders.without(name, ones[0].listed.token_id, ranks):
                return self.sharding.lacking(name, ranks, without)
        return None

    def _unpaired(self, reason: Reason, sentence: str) -> PairError:
        return PairError(Reason.UNPAIRED if self.ignores_unpaired else reason, sentence)

    def _rest(
        self, my: Sequence[_One], users: dict[_One, list[_Group]]
    ) -> Iterator[tuple[_Place, Pair]]:
        """The my tensors of no row, each behind the one that was dumped before it."""
        behind: dict[tuple[int, int | None], int] = {}
        for one in my:
            where = one.rank, one.listed.token_id
            if one in users:
                behind[where] = max(behind.get(where, -1), self._place(users[one][0])[2])
                continue
            error = one.listed.error or self._no_golden(one)
            pair = Pair(
                one.listed.name,
                one.listed.token_id,
                Location(()),
                _location([one], ()),
                self._dump(one.rank),
                error=error,
                rank=self._cells[one.rank],
                run=self._run(one),
                order_by=self._order_by[one.rank],
            )
            yield (self._run(one), _token(one), behind.get(where, -1), 1 + one.place), pair

    def _no_golden(self, one: _One) -> PairError:
        name, identity = one.listed.name, one.listed.identity
        if identity and identity.wrapper:
            return _of_wrapper(name, identity.wrapper)
        golden, my = self.ranks[one.rank]
        why = self.rules.lacks(name, "my") + self._other_rounds("golden", one.listed.token_id)
        if my and not golden:
            why = (
                f"the my tensor {name!r} has no golden one: golden has fewer dumps than my, so "
                f"{my.name} stands alone; pass as my_path the one that belongs to golden"
            )
        return self._unpaired(Reason.GOLDEN_MISSING, why)

    def _other_rounds(self, side: Literal["golden", "my"], token: int | None) -> str:
        """What is said of a round that a side has not at all."""
        there = self._rounds[side == "my"]
        if token is None or token in there or not there - {None}:
            return ""
        return (
            f"; {side} has no round {token}, so say by rounds= which answers which where calls "
            "were counted otherwise (rounds=+1: my round 1 answers golden round 0)"
        )

    def _entry_error(self, group: _Group, pair: NamedPair) -> PairError | None:
        """Why the names of an entry are not those of tensors, or not of all that it joins."""
        for side, reason in _SIDES:
            known = self._named[side == "my"]
            ones = group.golden if side == "golden" else group.my
            here = {name for one in ones for name in _names_of(one.listed)}
            lost = lacking(pair, side, known, f"in {side} at all")
            lost = lost or (lacking(pair, side, here, f"in {side}'s round") if ones else "")
            if lost:
                return PairError(reason, lost)
        return None

    def _of_nothing(self) -> Iterator[tuple[_Place, Pair]]:
        """The entries of a list whose golden tensors are nowhere."""
        entries = self.rules.pairs if isinstance(self.rules, NamedPairs) else ()
        for number, pair in enumerate(entries):
            if any(name in self._named[0] for name in pair.golden):
                continue
            lost = lacking(pair, "golden", (), "in golden at all")
            row = Pair(
                " + ".join(pair.golden),
                None,
                Location(()),
                Location(()),
                self._dump(0),
                error=PairError(Reason.GOLDEN_MISSING, lost),
                rank=self.sharding.cell if self.sharding else self._cells[0],
                run=0,
            )
            yield (0, _LAST, number, 0), row

    def _run(self, one: _One) -> int:
        return 0 if self.sharding else one.rank

    def _dump(self, rank: int) -> str:
        return next(one.name for one in self.ranks[rank] if one)


def _order_by(golden: RankDump | None, my: RankDump | None) -> OrderBy:
    """How the order of the rows of both is known."""
    if my and my.is_ordered:
        return OrderBy.DUMP
    return golden.order_by if golden else OrderBy.DUMP  # what stands alone is not judged


def _of_wrapper(name: str, wrapper: str) -> PairError:
    return PairError(
        Reason.LEFT_OUT,
        f"{name} is of {wrapper}, which wraps a module that is compared, and the other run has no "
        "such wrapper",
    )


def _names_of(listed: DumpedTensor) -> tuple[str, ...]:
    """What a tensor is called in mappings: as now, or as in those of older dumps."""
    return (listed.name, listed.identity.former) if listed.identity else (listed.name,)


def _index(names: Sequence[str]) -> Callable[[str], int]:
    places = {name: place for place, name in enumerate(names)}
    return lambda name: places.get(name, len(places))


def _alike(found: list[_One], file: str) -> list[_One]:
    """The one of several that has the suffix of `file`; all where that does not decide."""
    if len(found) < 2:
        return found
    alike = [one for one in found if Path(one.listed.file).suffix == Path(file).suffix]
    return alike if len(alike) == 1 else found


def _named(ones: Sequence[_One]) -> str:
    return named_files(one.listed.file for one in ones)


def _statistics(group: _Group) -> tuple[Statistics, Statistics] | None:
    """What is compared instead of tensors, where a side has none and both have it."""
    ones = [one.listed for one in (*group.golden, *group.my)]
    if all(one.is_saved for one in ones) or len(group.golden) != 1 or len(group.my) != 1:
        return None
    golden, my = (one.statistics for one in ones)
    adapted = group.rule and (group.rule.golden_steps or group.rule.my_steps)
    if not golden or not my or adapted:
        return None
    return (golden, my) if golden.is_recorded and my.is_recorded else None


def _no_tensor(group: _Group) -> PairError | None:
    """Why a group cannot be compared of which some tensors were not saved."""
    lost = [one.listed for one in (*group.golden, *group.my) if not one.listed.is_saved]
    if not lost or _statistics(group):
        return None
    return PairError(
        Reason.NO_TENSOR,
        f"{lost[0].file} has only statistics of {lost[0].name!r}, which can neither be compared "
        "with a tensor nor joined or adapted; dump the tensor",
    )


def _location(ones: Sequence[_One], steps: tuple[Step, ...]) -> Location:
    """Where `ones` are, with the adapters that a dump itself asks for before those of a rule."""
    own = ones[0].listed.steps if len(ones) == 1 else ()
    return Location(tuple(file for one in ones for file in one.listed.files), own + steps)


def _token(one: _One) -> int:
    return -1 if one.listed.token_id is None else one.listed.token_id


def _in_order(rows: list[tuple[_Place, Pair]]) -> list[Pair]:
    """The rows, numbered within their pair of ranks."""
    ordered = sorted(rows, key=lambda row: row[0])
    orders: dict[int, int] = {}
    pairs = []
    for (rank, *_), pair in ordered:
        pairs.append(pair._replace(order=orders.get(rank, 0)))
        orders[rank] = orders.get(rank, 0) + 1
    return pairs
