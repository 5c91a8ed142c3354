"""Where packed rows lie in the files of a store: a number each, by which they are read."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence

from ait_cmp.values.errors import ReportError, os_reason

__all__ = ["PlacedRows", "file_of", "make_place"]

_FILES, _LENGTHS = 1, 32  # bits
_AHEAD = 1 << 18  # bytes that are read at once, since rows are mostly asked for in their order


def make_place(file: int, offset: int, length: int) -> int:
    """The place of a row of so many bytes in the `file`-th file."""
    return (offset << _LENGTHS | length) << _FILES | file


def file_of(place: int) -> int:
    """Which file it is in."""
    return place & 1


class PlacedRows:
    """The rows in some files, which stay readable whatever becomes of the names of these."""

    def __init__(self, files: Sequence[int]) -> None:
        """Takes open `files`, which are closed with it."""
        self._files = tuple(files)
        self._ahead = [(0, b"")] * len(files)
        weakref.finalize(self, _close, self._files)

    def read(self, place: int) -> bytes:
        """The row at `place`. Raises ReportError where it is not there any more."""
        file, length = file_of(place), place >> _FILES & (1 << _LENGTHS) - 1
        offset = place >> _FILES + _LENGTHS
        start, ahead = self._ahead[file]
        if not start <= offset <= start + len(ahead) - length:
            start, ahead = offset, self._read(file, max(length, _AHEAD), offset)
            self._ahead[file] = start, ahead
        row = ahead[offset - start : offset - start + length]
        if len(row) < length:
            raise ReportError("what was measured cannot be read back: its file was cut short")
        return row

    def _read(self, file: int, length: int, offset: int) -> bytes:
        try:
            return os.pread(self._files[file], length, offset)
        except OSError as exc:
            raise ReportError(f"what was measured cannot be read back: {os_reason(exc)}") from exc


def _close(files: Sequence[int]) -> None:
    for file in files:
        if file >= 0:
            os.close(file)
