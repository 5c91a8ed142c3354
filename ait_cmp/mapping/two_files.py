"""One golden file against one my file."""

from __future__ import annotations

from pathlib import Path

from ait_cmp.files import exists, is_folder
from ait_cmp.mapping.selection import Wish
from ait_cmp.source import split_name
from ait_cmp.values.errors import UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair

__all__ = ["file_pair"]


def file_pair(wish: Wish) -> list[Pair]:
    """The one pair of two files. Raises UsageError when either is not there."""
    golden_path, my_path = wish.golden_path, wish.my_path
    if is_folder(split_name(golden_path)[0]):
        raise UsageError(f"golden_path={golden_path} is a folder; mapping=files takes two files")
    if my_path is None:
        raise UsageError(f"golden_path={golden_path} is one tensor file; pass my_path=FILE as well")
    for key, location in (("golden_path", golden_path), ("my_path", my_path)):
        if not exists(split_name(location)[0]):
            raise UsageError(f"{key}={location} does not exist")
        if is_folder(split_name(location)[0]):
            raise UsageError(f"{key}={location} is a folder; compare a file with a file")
    path, name = split_name(golden_path)
    return [Pair(name or Path(path).stem, None, Location.of(golden_path), Location.of(my_path))]
