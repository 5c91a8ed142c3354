"""The library's dumps: `{DEVICE}_{PID}/{ROUND}/…`, in either layout, also of its successor."""

from __future__ import annotations

from dataclasses import replace

from ait_cmp.dump_tree import GOLDEN_TENSOR, library_rank, round_number
from ait_cmp.mapping.layouts.identities import unseen_in
from ait_cmp.mapping.layouts.plain_folder import order_by, order_of, tensors_below
from ait_cmp.mapping.layouts.ranks import RankDump, distinct, merged_processes, unreadable
from ait_cmp.mapping.library_places import library_places
from ait_cmp.mapping.listing import Folder
from ait_cmp.mapping.processes import record_of

__all__ = ["library_ranks"]


def library_ranks(folder: Folder) -> list[RankDump]:
    """The processes of all runs in `folder`, whatever their folders are called: one that is there
    and is not compared would look like one that passed."""
    around = library_places(folder)
    ranks = {one for place in around for one in place.folders if library_rank(one.name)}
    if not any(map(_has_rounds, ranks)):
        return []
    dumps = []
    for place, run in around.items():
        if place.problem:
            dumps.append((unreadable(place, run=run), place.path))
        if ranks.isdisjoint(place.folders):
            continue
        found = {rank: _rank_dump(rank, run) for rank in place.folders}
        dumps += [(dump, rank.path) for rank, dump in found.items() if dump]
    return merged_processes(distinct(dumps), order_of)


def _has_rounds(folder: Folder) -> bool:
    return any(round_number(one.name) is not None for one in folder.folders)


def _rank_dump(folder: Folder, run: str) -> RankDump | None:
    rank = library_rank(folder.name)
    if folder.problem:
        return unreadable(folder, rank, run) if rank else None
    if _is_golden(folder) or not (rank or _has_rounds(folder)):
        return None
    tensors = tensors_below(folder)
    return _known(folder, RankDump(folder.name, rank, tensors, run)) if tensors else None


def _known(folder: Folder, dump: RankDump) -> RankDump:
    return replace(
        dump,
        record=record_of(folder),
        unseen=unseen_in(folder.path),
        order_by=order_by(dump.tensors),
    )


def _is_golden(folder: Folder) -> bool:
    """Whether it is dump_data's, whose folders are called alike; older ones stand beside."""
    return GOLDEN_TENSOR in (folder.name, *(one.name for one in folder.folders))
