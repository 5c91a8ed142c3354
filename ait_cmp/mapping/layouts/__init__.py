"""The layouts of dump folders: msprobe's, the library's, SGLang's, dump_data's, plain folders."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ait_cmp.mapping.golden_metadata import has_metadata, metadata_pairs
from ait_cmp.mapping.layouts.listing import Listed, Run
from ait_cmp.mapping.layouts.msprobe import msprobe_runs
from ait_cmp.mapping.layouts.sglang import sglang_runs
from ait_cmp.mapping.layouts.tensor_tree import folder_runs, library_runs
from ait_cmp.mapping.selection import Wish
from ait_cmp.values.errors import Reason, UsageError

__all__ = ["LAYOUTS", "list_dump"]

_DUMP = re.compile(r"(\d+)_(-?\d+)")  # {PID}_{DEVICE_ID}


def _dump_data_runs(folder: Path) -> list[Run]:
    """The golden tensors that dump_data recorded."""
    dumps: dict[str, list[Listed]] = {}
    for pair in metadata_pairs(Wish(str(folder))) if has_metadata(folder) else ():
        of_golden = pair.error and pair.error.reason is not Reason.MY_MISSING
        dumps.setdefault(pair.dump, []).append(
            Listed(pair.data_id, pair.token_id, str(pair.golden), pair.error if of_golden else None)
        )
    return [_dump_data_run(name, tensors) for name, tensors in dumps.items()]


def _dump_data_run(name: str, tensors: list[Listed]) -> Run:
    match = _DUMP.fullmatch(name)
    process, device = map(int, match.groups()) if match else (0, 0)
    return Run(name, device, process, tensors)


# A folder has the first of these layouts that finds tensors in it.
LAYOUTS: dict[str, Callable[[Path], list[Run]]] = {
    "msprobe": msprobe_runs,
    "library": library_runs,
    "sglang": sglang_runs,
    "dump_data": _dump_data_runs,
    "folder": folder_runs,
}


def list_dump(key: str, folder: Path) -> list[Run]:
    """The runs of a dump folder. Raises UsageError, naming the setting `key`, where it has none."""
    for layout in LAYOUTS.values():
        runs = layout(folder)
        if any(run.tensors for run in runs):
            return runs
    raise UsageError(f"{key}={folder} holds no tensors (.bin, .pt, .pth, .npy, .safetensors)")
