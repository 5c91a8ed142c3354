"""Tensors of containers that are called differently on the two sides, brought to one name."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump, pair_ranks
from ait_cmp.values.errors import Reason

__all__ = ["with_own_names"]

_LOGGER = logging.getLogger(__name__)


def with_own_names(
    *, golden: Sequence[RankDump], my: Sequence[RankDump]
) -> tuple[list[RankDump], list[RankDump]]:
    """Ranks in which tensors of containers have the name that both sides know them by.

    That is the first of their `aliases` that one tensor of each side has; by their own names, the
    last, several may meet, which is then ambiguous. Who has its whole name on the other side keeps
    it, and nothing else of either side is brought to such a one.
    """
    named: dict[int, RankDump] = {}
    count = 0
    for one, other in pair_ranks(golden=golden, my=my):
        if one and other and _has_aliases(one, other):
            new = named[id(one)], named[id(other)] = _renamed(one, other)
            changed = zip(new[0].tensors, one.tensors, strict=True)
            count += sum(now.name != before.name for now, before in changed)
    if count:
        _LOGGER.info("%d tensors are paired by their own names, whatever their files", count)
    return [named.get(id(one), one) for one in golden], [named.get(id(one), one) for one in my]


def _has_aliases(golden: RankDump, my: RankDump) -> bool:
    return any(one.aliases for rank in (golden, my) for one in rank.tensors)


def _renamed(golden: RankDump, my: RankDump) -> tuple[RankDump, RankDump]:
    sides = golden.tensors, my.tensors
    names: tuple[dict[int, str], dict[int, str]] = ({}, {})
    tokens = [_by_token(side) for side in sides]
    for token in tokens[0].keys() & tokens[1].keys():
        for places, found in zip(_met(sides, [side[token] for side in tokens]), names, strict=True):
            found.update(places)
    first, second = (
        [
            replace(one, name=found[place]) if place in found else one
            for place, one in enumerate(side)
        ]
        for side, found in zip(sides, names, strict=True)
    )
    return replace(golden, tensors=first), replace(my, tensors=second)


def _by_token(tensors: Sequence[DumpedTensor]) -> dict[int | None, list[int]]:
    places: dict[int | None, list[int]] = {}
    for place, one in enumerate(tensors):
        places.setdefault(one.token_id, []).append(place)
    return places


def _met(
    sides: Sequence[Sequence[DumpedTensor]], places: Sequence[Sequence[int]]
) -> tuple[dict[int, str], dict[int, str]]:
    """The names of those that meet, by their places on each side."""
    golden, my = (
        {place: side[place] for place in of_side if _is_tensor(side[place])}
        for side, of_side in zip(sides, places, strict=True)
    )
    known = {one.name for one in golden.values()} & {one.name for one in my.values()}
    settled = [
        {place: one.name for place, one in side.items() if one.name in known}
        for side in (golden, my)
    ]
    levels = max((len(one.aliases) for side in (golden, my) for one in side.values()), default=0)
    for level in range(levels):
        keys = [_keys(side, level) for side in (golden, my)]
        for key in keys[0].keys() & keys[1].keys():
            found = [side[key] for side in keys]
            is_free = all(
                place not in done
                for of_side, done in zip(found, settled, strict=True)
                for place in of_side
            )
            is_one = all(len(of_side) == 1 for of_side in found)
            if is_free and (is_one or level == levels - 1):
                for of_side, done in zip(found, settled, strict=True):
                    done.update(dict.fromkeys(of_side, key))
    return settled[0], settled[1]


def _is_tensor(one: DumpedTensor) -> bool:
    """Not what stands for a file that cannot be read, nor what is left out of a checkpoint."""
    if one.error is None:
        return True
    return "::" in one.file and one.error.reason is not Reason.LEFT_OUT


def _keys(side: dict[int, DumpedTensor], level: int) -> dict[str, list[int]]:
    """Those that have a name at this level, by that."""
    keys: dict[str, list[int]] = {}
    for place, one in side.items():
        for key in _key(one, level):
            keys.setdefault(key, []).append(place)
    return keys


def _key(one: DumpedTensor, level: int) -> Iterator[str]:
    if not one.aliases:
        yield one.name
    elif one.aliases[level]:
        yield one.aliases[level]
