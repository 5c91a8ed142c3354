"""`metadata.json` as its own journal: whole and readable after every call, at a flat cost.

The file is one JSON object {data_id: {token_id: [golden_path, my_path]}} with blanks where
entries may come, which JSON allows. An entry is added by a single write of a few hundred
bytes into blanks, within one page, so that a process that is killed leaves it whole or not
there at all. When the blanks at the right place are used up, the file is rewritten beside
itself, with at least as much blank as text after every data_id, and renamed over: that
happens ever more rarely, so the cost of a call does not grow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ait_cmp.new_file import in_place_of

__all__ = ["MetadataFile"]

# The kernel copies a write page by page; within one, a kill cannot tear it.
_PAGE = 4096
_ROOM = 4 * _PAGE


@dataclass(slots=True)
class _Region:
    """The entries of one data_id: text in [start, end), blanks in [end, limit)."""

    start: int
    end: int
    limit: int


class MetadataFile:
    """Appends entries to a new `metadata.json` at `path`; not for use by two threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._regions: dict[str, _Region] = {}
        self._last: str | None = None
        self._file = -1
        self._interrupted = False

    def add(self, data_id: str, token_id: int, golden_path: str, my_path: str) -> None:
        """Record one entry; it is in the file when this returns."""
        entry = _entry(str(token_id), [golden_path, my_path])
        # Still set from a call that Ctrl-C or a full disk ended half-way: what is known of the
        # file may then be wrong, while the file itself is whole.
        interrupted, self._interrupted = self._interrupted, True
        added = (
            not interrupted
            and self._is_in_place()
            and (
                self._add_entry(data_id, entry)
                if data_id in self._regions
                else self._add_region(data_id, entry)
            )
        )
        if not added:
            self._rewrite(data_id, entry, self._recover() if interrupted else self._texts())
        self._interrupted = False

    def close(self) -> None:
        """Give the descriptor back; the file is complete at any time."""
        descriptor, self._file = self._file, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _is_in_place(self) -> bool:
        """Whether the open file is the one at its path, which may have been moved or deleted."""
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self._path))
        except OSError:
            return False

    def _add_entry(self, data_id: str, entry: bytes) -> bool:
        region, text = self._regions[data_id], b", " + entry
        position = self._write(text, region.end, region.limit)
        if position is not None:
            region.end = position + len(text)
        return position is not None

    def _add_region(self, data_id: str, entry: bytes) -> bool:
        if self._last is None:
            return False
        # The last region gives its blanks, and the brace after them, to the new one.
        last, opening = self._regions[self._last], b"},\n" + _key(data_id)
        position = self._write(opening + entry, last.end, last.limit)
        if position is None:
            return False
        start = position + len(opening)
        self._regions[data_id] = _Region(start, start + len(entry), last.limit)
        last.limit = position
        self._last = data_id
        return True

    def _write(self, text: bytes, position: int, limit: int) -> int | None:
        """Write within one page of [position, limit); None where that has no room."""
        if position // _PAGE != (position + len(text) - 1) // _PAGE:
            position = -(-position // _PAGE) * _PAGE
        if len(text) > _PAGE or position + len(text) > limit:
            return None
        written = os.pwrite(self._file, text, position)
        if written != len(text):
            os.pwrite(self._file, b" " * written, position)
            raise OSError(f"{self._path} could not be written whole")
        return position

    def _rewrite(self, data_id: str, entry: bytes, texts: dict[str, bytes]) -> None:
        """Write the file anew: `texts` by data_id, with `entry` added, and blanks for more."""
        texts[data_id] = texts[data_id] + b", " + entry if data_id in texts else entry
        tail = _ROOM + sum(map(len, texts.values()))
        content, regions = bytearray(b"{"), dict[str, _Region]()
        for key, text in texts.items():
            content += (b"},\n" if regions else b"") + _key(key)
            start = len(content)
            content += text + b" " * _room(len(text))
            regions[key] = _Region(start, start + len(text), len(content))
        content += b" " * tail
        regions[key].limit += tail
        with in_place_of(str(self._path)) as temporary:
            Path(temporary).write_bytes(content + b"}}\n")
        self.close()
        self._file = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._regions, self._last = regions, key

    def _texts(self) -> dict[str, bytes]:
        """The entries in the file, as text, by data_id."""
        if self._file < 0:
            return {}
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        return {key: content[one.start : one.end] for key, one in self._regions.items()}

    def _recover(self) -> dict[str, bytes]:
        """The same, read from the file alone."""
        if not self._path.exists():
            return {}
        members = json.loads(self._path.read_bytes(), object_pairs_hook=list)
        return {
            data_id: b", ".join(_entry(token, paths) for token, paths in entries)
            for data_id, entries in members
        }


def _room(length: int) -> int:
    """Blanks after `length` bytes of text: as much again, and for the first entries, of which
    one may have to move to the next page, more."""
    return length + min(length, _PAGE) + 64


def _key(data_id: str) -> bytes:
    return f"{json.dumps(data_id)}: {{".encode()


def _entry(token: str, paths: Iterable[str]) -> bytes:
    return f'"{token}": {json.dumps(list(paths))}'.encode()
