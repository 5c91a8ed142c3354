"""Dumps of msprobe: `step{N}/rank{M}/dump.json`, or `proc{PID}/…`, beside `dump_tensor_data/`.

What a script saves by `PrecisionDebugger.save` stands in `debug.json`, which reads alike.

A tensor of which only statistics were recorded (`task=statistics`) is in no file but dump.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from ait_cmp.dump_tree import (
    MSPROBE_FILES,
    MSPROBE_PARENTS,
    MSPROBE_TENSORS,
    RankName,
    msprobe_rank,
    msprobe_step,
)
from ait_cmp.files import real_path
from ait_cmp.files.roots import allowed_roots
from ait_cmp.mapping.layouts.msprobe_calls import Kept, kept_in_order
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump, numbered
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import natural, read_mapping
from ait_cmp.values.errors import PairError, Reason, UsageError, os_reason
from ait_cmp.values.paths import normal, parent
from ait_cmp.values.process import ProcessRecord

__all__ = ["msprobe_ranks"]


def msprobe_ranks(folder: Folder) -> list[RankDump]:
    """The ranks of a dump, of one of its steps or of one of its ranks."""
    places = [_Place(one, step) for step, one in _places(folder)]
    if not any(one.is_dump for one in places):
        return []
    ranks: dict[tuple[str, RankName], list[DumpedTensor]] = {}
    for one in places:
        rank = msprobe_rank(one.folder.name) or RankName(-1, 0)
        name = "" if rank == RankName(-1, 0) else one.folder.name
        ranks.setdefault((name, rank), []).extend(one.tensors())
    dumps = [
        RankDump(name, rank, tensors, record=_record(rank))
        for (name, rank), tensors in ranks.items()
        if tensors
    ]
    if not dumps:
        first = next(one for one in places if one.is_dump)
        raise UsageError(
            f"{first.files[0]} names neither tensors nor statistics; dump with task=tensor, or "
            "task=statistics"
        )
    return dumps


def _record(rank: RankName) -> ProcessRecord | None:
    """What the name of its folder tells of a process."""
    return None if rank.device < 0 else ProcessRecord("", rank=rank.device)


def _places(folder: Folder) -> Iterator[tuple[int | None, Folder]]:
    """The folders that may be of a rank, by step; a step that cannot be listed stands for its."""
    steps = [(msprobe_step(one.name), one) for one in [folder, *folder.folders]]
    for step, around in sorted(steps, key=lambda each: natural(each[1].path)):
        if step is None and around is not folder:
            continue
        if around.problem:
            yield step, around
        if any(name in around.files for name in MSPROBE_FILES):
            above = os.path.basename(parent(real_path(folder.path)))
            yield msprobe_step(above) if step is None else step, around
        for one in sorted(around.folders, key=lambda each: natural(each.name)):
            if msprobe_rank(one.name):
                yield step, one


def _outside(file: str, folder: str) -> PairError | None:
    """The error of a file that a dump.json, which may be of others, names outside of its dump;
    none where the user says what may be read."""
    within = normal(file).startswith(os.path.join(normal(folder), ""))
    if within or allowed_roots() is not None:
        return None
    sentence = (
        f"{file}, which its dump.json names, is outside of the dump; where that is meant, pass "
        "allowed_roots=[FOLDER, …] with its folder among them"
    )
    return PairError(Reason.OUTSIDE_ROOTS, sentence)


class _Place:
    """The folder of one rank in one step."""

    def __init__(self, folder: Folder, step: int | None) -> None:
        self.folder = folder
        self.files = [inside(folder.path, name) for name in MSPROBE_FILES if name in folder.files]
        self._step = step

    @cached_property
    def is_dump(self) -> bool:
        """Whether it has a dump.json of msprobe, damaged or not: many a program calls a file so."""
        own = self.folder.at(MSPROBE_TENSORS) or msprobe_rank(self.folder.name)
        read = (isinstance(one, dict) for one in self._contents.values())
        return bool(self.files) and (bool(own) or any(read))

    def tensors(self) -> list[DumpedTensor]:
        """Its tensors, in the order of the computation. Raises UsageError for a dump.json that
        cannot be read."""
        problem = self.folder.problem
        if not problem and not self.files and self.folder.at(MSPROBE_TENSORS):
            sentence = f"{self.folder.path} has tensors but no {MSPROBE_FILES[0]}; dump again"
            problem = PairError(Reason.FOLDER_UNREADABLE, sentence)
        if problem:
            return [DumpedTensor(self.folder.name, self._step, self.folder.path, problem)]
        if not self.is_dump:
            return []
        parents = _object(inside(self.folder.path, MSPROBE_PARENTS))
        tensors = []
        for file, data in self._contents.items():
            if isinstance(data, UsageError):
                raise data
            tensors += [self._tensor(one, file) for one in kept_in_order(data, parents)]
        return numbered(tensors)

    def _tensor(self, kept: Kept, json_file: str) -> DumpedTensor:
        tensors = inside(self.folder.path, MSPROBE_TENSORS)
        file = f"{tensors}/{kept.file}" if kept.file else json_file
        return DumpedTensor(
            kept.name,
            self._step,
            file,
            _outside(file, tensors) if kept.file else None,
            statistics=kept.statistics,
            is_saved=bool(kept.file),
        )

    @cached_property
    def _contents(self) -> dict[str, dict[str, Any] | UsageError]:
        """`data` of each of its files, or why it has none."""
        return {file: _data(file) for file in self.files}


def _data(file: str) -> dict[str, Any] | UsageError:
    try:
        data = _object(file).get("data")
    except UsageError as exc:
        return exc
    if isinstance(data, dict):
        return data
    return UsageError(f"{file} has no object `data`; it is no dump.json of msprobe")


def _object(file: str) -> dict[str, Any]:
    """A JSON object, an empty one where there is no such file. Raises UsageError for one that
    cannot be read."""
    try:
        content = json.loads(read_mapping(file))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {os_reason(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{file} is no valid JSON ({exc}); dump it again") from exc
    return content if isinstance(content, dict) else {}
