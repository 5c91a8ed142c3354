"""Dumps of SGLang's dumper: files `key=value___key=value.pt` that hold {value, meta}.

`rank`, the step and `dump_index` say where and when a tensor was dumped, `name` and all other
keys (layer_id, …) what it is; one that comes again in a step is told apart by counting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ait_cmp.mapping.layouts.listing import Listed, Run, numbered

__all__ = ["sglang_runs"]

_STEPS = ("step", "forward_pass_id", "curr_step")  # as newer and older versions call it
_PLACE = ("rank", "dump_index", *_STEPS)
# Nothing is recomputed in inference, and older versions do not say so.
_PLAIN = ("recompute_status", "disabled")


def sglang_runs(folder: Path) -> list[Run]:
    """One run for each rank of the files in `folder`, or in its only subfolder that has such."""
    runs = _ranks(folder)
    for below in sorted(folder.iterdir()) if not runs else ():
        runs = runs or (_ranks(below) if below.is_dir() else [])
    return runs


def _ranks(folder: Path) -> list[Run]:
    files = [(tags, file) for file in folder.glob("*.pt") if (tags := _tags(file.stem))]
    ranks: dict[int, list[tuple[int, int, Listed]]] = {}
    for tags, file in files:
        step = next((_number(tags[key]) for key in _STEPS if key in tags), None)
        listed = Listed(_name(tags), step, str(file))
        rank, index = _number(tags["rank"]), _number(tags["dump_index"])
        ranks.setdefault(rank, []).append((-1 if step is None else step, index, listed))
    return [
        Run(
            f"rank{rank}",
            rank,
            0,
            numbered([listed for _, _, listed in sorted(ranks[rank], key=lambda one: one[:2])]),
        )
        for rank in sorted(ranks)
    ]


def _tags(stem: str) -> dict[str, str]:
    """The keys of a file name; none where it is of another kind."""
    parts = [part.partition("=") for part in stem.split("___")]
    tags = {key: value for key, equals, value in parts if equals}
    whole = len(tags) == len(parts) and "name" in tags
    numbers = all(_number(tags[key]) >= 0 for key in _PLACE if key in tags)
    return tags if whole and numbers and {"rank", "dump_index"} <= tags.keys() else {}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def _name(tags: Mapping[str, str]) -> str:
    what = [
        f"{key}={value}"
        for key, value in sorted(tags.items())
        if key not in ("name", *_PLACE) and (key, value) != _PLAIN
    ]
    return ",".join([tags["name"], *what])
