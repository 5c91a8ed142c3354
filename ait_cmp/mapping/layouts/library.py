"""The library's dumps: `{DEVICE}_{PID}/{ROUND}/…`, in either layout, also of its successor."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence

from ait_cmp.dump_tree import (
    GOLDEN_TENSOR,
    LIBRARY_PLACES,
    is_successor,
    library_rank,
    round_number,
)
from ait_cmp.mapping.layouts.ranks import RankDump, distinct, unreadable
from ait_cmp.mapping.layouts.tensor_folder import is_tensor_file, tensors_below
from ait_cmp.mapping.listing import Folder

__all__ = ["library_ranks"]

_LOGGER = logging.getLogger(__name__)
_NAMES = {place.rpartition("/")[2] for place in LIBRARY_PLACES} - {""}


def library_ranks(folder: Folder) -> list[RankDump]:
    """The processes of all runs in `folder`, whatever their folders are called: one that is there
    and is not compared would look like one that passed."""
    dumps, places = [], []
    for run, place in _places(folder):
        left_out = []
        for rank in place.folders:
            dump = _rank_dump(rank, run)
            if dump:
                dumps.append(dump)
                places.append(os.path.relpath(rank.path, folder.path))
            elif not _is_golden(rank):
                left_out.append(rank)
        _tell_left_out(place, left_out)
    return distinct(dumps, places)


def _places(folder: Folder) -> Iterator[tuple[str, Folder]]:
    """The folders in which {DEVICE}_{PID} stand, and the name of the run that each is of."""
    runs = [("", folder), *((one.name, one) for one in folder.folders if is_successor(one.name))]
    for run, top in runs:
        for name in LIBRARY_PLACES:
            place = top.at(name)
            if place and any(library_rank(one.name) and _has_rounds(one) for one in place.folders):
                yield run, place


def _has_rounds(folder: Folder) -> bool:
    return any(round_number(one.name) is not None for one in folder.folders)


def _rank_dump(folder: Folder, run: str) -> RankDump | None:
    rank = library_rank(folder.name)
    if folder.problem:
        return unreadable(folder, rank, run) if rank else None
    if _is_golden(folder) or not (rank or _has_rounds(folder)):
        return None
    tensors = tensors_below(folder)
    return RankDump(folder.name, rank, tensors, run) if tensors else None


def _is_golden(folder: Folder) -> bool:
    """Whether it is dump_data's, whose folders are called alike; older ones stand beside."""
    return folder.name == GOLDEN_TENSOR or folder.at(GOLDEN_TENSOR) is not None


def _tell_left_out(place: Folder, left_out: Sequence[Folder]) -> None:
    """Warn of tensors beside the folders of the processes, where nothing else belongs."""
    if place.name not in _NAMES:
        return
    files = [*place.files, *(f"{one.name}/{path}" for one in left_out for path, _ in one.walk())]
    tensors = list(filter(is_tensor_file, files))
    if tensors:
        _LOGGER.warning(
            "%s/%s is in no folder {DEVICE}_{PID}, so it is not compared (%d such tensors)",
            place.path,
            tensors[0],
            len(tensors),
        )
    for one in left_out:
        if one.problem:
            _LOGGER.warning("%s, so it is not compared", one.problem)
