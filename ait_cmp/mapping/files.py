"""One golden file against one my file."""

from __future__ import annotations

from ait_cmp.engine.source import split_name
from ait_cmp.errors import UsageError
from ait_cmp.mapping.selection import PathMap
from ait_cmp.pair import Pair

__all__ = ["file_pair"]


def file_pair(golden_path: str, my_path: str | None, path_map: PathMap) -> list[Pair]:
    """The one pair of two files. Raises UsageError when either is not there."""
    del path_map  # paths that the user gives are where he says
    if split_name(golden_path)[0].is_dir():
        raise UsageError(f"golden_path={golden_path} is a folder; mapping=files takes two files")
    if my_path is None:
        raise UsageError(f"golden_path={golden_path} is one tensor file; pass my_path=FILE as well")
    for key, location in (("golden_path", golden_path), ("my_path", my_path)):
        if not split_name(location)[0].exists():
            raise UsageError(f"{key}={location} does not exist")
        if split_name(location)[0].is_dir():
            raise UsageError(f"{key}={location} is a folder; compare a file with a file")
    path, name = split_name(golden_path)
    return [Pair(data_id=name or path.stem, token_id=None, golden=golden_path, my=my_path)]
