"""What msprobe's `dump.json` says of the tensors of its calls, in the order of the computation.

`data` maps every API or module, in the order of their starts, to its tensors: `input_args`,
`input_kwargs` (or `input`), `parameters`, `output`, of gradients the parameters themselves, nested
as the call was. One that was saved has its file in `data_name`; all may have statistics (`Max`,
`Min`, `Mean`, `Norm`) and a checksum (`md5`, whatever made it). `construct.json` maps a name to
the module around it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ait_cmp.mapping.left_out import is_tensor_file
from ait_cmp.values.statistics import Statistics

__all__ = ["Kept", "kept_in_order"]

_NOT_SAVED = ("", "-1", "None")
# How msprobe calls the parts of a call in the names of files.
_PARTS = {
    "input_args": "input",
    "input_kwargs": "kwargs",
    "input": "input",
    "output": "output",
    "parameters": "parameters",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A tensor of a call: its name, its file where it was saved, what was recorded of it."""

    name: str
    file: str
    statistics: Statistics


def kept_in_order(data: Mapping[str, Any], parents: Mapping[str, Any]) -> list[Kept]:
    """The tensors that were saved, or of which statistics were recorded."""
    starts = {name: place for place, name in enumerate(data)}
    first, last, depth = _spans(starts, parents)
    ordered = []
    for name, parts in data.items():
        for part, value in _parts(parts):
            is_output = part == "output"
            key = (last[name], 1, -depth[name]) if is_output else (first[name], 0, depth[name])
            if ".parameters_grad" in name and isinstance(value, list) and len(value) == 1:
                value = value[0]  # whose name has no number
            called = f"{name}.{_PARTS.get(part, part)}" if part else name
            ordered += [(key, kept) for kept in _kept(value, called)]
    # The sort is stable: operands stay in the order of the call.
    return [kept for _, kept in sorted(ordered, key=lambda item: item[0])]


def _parts(parts: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a call; of what a script saved itself, one without a name."""
    if isinstance(parts, dict) and not _is_tensor(parts):
        yield from parts.items()
    else:
        yield "", parts


def _is_tensor(value: Mapping[str, Any]) -> bool:
    described = "dtype" in value and "shape" in value
    return isinstance(value.get("data_name"), str) or described or "Max" in value


def _kept(value: Any, name: str) -> Iterator[Kept]:
    if isinstance(value, dict):
        file = value.get("data_name")
        if _is_tensor(value):
            one = _one(value, name, file if isinstance(file, str) else "")
            if one:
                yield one
            return
    if isinstance(value, (dict, list)):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for key, member in members:
            yield from _kept(member, f"{name}.{key}")


def _one(value: Mapping[str, Any], name: str, file: str) -> Kept | None:
    statistics = _statistics(value)
    if file not in _NOT_SAVED:
        return Kept(os.path.splitext(file)[0] if is_tensor_file(file) else file, file, statistics)
    return Kept(name, "", statistics) if statistics.is_recorded else None


def _statistics(value: Mapping[str, Any]) -> Statistics:
    kind, shape, checksum = value.get("dtype"), value.get("shape"), value.get("md5")
    sizes = isinstance(shape, list) and all(type(one) is int and one >= 0 for one in shape)
    return Statistics(
        kind if isinstance(kind, str) else "",
        tuple(shape) if isinstance(shape, list) and sizes else None,
        _number(value.get("Max")),
        _number(value.get("Min")),
        _number(value.get("Mean")),
        _number(value.get("Norm")),
        checksum if isinstance(checksum, str) and checksum else None,
    )


def _number(value: Any) -> float | None:
    """A number, also one that is spelled as text (`nan`, `inf`)."""
    try:
        return float(value) if isinstance(value, (bool, int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _spans(
    starts: Mapping[str, int], parents: Mapping[str, Any]
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """For each name, the first and last place of what ran within it, and how deep it is."""
    first, last, depth = dict(starts), dict(starts), _depths(starts, parents)
    for name in sorted(depth, key=lambda name: -depth[name]):
        above = parents.get(name)
        if name in first and isinstance(above, str) and depth.get(above, depth[name]) < depth[name]:
            first[above] = min(first.get(above, first[name]), first[name])
            last[above] = max(last.get(above, last[name]), last[name])
    return first, last, depth


def _depths(starts: Mapping[str, int], parents: Mapping[str, Any]) -> dict[str, int]:
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
