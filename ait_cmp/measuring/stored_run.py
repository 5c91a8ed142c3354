"""A finished run, read from its store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ait_cmp.engine.measured import Measured
from ait_cmp.measuring.batches import BadHeaderError, is_cut_short, read_header, scan
from ait_cmp.measuring.places import PlacedRows, make_place
from ait_cmp.measuring.row import Key, key_in, look_in, parse_key, short_key, unpack_row
from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["StoredRun", "load"]


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The rows at `path`, read a batch at a time; those of a damaged batch are not there.

    `facts` say what measured them: the version of ait_cmp, the digest of its engine, which stats
    were wanted.
    """

    path: Path
    facts: dict[str, Any]

    def __iter__(self) -> Iterator[tuple[Key, Measured]]:
        return map(_answer, self._rows())

    def looks(self, kind: str) -> Iterator[tuple[Key, Measured]]:
        """What second looks of this kind found; nothing else is unpacked."""
        return (_answer(row) for row in self._rows() if look_in(row) == kind)

    def places(self) -> dict[bytes, int]:
        """Where each row lies, by the hash of its key."""
        return {
            short_key(key_in(row)): make_place(0, offset, len(row)) for offset, row in self._found()
        }

    def placed(self) -> PlacedRows:
        """The rows, by their places."""
        return PlacedRows([os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)])

    def _rows(self) -> Iterator[bytes]:
        return (row for _, row in self._found())

    def _found(self) -> Iterator[tuple[int, bytes]]:
        """Each row, with where it begins."""
        file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _, start = read_header(file)
            for batch in scan(file, start):
                yield from batch.rows
        finally:
            os.close(file)


def _answer(row: bytes) -> tuple[Key, Measured]:
    return parse_key(key_in(row)), unpack_row(row, whole=True)


def load(path: Path) -> StoredRun:
    """The run at `path`. Raises UsageError where it is no store that this version reads."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            facts, _ = read_header(file)
            is_damaged = facts is None and is_cut_short(file)
        finally:
            os.close(file)
    except OSError as exc:
        raise UsageError(f"the stats {path} cannot be read: {os_reason(exc)}") from exc
    except BadHeaderError as exc:
        raise UsageError(f"{path} is no store of stats: {exc}") from exc
    if is_damaged:
        raise UsageError(f"{path} is empty or damaged; compare again to make a new one")
    if facts is None:
        raise UsageError(
            f"{path} is of another version of ait_cmp; compare again to make a new one"
        )
    return StoredRun(path, facts)
