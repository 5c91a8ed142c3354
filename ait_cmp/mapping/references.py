"""Which tensor of a trusted run answers each golden one: what `reference_path` holds.

That run is laid out as my is (the same mapping then finds its tensors), or as golden is (it is
the same script in another type: tensors belong together by their own names, and what is done to
golden is done to them). Which of the two, is told by where more golden tensors are found.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ait_cmp.files import is_folder
from ait_cmp.mapping.adapting import with_adapters
from ait_cmp.mapping.golden_metadata import has_metadata
from ait_cmp.mapping.listing import Folder
from ait_cmp.mapping.masks import with_masks
from ait_cmp.mapping.same_files import of_two_files
from ait_cmp.mapping.selection import Wish, damage_of
from ait_cmp.mapping.shards import shape_of
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.values.paths import absolute

__all__ = ["with_references"]

_LOGGER = logging.getLogger(__name__)

Map = Callable[[str, Wish], list[Pair]]


def with_references(
    pairs: Sequence[Pair], map_pairs: Map, kind: str, wish: Wish, path: str
) -> list[Pair]:
    """`pairs`, each with the pair of its golden tensor and that of the run at `path`, where there
    is one. Raises UsageError where there is none at all."""
    asked = [pair for pair in pairs if pair.error is None and pair.statistics is None]
    problems: list[str] = []
    best: list[Pair] = []
    said = ""
    for name, answer in (("my", _as_my), ("golden", _as_golden)):
        if best and (_count(best) == len(asked) or _is_plain(kind, wish)):
            break
        try:
            found = answer(asked, map_pairs, kind, wish, path)
        except UsageError as exc:
            problems.append(str(exc))
            continue
        if not best or _count(found) > _count(best):
            best, said = found, name
    if asked and not _count(best):
        why = damage_of(path) or (problems[0] if problems else _why_none(best))
        raise UsageError(
            f"reference_path={path}: no golden tensor has a counterpart there"
            f"{why and f' ({why})'}; it must hold a run that is dumped as golden or as my is"
        )
    _LOGGER.info(
        "%d of %d rows have a reference, whose run is read as laid out like %s",
        _count(best), len(asked), said,
    )  # fmt: skip
    answers = {id(pair): _or_none(one) for pair, one in zip(asked, best, strict=True)}
    return [answers.get(id(pair), pair) for pair in pairs]


def _or_none(pair: Pair) -> Pair:
    """`pair`, which says that there is no reference where that is so."""
    if pair.reference:
        return pair
    error = PairError(Reason.MY_MISSING, "the reference has no such tensor")
    return pair._replace(reference=pair._replace(my=Location(()), error=error))


def _is_plain(kind: str, wish: Wish) -> bool:
    """Whether my is mapped by its own names alone, so that both ways are one."""
    alone = Wish(wish.golden_path, wish.my_path, allow_same=wish.allow_same)
    plain = replace(alone, ignore_unpaired=wish.ignore_unpaired, may_guess=wish.may_guess)
    return kind in ("auto", "tree") and wish == plain and not _is_recorded(wish.golden_path)


def _count(pairs: Sequence[Pair]) -> int:
    return sum(one.reference is not None and _fits(one.reference) for one in pairs)


def _fits(pair: Pair) -> bool:
    """Whether a reference may be compared with golden: adapters that are meant for my's layout do
    not fit that of golden's own script."""
    if pair.error:
        return False
    if pair.shards or not (pair.golden.steps or pair.my.steps):
        return True
    try:
        return shape_of(pair.golden) == shape_of(pair.my)
    except PairError:
        return False


def _why_none(pairs: Sequence[Pair]) -> str:
    """What is wrong with the first counterpart."""
    errors = (one.reference.error for one in pairs if one.reference)
    return next((error.sentence for error in errors if error), "")


# -- laid out as my is


def _as_my(pairs: Sequence[Pair], map_pairs: Map, kind: str, wish: Wish, path: str) -> list[Pair]:
    mapped = map_pairs(kind, replace(wish, my_path=path))
    found: dict[Location, list[Pair]] = defaultdict(list)
    for one in with_masks(with_adapters(mapped, wish), among=mapped):
        if one.statistics is None and one.my.files:
            found[one.golden].append(one)
    return _not_my([pair._replace(reference=_of(pair, found[pair.golden])) for pair in pairs])


def _of(pair: Pair, found: Sequence[Pair]) -> Pair | None:
    """That of `found` which is of the same rank, where there are several."""
    if len(found) < 2:
        return next(iter(found), None)
    alike = [one for one in found if (one.rank, one.run) == (pair.rank, pair.run)]
    return alike[0] if len(alike) == 1 else None


# -- laid out as golden is


def _as_golden(
    pairs: Sequence[Pair], map_pairs: Map, kind: str, wish: Wish, path: str
) -> list[Pair]:
    plain = Wish(wish.golden_path, path, allow_same=wish.allow_same, shards="off")
    answers = _files(map_pairs("tree" if _both_recorded(plain) else "auto", plain))
    return _not_my([pair._replace(reference=_answered(pair, answers)) for pair in pairs])


def _both_recorded(wish: Wish) -> bool:
    """Whether both runs were saved by dump_data, whose list would lead to my tensors."""
    paths = (wish.golden_path, wish.my_path)
    return all(path and _is_recorded(path) for path in paths)


def _is_recorded(path: str) -> bool:
    return is_folder(path) and has_metadata(Folder(path))


def _files(pairs: Sequence[Pair]) -> dict[str, str]:
    """The reference's file of each of golden's; none of one that has several."""
    found: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        if pair.error is None and len(pair.golden.files) == len(pair.my.files) == 1:
            found[_absolute(pair.golden.files[0])].add(pair.my.files[0])
    return {golden: next(iter(files)) for golden, files in found.items() if len(files) == 1}


def _absolute(location: str) -> str:
    path, name = split_name(location)
    return absolute(path) + (f"::{name}" if name else "")


def _answered(pair: Pair, answers: Mapping[str, str]) -> Pair | None:
    """The pair of golden, as this row has it, and the same of the reference's tensors."""
    files = [answers.get(_absolute(file)) for file in pair.golden.files]
    there = [file for file in files if file]
    if len(there) < len(files) or (pair.shards and pair.shards.side == "golden"):
        return None
    return pair._replace(my=Location(tuple(there), pair.golden.steps), shards=None)


# -- what tells nothing


def _not_my(pairs: Sequence[Pair]) -> list[Pair]:
    """`pairs`, with errors for references that are my's own files: every fault would pass."""
    both = [
        pair._replace(golden=pair.reference.my, reference=None)
        for pair in pairs
        if pair.reference and not pair.reference.error
    ]
    errors = iter([one.error for one in of_two_files(both)])
    return [
        pair._replace(reference=_unless(pair.reference, next(errors)))
        if pair.reference and not pair.reference.error
        else pair
        for pair in pairs
    ]


def _unless(reference: Pair, error: PairError | None) -> Pair:
    if error is None:
        return reference
    sentence = f"the reference's {reference.my} is my's own file"
    return reference._replace(error=PairError(error.reason, sentence))
