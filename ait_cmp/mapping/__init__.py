"""Who is compared with whom.

To add a mapping: one module with a function (golden_path, my_path, path_map) -> list[Pair],
one row in `MAPPINGS`, one file in `conf/mapping/`.
"""

from __future__ import annotations

from collections.abc import Callable

from ait_cmp.engine.source import is_tensor_path
from ait_cmp.mapping.files import file_pair
from ait_cmp.mapping.metadata import metadata_pairs
from ait_cmp.mapping.selection import PathMap, Selection
from ait_cmp.pair import Pair

__all__ = ["MAPPINGS", "PathMap", "Selection"]

Mapper = Callable[[str, str | None, PathMap], list[Pair]]


def _auto(golden_path: str, my_path: str | None, path_map: PathMap) -> list[Pair]:
    """`files` for a tensor file, `metadata` for a dump."""
    mapper = file_pair if is_tensor_path(golden_path) else metadata_pairs
    return mapper(golden_path, my_path, path_map)


MAPPINGS: dict[str, Mapper] = {
    "auto": _auto,
    "metadata": metadata_pairs,
    "files": file_pair,
}
