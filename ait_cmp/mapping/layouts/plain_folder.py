"""A folder of tensor files, each called by its path: what the library writes, and any other."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ait_cmp.dump_tree import library_rank, not_saved_for, operand_direction, round_number
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.mapping.left_out import is_tensor_file
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import natural, why_not_saved
from ait_cmp.mapping.processes import record_of
from ait_cmp.source import tensor_names
from ait_cmp.values.errors import PairError, Reason

__all__ = ["folder_ranks", "order_of", "tensors_below", "tensors_of"]

# What an operation has: its inputs, then the operations within it, then its outputs.
_FIRST, _WITHIN, _LAST = 0, 1, 2
_MOMENTS = {"before": _FIRST, "after": _LAST, "in": _FIRST, "out": _LAST}

_Order = tuple[int, list[tuple[int, list[int | str]]], str]


def folder_ranks(folder: Folder) -> list[RankDump]:
    """Every tensor file below `folder`; `0/…` is round 0."""
    rank = library_rank(folder.name)
    name = folder.name if rank else ""
    return [RankDump(name, rank, tensors_below(folder), record=record_of(folder))]


def tensors_below(folder: Folder) -> list[DumpedTensor]:
    """The tensors of all files below `folder`, those that were not saved, and the folders there
    that cannot be listed."""
    found = [
        (_order(path), path, problem)
        for path, problem in _with_not_saved(folder)
        if problem or is_tensor_file(path)
    ]
    found.sort(key=lambda one: one[0])
    return [tensor for _, path, problem in found for tensor in tensors_of(folder, path, problem)]


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


def _order(path: str) -> _Order:
    """Round by round, as the library ran: an operation's outputs come after those within it."""
    return _order_in(*_split_round(path))


def order_of(tensor: DumpedTensor) -> _Order:
    """The same of one that is listed: by it, those of several folders are sorted."""
    return _order_in(tensor.token_id, tensor.name)


def _order_in(token: int | None, path: str) -> _Order:
    *folders, file = path.split("/")
    direction = operand_direction(file)
    parts = [(_MOMENTS.get(part, _WITHIN), natural(part)) for part in folders]
    parts.append((_MOMENTS[direction] if direction else _WITHIN, natural(file)))
    return -1 if token is None else token, parts, path


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
    name, suffix = os.path.splitext(rest)
    if suffix.lower() not in (".safetensors", ".npz"):
        yield DumpedTensor(name, token, file)
        return
    try:
        for of_file in tensor_names(file) or ():
            yield DumpedTensor(f"{name}::{of_file}", token, f"{file}::{of_file}")
    except PairError as exc:
        yield DumpedTensor(name, token, file, exc)
    except FileNotFoundError:  # a link to nothing: opening it says so
        yield DumpedTensor(name, token, file)
