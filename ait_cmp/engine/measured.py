"""What the engine answers of one pair, or of a range of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ait_cmp.engine.evidence import Evidence
from ait_cmp.engine.stats import Stats
from ait_cmp.values.dtypes import DType
from ait_cmp.values.errors import PairError

__all__ = ["FileState", "Measured", "TensorInfo", "file_state"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the report says of one side besides its values."""

    dtype: DType
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FileState:
    """Which file was read, and in which state: another size, time or inode is another file."""

    path: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What comparing a pair gave: stats, or the error that prevented them.

    `worst` is the flat index of the element that tells most (the first non-finite one that
    disagrees, else the largest difference), -1 where the sides are equal; `worst_golden` and
    `worst_my` are its exact values as text. `files` are all that the stats depend on. A range
    has slices among its stats, a whole pair the evidence that was made of them.
    """

    golden: TensorInfo | None = None
    my: TensorInfo | None = None
    stats: Stats | None = None
    worst: int = -1
    worst_golden: str | None = None
    worst_my: str | None = None
    files: tuple[FileState, ...] = ()
    error: PairError | None = None
    evidence: Evidence | None = None


def file_state(path: str) -> FileState:
    """The state in which `path` is now. Raises OSError."""
    status = os.stat(path)
    return FileState(path, status.st_size, status.st_mtime_ns, status.st_ino)
