"""Sharded checkpoints: one set of tensors in several files.

    model.safetensors.index.json              {"weight_map": {NAME: FILE, …}}
    model-00001-of-00002.safetensors

A shard's number says nothing of a tensor: it is called as if all were in `model.safetensors`.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ait_cmp.mapping.layouts.ranks import DumpedTensor
from ait_cmp.mapping.left_out import is_tensor_file, left_out
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import read_mapping
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason, UsageError, os_reason

__all__ = ["as_checkpoints", "container_of"]

_INDEX = re.compile(r"(?P<whole>.+)\.index(\.[\w-]+)?\.json")
_SHARD = re.compile(r"(?P<stem>.+)-\d{5,6}-of-\d{5,6}(?P<suffix>\.\w+)")


@dataclass(frozen=True, slots=True)
class _Index:
    """`files` says where each tensor is, `whole` how one file of all would be called."""

    path: str
    whole: str
    files: Mapping[str, str]

    def may_have(self, file: str) -> bool:
        """Whether `file` is called like one of the checkpoint, whole or in shards."""
        folder, name = os.path.split(file)
        shard = _SHARD.fullmatch(name)
        whole = shard["stem"] + shard["suffix"] if shard else name
        return folder == os.path.dirname(self.path) and whole == self.whole


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


def container_of(one: DumpedTensor) -> str:
    """What a tensor's name says of the file that it is in."""
    own = split_name(one.file)[1]
    return one.name if own is None else one.name.removesuffix(own).removesuffix("::")


def _indices(folder: Folder) -> tuple[list[_Index], list[DumpedTensor]]:
    """Those below `folder`, and a row for each that cannot be read."""
    found: list[_Index] = []
    faults: list[DumpedTensor] = []
    for below, one in folder.walk():
        for name in one.files:
            match = _INDEX.fullmatch(name)
            if match and is_tensor_file(match["whole"]):
                path = inside(one.path, name)
                try:
                    found += _read(path, match["whole"])
                except UsageError as exc:
                    error = PairError(Reason.ENTRY_MALFORMED, str(exc))
                    place = f"{below}/{name}" if below else name
                    faults.append(DumpedTensor(place, None, path, error))
    return found, faults


def _read(path: str, whole: str) -> Iterator[_Index]:
    """The index at `path`, if it is one. Raises UsageError for one that cannot be read."""
    try:
        content = json.loads(read_mapping(path))
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {os_reason(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path} is no valid JSON ({exc}); copy it again") from exc
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict):
        return
    for name, file in named.items():
        # Nothing above the index is a part of what it describes.
        if not isinstance(file, str) or file.startswith("/") or ".." in file.split("/"):
            raise UsageError(f"{path} says no file beside it for {name[:80]!r}; copy it again")
    folder = os.path.dirname(path)
    yield _Index(path, whole, {name: inside(folder, file) for name, file in named.items()})


def _go_by(index: _Index, by_file: dict[str, list[DumpedTensor]], indexed: set[str]) -> None:
    """Call the tensors of an index's files as it does; add those that it names in vain."""
    there = {one.file for of_file in by_file.values() for one in of_file}
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
    for name, file in index.files.items():
        location = f"{file}::{name}"
        damaged = any(one.error for one in by_file.get(file, ()))
        if location not in there and not damaged:
            what = "has no such tensor" if file in by_file else "is not there"
            sentence = f"{index.path} says that {name!r} is in {file}, which {what}; copy it again"
            error = PairError(Reason.NOT_A_TENSOR, sentence)
            called = _called(place, index.whole, name)
            by_file.setdefault(file, []).append(DumpedTensor(called, token, location, error))


def _in_whole(one: DumpedTensor, index: _Index, place: str) -> DumpedTensor:
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
        match = _SHARD.fullmatch(os.path.basename(file))
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
