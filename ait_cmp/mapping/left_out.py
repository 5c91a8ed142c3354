"""Files below a named folder that are not compared: told, so that none is lost without a word."""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence, Set
from itertools import islice

from ait_cmp.dump_tree import is_foreign, not_saved_for
from ait_cmp.files import open_file
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import named_files, why_not_saved
from ait_cmp.source import SOURCES
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import absolute, suffix_of

__all__ = ["files_like_tensors", "is_tensor_file", "left_out", "tell_again", "tell_hidden"]

_LOGGER = logging.getLogger(__name__)

_MOST_LOOKED_INTO = 1000  # hidden folders: a `.git` or `.venv` may be large

# What stands in dumps and beside models, and holds no tensor.
_NO_TENSORS = re.compile(
    r"\.(jsonl?|[ct]sv|txt|md|rst|log|out|err|ya?ml|toml|ini|cfg|conf|xml|html|pyc?|sh|[ch]|cc|cpp|so"
    r"|lock|tmp|png|svg|pdf|xlsx|db|stats|parquet)"
)

# Names that many take for any file, and how a tensor begins that was saved by such a name: torch's,
# now and formerly, numpy's, ATB's.
_ANY_CONTENT = frozenset(
    {".out", ".tmp", ".log", ".err", ".db", ".h", ".c", ".so", ".lock", ".stats", ".parquet"}
)
_MAGICS = (b"PK\3\4", b"\x80\2\x8a\n", b"\x93NUMPY", b"$Version=")


def is_tensor_file(name: str) -> bool:
    """Whether a file of this name is read for tensors."""
    return suffix_of(name) in SOURCES


def files_like_tensors(
    folder: Folder, *, most: int | None = None, but: Set[str] = frozenset()
) -> Iterator[tuple[str, Folder]]:
    """The files below `folder` that may hold a tensor, by their relative paths, and the folders
    that they are in, `most` of these: by their names, all but what is known to hold none, and
    `but` those of these absolute paths."""
    top = os.path.join(absolute(folder.path), "") if but else ""
    for below, one in islice(folder.walk(), most):
        place = f"{below}/" if below else ""
        for name in one.files:
            if but and f"{top}{place}{name}" in but:
                continue
            if is_tensor_file(name) or (name not in one.strays and _may_be_tensor(one, name)):
                yield place + name, one


def _may_be_tensor(folder: Folder, name: str) -> bool:
    stem, suffix = os.path.splitext(name)
    if not _NO_TENSORS.fullmatch(suffix.lower()):
        return True
    # What is being written, `x.bin.tmp`, is no tensor yet.
    if suffix.lower() not in _ANY_CONTENT or is_tensor_file(stem):
        return False
    try:
        file = open_file(inside(folder.path, name))
        return file.read(0, min(file.size, 9)).startswith(_MAGICS)
    except (PairError, OSError):  # gone, or nobody's to read
        return False


def tell_hidden(folder: Folder) -> None:
    """Log what is hidden below `folder` and may hold a tensor, and what is there twice: it has no
    row."""
    again: list[str] = []
    hidden: list[str] = []
    folders: list[Folder] = []
    visible: set[str] = set()
    for _, one in folder.walk(again=again):
        visible.add(one.identity)
        folders += one.hidden_folders.values()
        hidden += (inside(one.path, name) for name in one.hidden if _is_lost(one, name))
    if hidden:
        _LOGGER.warning(
            "hidden files are not compared: %s; rename them to compare them", named_files(hidden)
        )
    if folders:
        _tell_hidden_folders(folders, visible)
    tell_again(again)


def _tell_hidden_folders(folders: Sequence[Folder], visible: Set[str]) -> None:
    """Log those of `folders` with tensor files in them or below, but in those that are `visible`
    by another path."""
    counts: dict[str, int] = {}
    left = _MOST_LOOKED_INTO
    for top in folders:
        within = deque([top])
        while within and left:
            for _, one in islice(_not_in(visible, within.popleft()), left):
                left -= 1
                within += one.hidden_folders.values()
                count = sum(_is_lost(one, name) for name in (*one.files, *one.hidden))
                if count:
                    counts[top.path] = counts.get(top.path, 0) + count
    if counts:
        _LOGGER.warning(
            "hidden folders are not compared: %s (tensor files: %s%s); rename them to compare them",
            named_files(counts),
            "" if left else "at least ",
            sum(counts.values()),
        )


def _not_in(visible: Set[str], folder: Folder) -> Iterator[tuple[str, Folder]]:
    """`folder` and those below that are not `visible`."""
    if folder.identity not in visible:
        yield from folder.walk(lambda one: one.identity not in visible)


def _is_lost(folder: Folder, name: str) -> bool:
    """Whether a file in a folder is called like a tensor, and not left there by a system."""
    return is_tensor_file(name) and not is_foreign(name) and name not in folder.hidden_folders


def tell_again(links: Sequence[str]) -> None:
    """Log the links to folders that have another path, by which they are read."""
    if links:
        _LOGGER.info(
            "%s: links to folders that have another path here; each is compared once",
            named_files(links),
        )


def left_out(file: str, why: str) -> PairError:
    """The reason of a file that is not compared since, as `why` says, nobody knows with what; of
    one that says why a tensor was not saved, that."""
    lost = not_saved_for(file)
    not_saved = why_not_saved(lost) if lost else None
    if not_saved:
        return not_saved
    suffix = os.path.splitext(file)[1]
    if suffix.lower() not in SOURCES:
        called = f"files called *{suffix}" if suffix else "files without a suffix"
        why = f"{called} are not read; save it as {', '.join(SOURCES)}"
    return PairError(Reason.LEFT_OUT, f"{file} is not compared: {why}")
