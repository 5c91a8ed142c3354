"""Sharded checkpoints: one set of tensors in several files.

    model.safetensors.index.json              {"weight_map": {NAME: FILE, …}}
    model-00001-of-00002.safetensors

A shard's number says nothing of a tensor: it is called as if all were in `model.safetensors`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ait_cmp.mapping.checkpoint_index import SHARD, Index, index_at, read_index, whole_of
from ait_cmp.mapping.layouts.ranks import DumpedTensor
from ait_cmp.mapping.left_out import left_out
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.source import split_name, tensor_names
from ait_cmp.values.errors import PairError, Reason, UsageError

__all__ = ["as_checkpoints", "container_of", "tensors_of_index"]


def as_checkpoints(folder: Folder, tensors: Sequence[DumpedTensor]) -> list[DumpedTensor]:
    """`tensors` of the files below `folder`, those of shards by the names they have as a whole."""
    by_file: dict[str, list[DumpedTensor]] = {}
    for one in tensors:
        by_file.setdefault(split_name(one.file)[0], []).append(one)
    indices, faults = _indices(folder)
    indexed = {file for index in indices for file in index.files.values()}
    for index in indices:
        _go_by(index, by_file, indexed)
    _join_numbered({file: of for file, of in by_file.items() if file not in indexed}, by_file)
    return [*(one for of_file in by_file.values() for one in of_file), *faults]


def tensors_of_index(path: str) -> list[DumpedTensor]:
    """The tensors of the checkpoint that the index at `path` describes, by their own names. Raises
    UsageError for one that cannot be read."""
    index = index_at(path)
    by_file = {file: of for file in dict.fromkeys(index.files.values()) if (of := _in_file(file))}
    _go_by(index, by_file, set(by_file))
    return [
        replace(one, name=one.name if _is_left_out(one) else split_name(one.file)[1] or one.name)
        for of_file in by_file.values()
        for one in of_file
    ]


def _is_left_out(one: DumpedTensor) -> bool:
    return one.error is not None and one.error.reason is Reason.LEFT_OUT


def _in_file(file: str) -> list[DumpedTensor]:
    name = os.path.splitext(os.path.basename(file))[0]
    try:
        names = tensor_names(file) or ()
    except FileNotFoundError:  # what is said to be in it is missing
        return []
    except PairError as exc:
        return [DumpedTensor(name, None, file, exc)]
    return [DumpedTensor(f"{name}::{one}", None, f"{file}::{one}") for one in names]


def container_of(one: DumpedTensor) -> str:
    """What a tensor's name says of the file that it is in."""
    own = split_name(one.file)[1]
    return one.name if own is None else one.name.removesuffix(own).removesuffix("::")


def _indices(folder: Folder) -> tuple[list[Index], list[DumpedTensor]]:
    """Those below `folder`, and a row for each that cannot be read."""
    found: list[Index] = []
    faults: list[DumpedTensor] = []
    for below, one in folder.walk():
        for name in one.files:
            if whole_of(name):
                path = inside(one.path, name)
                try:
                    index = read_index(path)
                    found += [index] if index else []
                except UsageError as exc:
                    error = PairError(Reason.ENTRY_MALFORMED, str(exc))
                    place = f"{below}/{name}" if below else name
                    faults.append(DumpedTensor(place, None, path, error))
    return found, faults


def _go_by(index: Index, by_file: dict[str, list[DumpedTensor]], indexed: set[str]) -> None:
    """Call the tensors of an index's files as it does; add those that it names in vain."""
    listed = [one for of_file in by_file.values() for one in of_file]
    there = {one.file for one in listed}
    # What is in them nobody knows, and their own rows say why.
    unread = {one.file for one in listed if one.error and split_name(one.file)[1] is None}
    named = set(index.files.values())
    ours = (of[0] for file, of in by_file.items() if file in named or index.may_have(file))
    first = next(ours, None)
    token = first.token_id if first else None
    place = os.path.dirname(container_of(first)) if first else ""
    for file, of_file in by_file.items():
        if file in named:
            by_file[file] = [_in_whole(one, index, place) for one in of_file]
        elif file not in indexed and index.may_have(file):
            why = f"{os.path.basename(index.path)} names it for no tensor"
            name = container_of(of_file[0])
            by_file[file] = [DumpedTensor(name, token, file, left_out(file, why))]
    known = set(by_file)
    for name, file in index.files.items():
        location = f"{file}::{name}"
        if location not in there and file not in unread:
            what = "has no such tensor" if file in known else "is not there"
            sentence = f"{index.path} says that {name!r} is in {file}, which {what}; copy it again"
            error = PairError(Reason.NOT_A_TENSOR, sentence)
            called = _called(place, index.whole, name)
            by_file.setdefault(file, []).append(DumpedTensor(called, token, location, error))


def _in_whole(one: DumpedTensor, index: Index, place: str) -> DumpedTensor:
    file, name = split_name(one.file)
    if name is None:  # the row of a file that cannot be read
        return one
    if index.files.get(name, file) != file:
        why = f"{os.path.basename(index.path)} says that another file has its {name!r}"
        return replace(one, error=left_out(file, why))
    return replace(one, name=_called(place, index.whole, name))


def _join_numbered(
    unindexed: Mapping[str, Sequence[DumpedTensor]], by_file: dict[str, list[DumpedTensor]]
) -> None:
    """Call the tensors of shards without an index likewise, where each is in one of them."""
    sets: dict[tuple[str, str], list[str]] = {}
    for file in unindexed:
        match = SHARD.fullmatch(os.path.basename(file))
        if match:
            whole = match["stem"] + match["suffix"]
            sets.setdefault((os.path.dirname(file), whole), []).append(file)
    for (_, whole), files in sets.items():
        names = Counter(split_name(one.file)[1] for file in files for one in by_file[file])
        if max(names.values()) == 1:
            for file in files:
                by_file[file] = [_numberless(one, whole) for one in by_file[file]]


def _numberless(one: DumpedTensor, whole: str) -> DumpedTensor:
    name = split_name(one.file)[1]
    if name is None:
        return one
    return replace(one, name=_called(os.path.dirname(container_of(one)), whole, name))


def _called(place: str, whole: str, name: str) -> str:
    stem = os.path.splitext(whole)[0]
    return f"{place}/{stem}::{name}" if place else f"{stem}::{name}"
