"""Who belongs together: which my tensors each golden one is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from ait_cmp.mapping.lookup import natural
from ait_cmp.mapping.models import counterparts
from ait_cmp.mapping.name_rule import SAME_NAME, NamePattern
from ait_cmp.mapping.named_pair import NamedPair
from ait_cmp.mapping.tensor_groups import Group, RankedTensor, Rule, Sides, names_of

__all__ = ["Grouping"]

Called = str | NamePattern | tuple[str, ...]


class Grouping:
    """Finds the groups of the tensors of two sides."""

    def __init__(self, sides: Sides, my: Sequence[RankedTensor]) -> None:
        self._sides = sides
        self._my: dict[tuple[int, int | None], _Names] = {}
        self._models: dict[int, dict[str, str | None]] = {}
        self._found: dict[tuple[int, int | None, Called], list[RankedTensor]] = {}
        for one in my:
            self._my.setdefault((one.rank, one.listed.token_id), _Names()).add(one)

    def groups(self, golden: Sequence[RankedTensor]) -> list[Group]:
        """Of every golden tensor the one that it is in."""
        groups: dict[object, Group] = {}
        for one in golden:
            rule, called = self._sides.rules.find(*names_of(one.listed))
            if rule is SAME_NAME:
                called = self._my_name(one)
            joins = rule is not None and rule.joins_golden
            rank = None if self._sides.spans else one.rank
            key: object = (rule, called, one.listed.token_id, rank) if joins else one
            if rule and not joins and self._sides.shards("golden"):
                key = (rule, called, one.listed.token_id, one.listed.name)
            group = groups.setdefault(key, Group(rule, []))
            group.golden.append(one)
            if rule and called is not None and len(group.golden) == 1:
                group.my = self._candidates(one, rule, called) or self._by_place(one)
        for group in groups.values():
            if len(group.golden) > 1:
                self._set_in_order(group)
        return list(groups.values())

    def _set_in_order(self, group: Group) -> None:
        """What is joined: as a list has it, else in dump order, in which a plain folder without one
        is by names."""
        if isinstance(group.rule, NamedPair):
            names = group.rule.golden
            group.golden.sort(key=lambda one: min(map(_index(names), names_of(one.listed))))
            return
        golden, _ = self._sides.ranks[group.golden[0].rank]
        if golden and not golden.is_ordered:
            group.golden.sort(key=lambda one: (one.rank, natural(one.listed.name)))

    def _my_name(self, golden: RankedTensor) -> str | None:
        """How the my tensor is called that is the same one; None where my has no such model."""
        identity, name = golden.listed.identity, golden.listed.name
        if not identity:
            return name
        if golden.rank not in self._models:
            golden_rank, my_rank = self._sides.ranks[golden.rank]
            if self._sides.sharding:
                my_rank = next(my for _, my in self._sides.ranks if my)
            self._models[golden.rank] = counterparts(golden=golden_rank, my=my_rank)
        models = self._models[golden.rank]
        if identity.model not in models:
            return name
        root = models[identity.model]
        return None if root is None else identity.under(root)

    def _candidates(self, golden: RankedTensor, rule: Rule, called: Called) -> list[RankedTensor]:
        all_ranks = self._sides.sharding or (self._sides.spans and rule.joins_my)
        ranks = range(len(self._sides.ranks)) if all_ranks else [golden.rank]
        by_rank = [self._find(rank, golden.listed.token_id, called) for rank in ranks]
        if not rule.joins_my:
            by_rank = [_alike(found, golden.listed.file) for found in by_rank]
        return [one for found in by_rank for one in found]

    def _by_place(self, golden: RankedTensor) -> list[RankedTensor]:
        """Where my is an older dump, which says of no tensor what it is: the one at its place."""
        identity = golden.listed.identity
        rule, called = self._sides.rules.find(identity.former) if identity else (None, None)
        if rule is None or called is None:
            return []
        found = self._candidates(golden, rule, called)
        return [one for one in found if one.listed.identity is None]

    def _find(self, rank: int, token_id: int | None, called: Called) -> list[RankedTensor]:
        key = (rank, token_id, called)
        if key not in self._found:
            names = self._my.get((rank, token_id))
            self._found[key] = names.find(called) if names else []
        return self._found[key]


class _Names:
    """My tensors of one rank and token, by name; by their former names where none is called so."""

    def __init__(self) -> None:
        self._ones: dict[str, list[RankedTensor]] = {}
        self._former: _Names | None = None

    def add(self, one: RankedTensor) -> None:
        """Before the first question."""
        self._ones.setdefault(one.listed.name, []).append(one)
        identity = one.listed.identity
        if identity:
            self._former = self._former or _Names()
            self._former._ones.setdefault(identity.former, []).append(one)

    def find(self, called: Called) -> list[RankedTensor]:
        """Those of this name, those of these in their order, or those whose names fit the
        pattern, in dump order."""
        found = self._find(called)
        return found if found or not self._former else self._former._find(called)

    def _find(self, called: Called) -> list[RankedTensor]:
        if isinstance(called, str):
            return self._ones.get(called, [])
        if isinstance(called, tuple):
            return [one for name in called for one in self._ones.get(name, [])]
        found = [one for name in called.fitting(self._sorted) for one in self._ones[name]]
        return sorted(found, key=lambda one: one.place)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._ones)


def _index(names: Sequence[str]) -> Callable[[str], int]:
    places = {name: place for place, name in enumerate(names)}
    return lambda name: places.get(name, len(places))


def _alike(found: list[RankedTensor], file: str) -> list[RankedTensor]:
    """The one of several that has the suffix of `file`; all where that does not decide."""
    if len(found) < 2:
        return found
    alike = [one for one in found if Path(one.listed.file).suffix == Path(file).suffix]
    return alike if len(alike) == 1 else found
