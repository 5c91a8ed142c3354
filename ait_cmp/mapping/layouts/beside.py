"""What lies below a dump folder and is of none of its ranks: of other layouts, other formats."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ait_cmp.dump_tree import not_saved_for
from ait_cmp.mapping.layouts.plain_folder import tensors_of
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.mapping.left_out import files_like_tensors, is_tensor_file, left_out
from ait_cmp.mapping.listing import Folder
from ait_cmp.source import split_name
from ait_cmp.values.paths import absolute

__all__ = ["files_beside", "files_of", "with_counterparts"]


def files_of(tensors: Iterable[DumpedTensor]) -> set[str]:
    """The absolute paths of the files that tensors are in."""
    return {absolute(split_name(file)[0]) for one in tensors for file in one.files}


def files_beside(folder: Folder, ranks: Sequence[RankDump]) -> list[DumpedTensor]:
    """The tensors of those files, and the folders that cannot be listed, in order."""
    taken = files_of(one for rank in ranks for one in rank.tensors)
    top = absolute(folder.path)
    rest = [
        (path, one)
        for path, one in files_like_tensors(folder)
        if os.path.join(top, not_saved_for(path) or path) not in taken
    ]
    if rest:  # a folder may have several paths
        known = set(_identities(folder, top, taken))
        rest = [(path, one) for path, one in rest if (one.identity, _name(path)) not in known]
    found = [tensor for path, _ in sorted(rest, key=_path) for tensor in _told(folder, path)]
    lost = [(path, one) for path, one in folder.walk() if one.problem]
    return found + [
        DumpedTensor(path, None, one.path, one.problem)
        for path, one in lost
        if not any(_is_below(place, os.path.join(top, path)) for place in taken)
    ]


def with_counterparts(
    *, golden: Sequence[DumpedTensor], my: Sequence[DumpedTensor]
) -> tuple[list[DumpedTensor], list[DumpedTensor]]:
    """Both sides, with the reason why it is left out for each that the other side has not."""
    common = {_key(one) for one in golden} & {_key(one) for one in my}
    return _left_out(golden, common), _left_out(my, common)


def _key(one: DumpedTensor) -> tuple[int | None, str]:
    return one.token_id, one.name


def _left_out(
    ones: Sequence[DumpedTensor], common: set[tuple[int | None, str]]
) -> list[DumpedTensor]:
    why = "it is of no rank of the dump, and the other one has no such file"
    return [
        one if one.error or _key(one) in common else replace(one, error=left_out(one.file, why))
        for one in ones
    ]


def _told(folder: Folder, path: str) -> Iterator[DumpedTensor]:
    for tensor in tensors_of(folder, path, None):
        read = is_tensor_file(split_name(tensor.file)[0])
        yield tensor if read else replace(tensor, error=left_out(tensor.file, ""))


def _identities(folder: Folder, top: str, taken: set[str]) -> Iterator[tuple[str, str]]:
    """Files below `top` by the identities of their folders."""
    for file in taken:
        if file.startswith(f"{top}/"):
            place, _, name = file[len(top) + 1 :].rpartition("/")
            one = folder.at(place)
            if one:
                yield one.identity, name


def _is_below(place: str, folder: str) -> bool:
    return place == folder or place.startswith(f"{folder}/")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _path(found: tuple[str, Folder]) -> str:
    return found[0]
