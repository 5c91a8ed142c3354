"""The layouts of dump folders.

To add a layout: one module with a function from a `Folder` to its ranks, none where the folder
has another layout, and a row in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable

from ait_cmp.mapping.layouts.dump_data import dump_data_ranks
from ait_cmp.mapping.layouts.library import library_ranks
from ait_cmp.mapping.layouts.msprobe import msprobe_ranks
from ait_cmp.mapping.layouts.plain_folder import folder_ranks
from ait_cmp.mapping.layouts.ranks import RankDump
from ait_cmp.mapping.layouts.sglang import sglang_ranks
from ait_cmp.mapping.listing import Folder
from ait_cmp.values.errors import UsageError

__all__ = ["LAYOUTS", "list_dump"]

# A folder has the first of these layouts that finds tensors in it.
LAYOUTS: dict[str, Callable[[Folder], list[RankDump]]] = {
    "msprobe": msprobe_ranks,
    "library": library_ranks,
    "sglang": sglang_ranks,
    "dump_data": dump_data_ranks,
    "folder": folder_ranks,
}


def list_dump(key: str, path: str) -> list[RankDump]:
    """The ranks of a dump folder. Raises UsageError, naming `key`, for one without any."""
    folder = Folder(path)
    if folder.problem:
        raise UsageError(f"{key}: {folder.problem}")
    for layout in LAYOUTS.values():
        dumps = layout(folder)
        if any(dump.tensors for dump in dumps):
            return dumps
    raise UsageError(f"{key}={path} holds no tensors (.bin, .pt, .pth, .npy, .safetensors)")
