"""Dumps in the folders below the one that is named: each is a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ait_cmp.dump_tree import is_dump
from ait_cmp.mapping.layouts.library import library_ranks
from ait_cmp.mapping.layouts.ranks import RankDump, distinct, unreadable
from ait_cmp.mapping.listing import Folder, inside

__all__ = ["ranks_of_runs"]

_DEPTH = 3  # folders down; what lies deeper is named

Layout = Callable[[Folder], list[RankDump]]


def ranks_of_runs(folder: Folder, layouts: Sequence[Layout]) -> list[RankDump]:
    """The ranks of all dumps of these layouts below `folder`; the path to it tells each run."""
    runs = list(_runs(folder, layouts, "", _DEPTH))
    if not any(dump.tensors for _, dumps in runs for dump in dumps if not _is_lost(dump)):
        return []
    return distinct([(dump, inside(one.path, dump.name)) for one, dumps in runs for dump in dumps])


def _is_lost(dump: RankDump) -> bool:
    """Whether it only stands for a folder that cannot be listed."""
    return all(one.error for one in dump.tensors)


def _runs(
    folder: Folder, layouts: Sequence[Layout], above: str, depth: int
) -> Iterator[tuple[Folder, list[RankDump]]]:
    for one in folder.folders:
        run = inside(above, one.name)
        if one.problem:
            yield one, [unreadable(one, run=run)]
            continue
        dumps = _dumps(one, layouts)
        if dumps:
            yield one, [replace(dump, run=inside(run, dump.run)) for dump in dumps]
        elif depth > 1:
            yield from _runs(one, layouts, run, depth - 1)


def _dumps(folder: Folder, layouts: Sequence[Layout]) -> list[RankDump]:
    for layout in layouts:
        # Below another folder, 3_7/0 alone says too little.
        if layout is library_ranks and not any(is_dump(one.name) for one in folder.folders):
            continue
        dumps = layout(folder)
        if any(dump.tensors for dump in dumps):
            return dumps
    return []
