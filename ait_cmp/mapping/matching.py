"""Two dumps, tensor by tensor: `tree` by equal names, `rules` by the user's."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ait_cmp.mapping.layouts import list_dump
from ait_cmp.mapping.layouts.listing import Listed, Run, pair_runs
from ait_cmp.mapping.name_rule import SAME_NAME, Rule
from ait_cmp.mapping.selection import Wish
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair

__all__ = ["rule_pairs", "tree_pairs"]

_LOGGER = logging.getLogger(__name__)
_NAMED = 5  # names in a sentence
# A place in the order of rows: pair of runs, token, golden tensor, and what has none after it.
_Place = tuple[int, int, int, int]
Called = str | re.Pattern[str]


def tree_pairs(wish: Wish) -> list[Pair]:
    """The tensors of two dumps that have the same name, and those of one side only."""
    return _pairs(wish, (SAME_NAME,))


def rule_pairs(wish: Wish) -> list[Pair]:
    """The tensors of two dumps that the rules bring together, and all others."""
    if not wish.rules:
        raise UsageError(
            "mapping=rules has no rules; write them to mapping/NAME.yaml of a folder "
            "of your own and pass --config-dir FOLDER mapping=NAME"
        )
    return _pairs(wish, wish.rules)


def _pairs(wish: Wish, rules: Sequence[Rule]) -> list[Pair]:
    golden_path, my_path = wish.two_folders()
    golden, my = list_dump("golden_path", golden_path), list_dump("my_path", my_path)
    matching = _Matching(pair_runs(golden=golden, my=my), len(golden) != len(my))
    for golden_run, my_run in matching.runs:
        if golden_run and my_run and golden_run.name and my_run.name:
            _LOGGER.info("golden %s is compared with my %s", golden_run.name, my_run.name)
    return matching.pairs(rules)


@dataclass(frozen=True, slots=True)
class _One:
    """A tensor and where it stands: the number of its pair of runs, its place in its run."""

    run: int
    place: int
    listed: Listed


@dataclass(slots=True)
class _Group:
    """Golden tensors that make one row, and the my tensors that belong to them."""

    rule: Rule | None
    golden: list[_One]
    my: list[_One] = field(default_factory=list)


@dataclass(slots=True)
class _Matching:
    """The runs of two dumps; `spans`: they are not as many, so what a rule joins is of all."""

    runs: Sequence[tuple[Run | None, Run | None]]
    spans: bool
    _by_name: dict[tuple[int, int | None], dict[str, list[_One]]] = field(default_factory=dict)
    _found: dict[tuple[int, int | None, Called], list[_One]] = field(default_factory=dict)

    def pairs(self, rules: Sequence[Rule]) -> list[Pair]:
        """Every tensor of either side in exactly one row, in the order of the computation."""
        golden, my = self._side(0), self._side(1)
        for one in my:
            names = self._by_name.setdefault((one.run, one.listed.token_id), {})
            names.setdefault(one.listed.name, []).append(one)
        groups = self._groups(golden, rules)
        users: dict[_One, list[_Group]] = {}
        for group in groups:
            for one in group.my:
                users.setdefault(one, []).append(group)
        rows = [(_place(group.golden[0]), self._row(group, users)) for group in groups]
        rows += self._rest(my, users)
        return _in_order(rows)

    def _side(self, side: int) -> list[_One]:
        return [
            _One(number, place, listed)
            for number, pair in enumerate(self.runs)
            if (run := pair[side])
            for place, listed in enumerate(run.tensors)
        ]

    # -- who belongs together

    def _groups(self, golden: Sequence[_One], rules: Sequence[Rule]) -> list[_Group]:
        groups: dict[object, _Group] = {}
        for one in golden:
            rule, called = _first_rule(rules, one.listed.name)
            joins = rule is not None and rule.joins_golden
            run = None if self.spans else one.run
            key = (rule, called, one.listed.token_id, run) if joins else one
            group = groups.setdefault(key, _Group(rule, []))
            group.golden.append(one)
            if rule and called is not None and len(group.golden) == 1:
                group.my = self._candidates(one, rule, called)
        return list(groups.values())

    def _candidates(self, golden: _One, rule: Rule, called: Called) -> list[_One]:
        all_runs = self.spans and rule.joins_my
        runs = range(len(self.runs)) if all_runs else [golden.run]
        found = [one for run in runs for one in self._find(run, golden.listed.token_id, called)]
        if len(found) > 1 and not rule.joins_my:
            suffix = Path(golden.listed.file).suffix
            alike = [one for one in found if Path(one.listed.file).suffix == suffix]
            return alike if len(alike) == 1 else found
        return found

    def _find(self, run: int, token_id: int | None, called: Called) -> list[_One]:
        key = (run, token_id, called)
        if key not in self._found:
            names = self._by_name.get((run, token_id), {})
            if isinstance(called, str):
                found = names.get(called, [])
            else:
                found = [one for name in names if called.fullmatch(name) for one in names[name]]
            self._found[key] = sorted(found, key=lambda one: one.place)
        return self._found[key]

    # -- what a row says

    def _row(self, group: _Group, users: dict[_One, list[_Group]]) -> Pair:
        first, rule = group.golden[0], group.rule
        error = _error(group, users)
        names = dict.fromkeys(one.listed.name for one in group.golden)
        return Pair(
            " + ".join(names),
            first.listed.token_id,
            Location(_files(group.golden), rule.golden_steps if rule else ()),
            Location(_files(group.my), rule.my_steps) if rule and group.my else Location(()),
            self._dump(first.run),
            error=error,
        )

    def _rest(
        self, my: Sequence[_One], users: dict[_One, list[_Group]]
    ) -> Iterator[tuple[_Place, Pair]]:
        """The my tensors of no row, each behind the one that was dumped before it."""
        behind: dict[tuple[int, int | None], int] = {}
        for one in my:
            where = one.run, one.listed.token_id
            if one in users:
                behind[where] = max(behind.get(where, -1), users[one][0].golden[0].place)
                continue
            error = one.listed.error or PairError(
                Reason.GOLDEN_MISSING,
                f"the my tensor {one.listed.name!r} has no golden one: {self._no_golden(one)}",
            )
            pair = Pair(
                one.listed.name,
                one.listed.token_id,
                Location(()),
                Location.of(one.listed.file),
                self._dump(one.run),
                error=error,
            )
            yield (one.run, _token(one), behind.get(where, -1), 1 + one.place), pair

    def _no_golden(self, one: _One) -> str:
        run = self.runs[one.run][0]
        return "no name leads to it" if run else "golden has fewer dumps than my"

    def _dump(self, run: int) -> str:
        return next(one.name for one in self.runs[run] if one)


def _first_rule(rules: Sequence[Rule], name: str) -> tuple[Rule | None, Called | None]:
    for rule in rules:
        called = rule.my_name(name)
        if called is not None:
            return rule, called
    return None, None


def _error(group: _Group, users: dict[_One, list[_Group]]) -> PairError | None:
    for one in (*group.golden, *group.my):
        if one.listed.error:
            return one.listed.error
    name = group.golden[0].listed.name
    if group.rule is None:
        return PairError(Reason.MY_MISSING, f"no rule is for the golden tensor {name!r}; add one")
    if not group.my:
        called = "" if group.rule is SAME_NAME else f" called {group.rule.my} by its rule"
        return PairError(
            Reason.MY_MISSING, f"the golden tensor {name!r} has no my one{called} in its round"
        )
    if len(group.my) > 1 and not group.rule.joins_my:
        return PairError(
            Reason.MAPPING_AMBIGUOUS,
            f"several my tensors belong to {name!r}: {_named(group.my)}; name one, or join them",
        )
    claimants = [other for one in group.my for other in users[one] if other is not group]
    if claimants:
        others = [one for other in claimants for one in other.golden]
        return PairError(
            Reason.MAPPING_AMBIGUOUS,
            f"the my tensor {group.my[0].listed.name!r} belongs to several golden ones: "
            f"{_named([*group.golden, *others])}; narrow the rules",
        )
    return None


def _named(ones: Sequence[_One]) -> str:
    files = list(dict.fromkeys(one.listed.file for one in ones))
    return ", ".join(files[:_NAMED]) + (", …" if len(files) > _NAMED else "")


def _files(ones: Sequence[_One]) -> tuple[str, ...]:
    return tuple(one.listed.file for one in ones)


def _token(one: _One) -> int:
    return -1 if one.listed.token_id is None else one.listed.token_id


def _place(one: _One) -> _Place:
    return one.run, _token(one), one.place, 0


def _in_order(rows: list[tuple[_Place, Pair]]) -> list[Pair]:
    """The rows, numbered within their pair of runs."""
    ordered = sorted(rows, key=lambda row: row[0])
    orders: dict[int, int] = {}
    pairs = []
    for (run, *_), pair in ordered:
        pairs.append(replace(pair, order=orders.get(run, 0)))
        orders[run] = orders.get(run, 0) + 1
    return pairs
