"""What a dump folder holds, whatever wrote it: runs of named tensors, in dump order.

To add a layout: a function from a folder to its runs, none where the folder has another layout,
and a row in `LAYOUTS` (`layouts.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from ait_cmp.source import SOURCES
from ait_cmp.values.errors import PairError, UsageError, os_reason

__all__ = ["Listed", "Run", "numbered", "pair_runs", "tensor_files"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One dumped tensor: `name` is the same in every run, `file` a path or `path::name`."""

    name: str
    token_id: int | None
    file: str
    error: PairError | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The tensors that one process dumped, token by token, in the order of the computation."""

    name: str
    device: int
    process: int
    tensors: Sequence[Listed]


def pair_runs(*, golden: Sequence[Run], my: Sequence[Run]) -> list[tuple[Run | None, Run | None]]:
    """Runs side by side: by device where the devices of one side are all on the other too, else
    in the order of the devices; of one device, in the order of the processes."""
    golden_devices, my_devices = _by_device(golden), _by_device(my)
    if golden_devices.keys() <= my_devices.keys() or my_devices.keys() <= golden_devices.keys():
        devices = sorted(golden_devices.keys() | my_devices.keys())
        sides = [(golden_devices.get(one, []), my_devices.get(one, [])) for one in devices]
    else:
        sides = list(
            zip_longest(golden_devices.values(), my_devices.values(), fillvalue=list[Run]())
        )
    return [pair for golden_runs, my_runs in sides for pair in zip_longest(golden_runs, my_runs)]


def _by_device(runs: Sequence[Run]) -> dict[int, list[Run]]:
    devices: dict[int, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.device, run.process)):
        devices.setdefault(run.device, []).append(run)
    return devices


def numbered(tensors: Sequence[Listed]) -> list[Listed]:
    """`tensors` in order, names that come again within a token with #1, #2 … behind them."""
    times: dict[tuple[int | None, str], int] = {}
    listed = []
    for tensor in tensors:
        key = tensor.token_id, tensor.name
        time = times[key] = times.get(key, -1) + 1
        listed.append(replace(tensor, name=f"{tensor.name}#{time}") if time else tensor)
    return listed


def tensor_files(folder: Path) -> list[Path]:
    """Every tensor file below `folder`, links followed. Raises UsageError where that fails."""
    try:
        return list(_walk(folder, ()))
    except OSError as exc:
        raise UsageError(f"{exc.filename} cannot be listed: {os_reason(exc)}") from exc


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    status = os.stat(folder)
    here = status.st_dev, status.st_ino
    if here in above:  # a link back up
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _walk(folder / entry.name, (*above, here))
            elif os.path.splitext(entry.name)[1].lower() in SOURCES:
                yield folder / entry.name
