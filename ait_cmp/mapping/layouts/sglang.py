"""Dumps of SGLang's dumper: files `key=value___key=value.pt` that hold {value, meta}.

`rank`, the step and `dump_index` say where and when a tensor was dumped, `name` and all other
keys (layer_id, …) what it is; one that comes again in a step is told apart by counting.
"""

from __future__ import annotations

from collections.abc import Mapping

from ait_cmp.dump_tree import RankName, sglang_tags
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump, distinct, numbered, unreadable
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.values.process import ProcessRecord

__all__ = ["sglang_ranks"]

_STEPS = ("step", "forward_pass_id", "curr_step")  # as newer and older versions call it
# A newer version may tell the ranks along each parallel axis in the names of files, too.
_AXES = ("pp_rank", "tp_rank", "cp_rank", "ep_rank", "etp_rank")
_PLACE = ("rank", "dump_index", *_STEPS)
# Nothing is recomputed in inference, and older versions do not say so.
_PLAIN = ("recompute_status", "disabled")
_SUFFIX = ".pt"


def sglang_ranks(folder: Folder) -> list[RankDump]:
    """The ranks of the files in `folder`; where it has none, of its subfolders, each a run."""
    found = _ranks(folder)
    if found:
        return found
    runs = [(run, _ranks(run, run.name)) for run in folder.folders]
    if not any(dumps for _, dumps in runs):
        return []
    runs += [(run, [unreadable(run, run=run.name)]) for run in folder.folders if run.problem]
    return distinct([(dump, inside(run.path, dump.name)) for run, dumps in runs for dump in dumps])


def _ranks(folder: Folder, run: str = "") -> list[RankDump]:
    ranks: dict[int, list[tuple[int, int, DumpedTensor]]] = {}
    for file in folder.files:
        tags = _tags(file.removesuffix(_SUFFIX)) if file.endswith(_SUFFIX) else {}
        if tags:
            step = next((_number(tags[key]) for key in _STEPS if key in tags), None)
            tensor = DumpedTensor(_name(tags), step, inside(folder.path, file))
            rank, index = _number(tags["rank"]), _number(tags["dump_index"])
            ranks.setdefault(rank, []).append((-1 if step is None else step, index, tensor))
    return [
        RankDump(
            f"rank{rank}",
            RankName(rank, 0),
            numbered([tensor for _, _, tensor in sorted(ranks[rank], key=lambda one: one[:2])]),
            run,
            ProcessRecord("", rank=rank),
            says_cuts=True,
        )
        for rank in sorted(ranks)
    ]


def _tags(stem: str) -> dict[str, str]:
    """The tags of a file name; none where it is of another kind."""
    tags = sglang_tags(stem)
    numbers = all(_number(tags[key]) >= 0 for key in _PLACE if key in tags)
    return tags if numbers and {"name", "rank", "dump_index"} <= tags.keys() else {}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def _name(tags: Mapping[str, str]) -> str:
    what = [
        f"{key}={value}"
        for key, value in sorted(tags.items())
        if key not in ("name", *_PLACE, *_AXES) and (key, value) != _PLAIN
    ]
    return ",".join([tags["name"], *what])
