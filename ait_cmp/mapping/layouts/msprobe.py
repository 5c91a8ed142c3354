"""Dumps of msprobe: `step{N}/rank{M}/dump.json`, or `proc{PID}/…`, beside `dump_tensor_data/`.

`data` of dump.json maps every API or module, in the order of their starts, to its tensors:
`input_args`, `input_kwargs` (or `input`), `parameters`, `output`, nested as the call was. One that
was saved has its file in `data_name`. `construct.json` maps a name to the module around it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from ait_cmp.dump_tree import (
    MSPROBE_FILE,
    MSPROBE_PARENTS,
    MSPROBE_TENSORS,
    RankName,
    msprobe_rank,
    msprobe_step,
)
from ait_cmp.files import real_path
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump, numbered
from ait_cmp.mapping.left_out import is_tensor_file
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import natural, read_mapping
from ait_cmp.values.errors import PairError, Reason, UsageError, os_reason
from ait_cmp.values.process import ProcessRecord

__all__ = ["msprobe_ranks"]

_NOT_SAVED = ("", "-1", "None")


def msprobe_ranks(folder: Folder) -> list[RankDump]:
    """The ranks of a dump, of one of its steps or of one of its ranks."""
    places = list(_places(folder))
    first = next((one for _, one in places if MSPROBE_FILE in one.files), None)
    if first is None:
        return []
    ranks: dict[tuple[str, RankName], list[DumpedTensor]] = {}
    for step, one in places:
        rank = msprobe_rank(one.name) or RankName(-1, 0)
        name = "" if rank == RankName(-1, 0) else one.name
        ranks.setdefault((name, rank), []).extend(_tensors(one, step))
    dumps = [
        RankDump(name, rank, tensors, record=_record(rank))
        for (name, rank), tensors in ranks.items()
    ]
    if not any(dump.tensors for dump in dumps):
        raise UsageError(
            f"{inside(first.path, MSPROBE_FILE)} names no saved tensors; dump with task=tensor"
        )
    return dumps


def _record(rank: RankName) -> ProcessRecord | None:
    """What the name of its folder tells of a process."""
    return None if rank.device < 0 else ProcessRecord("", rank=rank.device)


def _places(folder: Folder) -> Iterator[tuple[int | None, Folder]]:
    """The folders that may be of a rank, by step; a step that cannot be listed stands for its."""
    if MSPROBE_FILE in folder.files:
        yield msprobe_step(os.path.basename(os.path.dirname(real_path(folder.path)))), folder
    steps = [(msprobe_step(one.name), one) for one in [folder, *folder.folders]]
    for step, around in sorted(steps, key=lambda each: natural(each[1].path)):
        if step is None and around is not folder:
            continue
        if around.problem:
            yield step, around
        for one in sorted(around.folders, key=lambda each: natural(each.name)):
            if msprobe_rank(one.name):
                yield step, one


def _tensors(folder: Folder, step: int | None) -> list[DumpedTensor]:
    """The tensors of one rank in one step."""
    problem, file = folder.problem, inside(folder.path, MSPROBE_FILE)
    if not problem and MSPROBE_FILE not in folder.files and folder.at(MSPROBE_TENSORS):
        sentence = f"{folder.path} has tensors but no {MSPROBE_FILE}; dump again"
        problem = PairError(Reason.FOLDER_UNREADABLE, sentence)
    if problem:
        return [DumpedTensor(folder.name, step, folder.path, problem)]
    if MSPROBE_FILE not in folder.files:
        return []
    data = _object(file).get("data")
    if not isinstance(data, dict):
        raise UsageError(f"{file} has no object `data`; it is no dump.json of msprobe")
    tensors = inside(folder.path, MSPROBE_TENSORS)
    return numbered(
        [
            DumpedTensor(_without_suffix(data_name), step, f"{tensors}/{data_name}")
            for data_name in _in_order(data, _object(inside(folder.path, MSPROBE_PARENTS)))
        ]
    )


def _in_order(data: dict[str, Any], parents: dict[str, Any]) -> list[str]:
    """The files of all saved tensors, in the order of the computation."""
    starts = {name: place for place, name in enumerate(data)}
    first, last, depth = _spans(starts, parents)
    ordered = []
    for name, parts in data.items():
        for part, value in parts.items() if isinstance(parts, dict) else ():
            is_output = part == "output"
            key = (last[name], 1, -depth[name]) if is_output else (first[name], 0, depth[name])
            ordered += [(key, data_name) for data_name in _saved(value)]
    # The sort is stable: operands stay in the order of the call.
    return [data_name for _, data_name in sorted(ordered, key=lambda item: item[0])]


def _object(file: str) -> dict[str, Any]:
    """A JSON object; an empty one where there is no such file."""
    try:
        content = json.loads(read_mapping(file))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {os_reason(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{file} is no valid JSON ({exc}); dump it again") from exc
    return content if isinstance(content, dict) else {}


def _spans(
    starts: dict[str, int], parents: dict[str, Any]
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """For each name, the first and last place of what ran within it, and how deep it is."""
    first, last, depth = dict(starts), dict(starts), _depths(starts, parents)
    for name in sorted(depth, key=lambda name: -depth[name]):
        above = parents.get(name)
        if name in first and isinstance(above, str) and depth.get(above, depth[name]) < depth[name]:
            first[above] = min(first.get(above, first[name]), first[name])
            last[above] = max(last.get(above, last[name]), last[name])
    return first, last, depth


def _depths(starts: dict[str, int], parents: dict[str, Any]) -> dict[str, int]:
    """How many are around each name, and around each of these; a ring of parents ends somewhere."""
    depth: dict[str, int] = {}
    for name in starts:
        chain: dict[str, None] = {}
        at: Any = name
        while isinstance(at, str) and at not in depth and at not in chain:
            chain[at] = None
            at = parents.get(at)
        around = depth[at] + 1 if isinstance(at, str) and at in depth else 0
        for inner in reversed(chain):
            depth[inner] = around
            around += 1
    return depth


def _saved(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        data_name = value.get("data_name")
        if isinstance(data_name, str):
            if data_name not in _NOT_SAVED:
                yield data_name
            return
    if isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _saved(one)


def _without_suffix(data_name: str) -> str:
    return os.path.splitext(data_name)[0] if is_tensor_file(data_name) else data_name
