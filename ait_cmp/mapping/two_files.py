"""One golden file against one my file, or tensor by tensor where they hold many by name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ait_cmp.files import exists, is_folder
from ait_cmp.mapping.checkpoint_index import is_index
from ait_cmp.mapping.matching import tree_pairs
from ait_cmp.mapping.selection import Wish, names_within
from ait_cmp.source import open_source, split_name
from ait_cmp.values.errors import PairError, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair

__all__ = ["file_pairs"]


def file_pairs(wish: Wish) -> list[Pair]:
    """The pair of two files; of two that hold tensors by name, those of equal names and all others.

    Raises UsageError when either is not there.
    """
    golden_path, my_path = wish.golden_path, wish.my_path
    if is_folder(split_name(golden_path)[0]):
        raise UsageError(f"golden_path={golden_path} is a folder; mapping=files takes two files")
    if my_path is None:
        raise UsageError(f"golden_path={golden_path} is one tensor file; pass my_path=FILE as well")
    for key, location in (("golden_path", golden_path), ("my_path", my_path)):
        if not exists(split_name(location)[0]):
            raise UsageError(f"{key}={location} does not exist")
    if is_index(golden_path) or is_index(my_path):
        return tree_pairs(wish)
    golden, my = names_within(golden_path), names_within(my_path)
    if golden and is_folder(my_path):
        return tree_pairs(wish)
    if is_folder(split_name(my_path)[0]):
        raise UsageError(f"my_path={my_path} is a folder; compare a file with a file")
    if golden and my and (golden == my or len(golden) + len(my) > 2):
        return tree_pairs(wish)
    path, name = split_name(golden_path)
    located = (_location(golden_path, golden), _location(my_path, my))
    error = _what_is_wrong(golden_path, my) or _what_is_wrong(my_path, golden)
    return [Pair(name or Path(path).stem, None, *located, error=error)]


def _what_is_wrong(path: str, others: Sequence[str]) -> PairError | None:
    """Why `path` holds nothing to stand beside the many tensors of the other side, of which it
    would be said that they are no single one."""
    if len(others) > 1:
        with suppress(FileNotFoundError):
            try:
                open_source(path)
            except PairError as exc:
                return exc
    return None


def _location(path: str, names: Sequence[str]) -> Location:
    """`path`, or the only tensor in it."""
    return Location.of(f"{path}::{names[0]}" if len(names) == 1 else path)
