"""Shards whose own dump says how they belong together, as whole tensors."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.mapping.layouts.sglang_dims import Cut, cut_of
from ait_cmp.source.pth import saved_meta
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Step

__all__ = ["join_annotated"]

_LOGGER = logging.getLogger(__name__)
_Key = tuple[str, int | None, str]  # run, token, name


def join_annotated(side: str, dumps: Sequence[RankDump]) -> list[RankDump]:
    """`dumps` with each tensor that is cut among ranks as one, with the first of these; only
    headers are read. What does not say how it is cut stays as it is."""
    shards: dict[_Key, list[tuple[int, DumpedTensor]]] = defaultdict(list)
    for number, dump in enumerate(dumps):
        for one in dump.tensors if dump.says_cuts else ():
            shards[dump.run, one.token_id, one.name].append((number, one))
    instead: dict[int, DumpedTensor | None] = {}
    told: dict[str, int] = defaultdict(int)
    for parts in shards.values():
        for joined, members, text in _joined(parts) if len(parts) > 1 else ():
            instead.update((id(one), None) for one in members)
            instead[id(next(one for _, one in parts if one in members))] = joined
            told[text] += 1
    for text, times in told.items():
        _LOGGER.info("%d %s tensors are joined of their ranks, as dims=%r says", times, side, text)
    whole = [replace(dump, tensors=_replaced(dump.tensors, instead)) for dump in dumps]
    left = [dump for dump in whole if dump.tensors]
    if len(left) == len(dumps):
        return left
    # A group of ranks is one now; its number is that among the groups of its run.
    numbers: Counter[str] = Counter()
    numbered = []
    for dump in left:
        record = dump.record and replace(dump.record, rank=numbers[dump.run])
        numbered.append(replace(dump, record=record))
        numbers[dump.run] += 1
    return numbered


def _replaced(
    tensors: Sequence[DumpedTensor], instead: dict[int, DumpedTensor | None]
) -> list[DumpedTensor]:
    found = (instead.get(id(one), one) for one in tensors)
    return [one for one in found if one is not None]


_Joined = tuple[DumpedTensor, list[DumpedTensor], str]


def _joined(parts: Sequence[tuple[int, DumpedTensor]]) -> list[_Joined]:
    """The whole tensors that `parts` of one name are of, with the parts of each, and their dims."""
    read = [(one, found) for _, one in parts if (found := _read(one))]
    if len(read) < len(parts) or len({cut.text for _, (cut, _) in read}) > 1:
        return []
    cuts = [cut for _, (cut, _) in read]
    axes = cuts[0].axes
    names = [axis.name for axis in axes]
    if not axes or any(cut.sizes != cuts[0].sizes for cut in cuts):
        return []
    groups: dict[tuple[int, ...], dict[tuple[int, ...], DumpedTensor]] = defaultdict(dict)
    others = _apart(cuts, names)
    for (one, _), cut in zip(read, cuts, strict=True):
        place = tuple(cut.ranks[name] for name in names)
        groups[tuple(cut.ranks[name] for name in others)].setdefault(place, one)
    places = list(product(*(range(cuts[0].sizes[name]) for name in names)))
    whole = len(read) == len(groups) * len(places)
    problem = _problem(cuts[0], [shape for _, (_, shape) in read], whole=whole)
    return [_one(group, sorted(group), cuts[0], problem) for group in groups.values()]


def _one(
    group: dict[tuple[int, ...], DumpedTensor],
    places: Sequence[tuple[int, ...]],
    cut: Cut,
    problem: PairError | None,
) -> _Joined:
    first, *others = members = [group[place] for place in places]
    axis = cut.axes[0]
    step = Step("sum") if axis.is_partial else Step("concat", (str(axis.dim),))
    joined = replace(
        first,
        more=tuple(one.file for one in others),
        steps=(step,) if others else (),
        error=problem,
    )
    return joined, members, cut.text


def _problem(cut: Cut, shapes: Sequence[tuple[int, ...]], *, whole: bool) -> PairError | None:
    """Why parts cannot be joined as their dims say."""
    way = "write a rule with adapters, or compare as many ranks with each other"
    if any(len(shape) != cut.dims for shape in shapes):
        said = f"{' and '.join(str(list(one)) for one in dict.fromkeys(shapes))} are not of"
        return PairError(Reason.SHAPE_MISMATCH, f"the shapes {said} dims={cut.text!r}; {way}")
    if not whole:
        said = f"some ranks are missing of dims={cut.text!r}; dump all of them"
        return PairError(Reason.SHAPE_MISMATCH, said)
    ways = {(axis.is_partial, None if axis.is_partial else axis.dim) for axis in cut.axes}
    if len(ways) > 1 or not all(axis.is_known for axis in cut.axes):
        said = f"shards of dims={cut.text!r} are not joined, of several dimensions or in zigzag"
        return PairError(Reason.NOT_SUPPORTED, f"{said}; {way}")
    return None


def _apart(cuts: Sequence[Cut], names: Sequence[str]) -> list[str]:
    """The axes that the place of a part does not tell: along them it is there several times."""
    apart = []
    for name in cuts[0].sizes:
        ranks: dict[tuple[int, ...], set[int]] = defaultdict(set)
        for cut in cuts:
            ranks[tuple(cut.ranks[one] for one in names)].add(cut.ranks[name])
        if any(len(found) > 1 for found in ranks.values()):
            apart.append(name)
    return apart


def _read(one: DumpedTensor) -> tuple[Cut, tuple[int, ...]] | None:
    """How a tensor is cut, and its shape; None where its file does not say it."""
    try:
        saved = saved_meta(one.file)
    except (PairError, FileNotFoundError):  # reading the tensor says so
        return None
    cut = cut_of(saved[1]) if saved else None
    return (cut, saved[0]) if saved and cut else None
