"""Where the golden dumps below a folder are: every one, and every folder that may hide one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ait_cmp.dump_tree import (
    GOLDEN_TENSOR,
    METADATA,
    is_tensor_name,
    library_rank,
    round_number,
)
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import natural
from ait_cmp.mapping.metadata_entries import looks_recorded
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import absolute, parent

__all__ = ["GoldenDump", "golden_dumps"]


@dataclass(frozen=True, slots=True)
class GoldenDump:
    """The metadata.json of one process, or the folder that keeps it from being found, and why.

    `folder` is the one that it is in, unless the user names the file itself.
    """

    path: str
    problem: PairError | None = None
    folder: Folder | None = None

    @property
    def rank(self) -> str:
        """The folder of the process."""
        path = absolute(self.path)
        folder = path if self.problem else parent(path)
        above, name = os.path.split(folder)
        return above if name == GOLDEN_TENSOR else folder

    @property
    def name(self) -> str:
        """`{PID}_{DEVICE}`, where dump_data called it so."""
        return os.path.basename(self.rank)


def golden_dumps(folder: Folder, again: list[str] | None = None) -> list[GoldenDump]:
    """All of them, in the order in which a person counts; `again` gets the paths that lead to one
    once more."""
    walk = folder.walk(_may_hold_dumps, again=again)
    found = [dump for _, one in walk for dump in _dump_of(one, folder)]
    return sorted(found, key=lambda dump: natural(dump.path))


def _may_hold_dumps(folder: Folder) -> bool:
    """Whether to look into it: not into the rounds of a golden dump, nor into the library's."""
    if round_number(folder.name) is not None:
        return False
    names = {one.name for one in folder.folders} if library_rank(folder.name) else set()
    return GOLDEN_TENSOR in names or all(round_number(name) is None for name in names)


def _is_called_golden(folder: Folder) -> bool:
    """A backup may be called golden_tensor.old."""
    return folder.name.startswith(GOLDEN_TENSOR)


def _is_own(folder: Folder, rounds: list[Folder]) -> bool:
    """Whether the metadata.json in `folder` is dump_data's, damaged or not."""
    if _is_called_golden(folder) or looks_recorded(inside(folder.path, METADATA)):
        return True
    return any(is_tensor_name(name) for one in rounds for name in one.files)


def _dump_of(folder: Folder, top: Folder) -> Iterator[GoldenDump]:
    if folder.problem:
        yield GoldenDump(folder.path, folder.problem, folder)
    elif METADATA in folder.files:
        rounds = [one for one in folder.folders if round_number(one.name) is not None]
        if (folder is top or rounds or _is_called_golden(folder)) and _is_own(folder, rounds):
            yield GoldenDump(inside(folder.path, METADATA), folder=folder)
    elif folder.name == GOLDEN_TENSOR:
        tensors = "tensors but no" if folder.folders else "neither tensors nor a"
        sentence = f"{folder.path} has {tensors} {METADATA}; dump it again"
        yield GoldenDump(folder.path, PairError(Reason.NO_METADATA, sentence), folder)
