"""Folders of tensor files: the library's dump trees, and any folder that is laid out by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ait_cmp.mapping.finding import natural
from ait_cmp.mapping.layouts.listing import Listed, Run, tensor_files
from ait_cmp.source.safetensors import tensor_names
from ait_cmp.values.errors import PairError

__all__ = ["folder_runs", "library_runs"]

# Where {DEVICE_ID}_{PID} stands below what a user may call "the dump"; both layouts may be there.
_PLACES = (".", "tensors", "ait_dump/tensors", "data", "atb_dump_data/data")
_RUN = re.compile(r"(-?\d+)_(\d+)", re.ASCII)
_ROUND = re.compile(r"\d{1,18}", re.ASCII)
_OPERAND = re.compile(r"(in|out)tensor\d")
# What an operation has: its inputs, then the operations within it, then its outputs.
_FIRST, _WITHIN, _LAST = 0, 1, 2
_MOMENTS = {"before": _FIRST, "after": _LAST, "in": _FIRST, "out": _LAST}


def library_runs(folder: Path) -> list[Run]:
    """`{DEVICE_ID}_{PID}/{ROUND}/…` of the library, in either layout."""
    return [
        Run(run.name, int(match[1]), int(match[2]), _listed(run))
        for place in _PLACES
        if (folder / place).is_dir()
        for run in sorted((folder / place).iterdir())
        if (match := _RUN.fullmatch(run.name)) and _has_rounds(run)
    ]


def folder_runs(folder: Path) -> list[Run]:
    """Every tensor file below `folder`, called by its path; `0/…` is round 0."""
    match = _RUN.fullmatch(folder.resolve().name)
    return [Run(match[0] if match else "", 0, 0, _listed(folder))]


def _has_rounds(run: Path) -> bool:
    return run.is_dir() and any(
        _ROUND.fullmatch(one.name) and one.is_dir() for one in run.iterdir()
    )


def _listed(folder: Path) -> list[Listed]:
    paths = [path.relative_to(folder) for path in tensor_files(folder)]
    return [listed for path in sorted(paths, key=_order) for listed in _tensors(folder, path)]


def _split_round(path: Path) -> tuple[int | None, Path]:
    if len(path.parts) > 1 and _ROUND.fullmatch(path.parts[0]):
        return int(path.parts[0]), Path(*path.parts[1:])
    return None, path


def _order(path: Path) -> tuple[int, list[tuple[int, list[int | str]]], str]:
    """Round by round, as the library ran: an operation's outputs come after those within it."""
    token, rest = _split_round(path)
    *folders, file = rest.parts
    operand = _OPERAND.match(file)
    parts = [(_MOMENTS.get(part, _WITHIN), natural(part)) for part in folders]
    parts.append((_MOMENTS[operand[1]] if operand else _WITHIN, natural(file)))
    return -1 if token is None else token, parts, str(path)


def _tensors(folder: Path, path: Path) -> Iterator[Listed]:
    token, rest = _split_round(path)
    name, file = str(rest.with_suffix("")), str(folder / path)
    if path.suffix.lower() != ".safetensors":
        yield Listed(name, token, file)
        return
    try:
        for inside in tensor_names(file):
            yield Listed(f"{name}::{inside}", token, f"{file}::{inside}")
    except PairError as exc:
        yield Listed(name, token, file, exc)
    except FileNotFoundError:  # a link to nothing: opening it says so
        yield Listed(name, token, file)
