"""Entries of one golden process whose recorded my tensor is the shard of one rank of several.

An entry names one file, and means it: the same tensor of the other ranks, whose folders stand
beside, is only asked for where the shape of that file is not golden's, and taken where all of them
along one dimension make golden's.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ait_cmp.dump_tree import GOLDEN_TENSOR, LibraryPlace, library_place, library_rank
from ait_cmp.files import exists
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.processes import record_of
from ait_cmp.mapping.selection import Wish
from ait_cmp.mapping.shards import join_shards, shape_of
from ait_cmp.values.errors import PairError
from ait_cmp.values.pair import Pair
from ait_cmp.values.paths import parent

__all__ = ["with_other_ranks"]

_LOGGER = logging.getLogger(__name__)
_Ranks = dict[str, str]  # the paths of the folders of all ranks, and what these are called


def with_other_ranks(pairs: Sequence[Pair], wish: Wish) -> list[Pair]:
    """`pairs` of one golden run, each with the shards of all my ranks where these are its whole."""
    if wish.shards == "off" or len({pair.run for pair in pairs}) != 1:
        return list(pairs)
    folders = {file.rpartition("/")[0] for pair in pairs for file in pair.my.files[:1]}
    if not any(map(_place, folders)):
        return list(pairs)
    beside = _Beside()
    found = [pair if pair.error else _joined(pair, wish, beside) for pair in pairs]
    count = sum(one.shards is not None for one in found)
    if count:
        _LOGGER.info(
            "%d entries name the shard of one rank: all ranks beside it are joined, as shapes say "
            "(column paired_by; shards=off compares the one that is named)",
            count,
        )
    return found


def _joined(pair: Pair, wish: Wish, beside: _Beside) -> Pair:
    if len(pair.my.files) != 1 or len(pair.golden.files) != 1:
        return pair
    parts = beside.shards(pair.my.files[0])
    if len(parts) < 2:
        return pair
    golden, my = pair.golden.then(wish.golden_steps), pair.my.then(wish.my_steps)
    try:
        if shape_of(golden) == shape_of(my):
            return pair
    except PairError:  # which measuring says
        return pair
    ranked = [my._replace(files=(file,)) for file in parts]
    found = join_shards(golden, ranked, list(parts.values()), "my")
    if found.error or found.shards is None or not found.shards.is_settled:
        return pair  # which says that the shapes differ
    pair = pair.also_by(f"shards: {found.shards.said}")
    return pair._replace(golden=golden, my=found.parts, shards=found.shards)


@dataclass(slots=True)
class _Beside:
    """The folders of the ranks that stand beside each other, each listed once."""

    _known: dict[str, _Ranks] = field(default_factory=dict)

    def shards(self, file: str) -> dict[str, str]:
        """What every rank has at the place of `file`, and how the rank is called; nothing where
        its folder is of no rank of several."""
        above, slash, name = file.rpartition("/")
        place = _place(above) if slash else None
        if place is None:
            return {}
        folder = f"{above}/".removesuffix(place.below).rstrip("/")
        around = parent(folder)
        if around not in self._known:
            self._known[around] = _ranks(around)
        ranks = self._known[around]
        if len(ranks) < 2 or folder not in ranks:
            return {}
        files = {inside(one, place.below) + name: rank for one, rank in ranks.items()}
        return {one: rank for one, rank in files.items() if _is_there(one)}


@functools.lru_cache(maxsize=64)  # asked for every tensor in it
def _place(folder: str) -> LibraryPlace | None:
    """What the path of a tensor in `folder` says."""
    return library_place(f"{folder}/")


def _ranks(around: str) -> _Ranks:
    """The ranks of one run in a folder, in order; none where there are several of one rank."""
    ranks: list[tuple[int, int | None, str]] = []
    for one in Folder(around or ".").folders:
        rank = library_rank(one.name)
        if rank and GOLDEN_TENSOR not in {inner.name for inner in one.folders}:
            record = record_of(one)
            path = os.path.join(around, one.name)
            ranks.append((rank.device, record.rank if record else None, path))
    by_number = all(number is not None for _, number, _ in ranks)
    keys = [number if by_number else device for device, number, _ in ranks]
    if len(set(keys)) < len(keys):
        return {}
    called = "{}" if by_number else "device {}"
    ordered = sorted(zip(keys, ranks, strict=True), key=lambda one: one[0] or 0)
    return {path: called.format(key) for key, (_, _, path) in ordered}


def _is_there(file: str) -> bool:
    try:
        return exists(file)
    except PairError:
        return False
