"""A folder of tensor files, each called by its path: what the library writes, and any other."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ait_cmp.dump_tree import library_rank, not_saved_for, operand_direction, round_number
from ait_cmp.mapping.layouts.checkpoint import as_checkpoints, container_of
from ait_cmp.mapping.layouts.identities import identified, unseen_in
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.mapping.left_out import is_tensor_file
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import natural, why_not_saved
from ait_cmp.mapping.processes import record_of
from ait_cmp.source import keeps_order, names_soon, split_name, tensor_names
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.order import OrderBy

__all__ = ["folder_ranks", "order_by", "order_of", "tensors_below", "tensors_of"]

# What an operation has: its inputs, then the operations within it, then its outputs.
_FIRST, _WITHIN, _LAST = 0, 1, 2
_NUMBERS = re.compile(r"\d{1,18}", re.ASCII)
_MOMENTS = ("before", "after")
_DIRECTIONS = {"in": _FIRST, "out": _LAST}

_LATEST = 1 << 62  # after all whose place in the computation is known
_Place = tuple[list[tuple[int, list[int | str]]], bool, str]


def folder_ranks(folder: Folder) -> list[RankDump]:
    """Every tensor file below `folder`; `0/…` is round 0."""
    rank = library_rank(folder.name)
    tensors = tensors_below(folder)
    if any("::" in one.file for one in tensors):  # most folders hold no containers
        tensors = _with_aliases(as_checkpoints(folder, tensors))
    name = folder.name if rank else ""
    record, unseen = record_of(folder), unseen_in(folder.path)
    dump = RankDump(name, rank, tensors, record=record, unseen=unseen)
    return [replace(dump, order_by=order_by(tensors))]


def order_by(tensors: Sequence[DumpedTensor]) -> OrderBy:
    """Whether tensors say in which order they were computed, or files that hold many in the order
    of their saving, one a round."""
    if any(map(_says_order, tensors)):
        return OrderBy.DUMP
    rounds: dict[int | None, list[str]] = {}
    for one in tensors:
        rounds.setdefault(one.token_id, []).append(split_name(one.file)[0])
    said = all(len(of) == 1 or (len({*of}) == 1 and keeps_order(of[0])) for of in rounds.values())
    return OrderBy.DUMP if said else OrderBy.NAMES


def _says_order(tensor: DumpedTensor) -> bool:
    """Whether it is of modules that say it, or of operations, which have numbers."""
    return bool(tensor.identity or operand_direction(os.path.basename(tensor.file)))


def _with_aliases(tensors: Sequence[DumpedTensor]) -> list[DumpedTensor]:
    """Those in containers with what they may be called where the container is called otherwise: as
    the container, which has no other; by the numbers in its name; by its folder; by their own."""
    times = Counter(split_name(one.file)[0] for one in tensors)
    return [
        replace(one, aliases=_aliases(container_of(one), own, alone=times[file] == 1))
        if own
        else one
        for one in tensors
        for file, own in [split_name(one.file)]
    ]


def _aliases(container: str, own: str, *, alone: bool) -> tuple[str, ...]:
    folder, called = os.path.split(container)
    place = f"{folder}/" if folder else ""
    numbers = ".".join(str(int(number)) for number in _NUMBERS.findall(called))
    by_number = f"{place}{numbers}::{own}" if numbers else ""
    return (container if alone else "", by_number, f"{place}{own}", own)


def tensors_below(folder: Folder) -> list[DumpedTensor]:
    """The tensors of all files below `folder`, those that were not saved, and the folders there
    that cannot be listed."""
    found = [
        (_order(path), path, problem)
        for path, problem in _with_not_saved(folder)
        if problem or is_tensor_file(path)
    ]
    found.sort(key=lambda one: one[0])
    names_soon(
        inside(folder.path, path)
        for _, path, problem in found
        if not (problem or operand_direction(os.path.basename(path)))
    )
    listed = [tensor for _, path, problem in found for tensor in tensors_of(folder, path, problem)]
    known = identified(folder.path, listed)
    return listed if known is None else sorted(known, key=order_of)


def _with_not_saved(folder: Folder) -> Iterator[tuple[str, PairError | None]]:
    """What is below `folder`, where what says why a tensor was not saved is that tensor."""
    for path, problem in folder.all_files():
        lost = None if problem else not_saved_for(path)
        if lost and is_tensor_file(lost):
            yield lost, why_not_saved(inside(folder.path, lost))
        else:
            yield path, problem


def _split_round(path: str) -> tuple[int | None, str]:
    first, slash, rest = path.partition("/")
    number = round_number(first) if slash else None
    return (None, path) if number is None else (number, rest)


def _order(path: str) -> tuple[int, _Place]:
    token, rest = _split_round(path)
    return -1 if token is None else token, _place(rest)


def order_of(tensor: DumpedTensor) -> tuple[int, int, _Place]:
    """Round by round in the order of the computation, as the dump says it, or as the library ran:
    an operation's inputs come before those within it, its outputs after them, whenever they were
    saved."""
    identity, token = tensor.identity, -1 if tensor.token_id is None else tensor.token_id
    if identity is None:
        return token, _LATEST, _place(tensor.name)
    return token, identity.at, _place(identity.former)


def _place(name: str) -> _Place:
    *folders, file = name.split("/")
    where = _DIRECTIONS.get(operand_direction(file) or "", _WITHIN)
    late = False
    if where is not _WITHIN and folders and folders[-1] in _MOMENTS:
        late = folders.pop() == _MOMENTS[-1]
    parts = [(_WITHIN, natural(part)) for part in folders]
    parts.append((where, natural(file)))
    return parts, late, name


def tensors_of(folder: Folder, path: str, problem: PairError | None) -> Iterator[DumpedTensor]:
    """The tensors of one file below `folder`, or the problem of what is there."""
    token, rest = _split_round(path)
    file = inside(folder.path, path)
    if problem and problem.reason is Reason.NOT_SAVED:
        yield DumpedTensor(os.path.splitext(rest)[0], token, file, problem)
        return
    if problem:
        token = round_number(path) if token is None else token
        yield DumpedTensor(rest or folder.name, token, file, problem)
        return
    name = os.path.splitext(rest)[0]
    # The library's are ATB's, of one tensor each; there are too many to look into them.
    is_operand = operand_direction(os.path.basename(rest)) is not None
    try:
        names = None if is_operand else tensor_names(file)
    except PairError as exc:
        yield DumpedTensor(name, token, file, exc)
        return
    except FileNotFoundError:  # a link to nothing: opening it says so
        names = None
    if names is None:
        yield DumpedTensor(name, token, file)
    for of_file in names or ():
        yield DumpedTensor(f"{name}::{of_file}", token, f"{file}::{of_file}")
