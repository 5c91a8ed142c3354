"""Dumps of msprobe: `step{N}/rank{M}/dump.json` beside `dump_tensor_data/`.

`data` of dump.json maps every API or module, in the order of their starts, to its tensors:
`input_args`, `input_kwargs` (or `input`), `parameters`, `output`, nested as the call was. One that
was saved has its file in `data_name`. `construct.json` maps a name to the module around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ait_cmp.mapping.finding import natural, read_mapping
from ait_cmp.mapping.layouts.listing import Listed, Run, numbered
from ait_cmp.source import SOURCES
from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["msprobe_runs"]

_PLACES = ("dump.json", "rank*/dump.json", "step*/rank*/dump.json")
_STEP = re.compile(r"step(\d{1,18})", re.ASCII)
_RANK = re.compile(r"rank(\d{0,18})", re.ASCII)
_NOT_SAVED = ("", "-1", "None")


def msprobe_runs(folder: Path) -> list[Run]:
    """The runs of a dump, of one of its steps or of one of its ranks."""
    files = [file for place in _PLACES for file in folder.glob(place)]
    ranks: dict[int, list[tuple[int | None, Path]]] = {}
    for file in sorted(files, key=lambda file: natural(str(file))):
        rank, step = _number(_RANK, file.parent), _number(_STEP, file.parent.parent)
        ranks.setdefault(-1 if rank is None else rank, []).append((step, file))
    runs = [
        Run(
            "" if rank < 0 else f"rank{rank}",
            rank,
            0,
            [tensor for step, file in dumps for tensor in _tensors(file, step)],
        )
        for rank, dumps in ranks.items()
    ]
    if files and not any(run.tensors for run in runs):
        raise UsageError(f"{files[0]} names no saved tensors; dump with task=tensor")
    return runs


def _number(pattern: re.Pattern[str], folder: Path) -> int | None:
    match = pattern.fullmatch(folder.resolve().name)
    return int(match[1]) if match and match[1] else None


def _tensors(file: Path, step: int | None) -> list[Listed]:
    data = _object(file).get("data")
    if not isinstance(data, dict):
        raise UsageError(f"{file} has no object `data`; it is no dump.json of msprobe")
    starts = {name: place for place, name in enumerate(data)}
    first, last, depth = _spans(starts, _object(file.with_name("construct.json")))
    ordered = []
    for name, parts in data.items():
        for part, value in parts.items() if isinstance(parts, dict) else ():
            is_output = part == "output"
            key = (last[name], 1, -depth[name]) if is_output else (first[name], 0, depth[name])
            ordered += [(key, data_name) for data_name in _saved(value)]
    folder = file.parent / "dump_tensor_data"
    # The sort is stable: operands stay in the order of the call.
    return numbered(
        [
            Listed(_without_suffix(data_name), step, str(folder / data_name))
            for _, data_name in sorted(ordered, key=lambda item: item[0])
        ]
    )


def _object(file: Path) -> dict[str, Any]:
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
    first, last, depth = dict(starts), dict(starts), {}
    for name, place in starts.items():
        above = list(_above(name, parents))
        depth[name] = len(above)
        for module in above:
            if module in starts:
                first[module] = min(first[module], place)
                last[module] = max(last[module], place)
    return first, last, depth


def _above(name: str, parents: dict[str, Any]) -> Iterator[str]:
    seen = {name}
    parent = parents.get(name)
    while isinstance(parent, str) and parent not in seen:
        seen.add(parent)
        yield parent
        parent = parents.get(parent)


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
    path = Path(data_name)
    return str(path.with_suffix("")) if path.suffix.lower() in SOURCES else data_name
