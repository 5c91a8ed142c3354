"""Small zip files of `torch.save` that differ in values alone are taken apart once.

What a reader finds in such a file follows from some of its bytes: headers, directory, pickle. Of a
file that was read these are kept; another one that has the same at the same places, whatever its
values, their checksums and the archive's name, holds what that one held.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from ait_cmp.source.zip_directory import CENTRAL, DESCRIPTOR, LOCAL, ZipEntry

__all__ = ["AlikeZips"]

Content = TypeVar("Content")
Pick = Callable[[bytes], tuple[bytes, ...]]

_TOLD_LIMIT = 8192  # bytes; those of one tensor are some 1,500


class _Known(NamedTuple, Generic[Content]):
    """What picks the bytes that tell, what they were, what picks the names of the archive, and
    what was found."""

    pick: Pick
    told: tuple[bytes, ...]
    pick_names: Pick
    content: Content


class AlikeZips(Generic[Content]):
    """What was found in at most `most` files, for others like them."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._known: dict[tuple[int, bytes], _Known[Content]] = {}

    def recall(self, whole: bytes) -> Content | None:
        """What a file like this one held; None where there was none."""
        known = self._known.get(_key(whole))
        if known is None or known.pick(whole) != known.told:
            return None
        names = known.pick_names(whole)
        # All entries lie in one folder, which has the archive's name.
        same = names.count(names[0]) == len(names) and b"/" not in names[0]
        return known.content if same else None

    def keep(
        self, whole: bytes, entries: Mapping[str, ZipEntry], read: set[str], content: Content
    ) -> None:
        """`content` follows from the directory of the file `whole` and the entries `read`."""
        archives = {entry.name.partition(b"/")[0] for entry in entries.values()}
        if len(archives) > 1 or len(entries) < 2:
            return
        width = len(archives.pop())
        pick = itemgetter(*_telling(len(whole), entries, read, width))
        told = pick(whole)
        if sum(map(len, told)) > _TOLD_LIMIT:
            return
        while len(self._known) >= self._most:
            self._known.pop(next(iter(self._known)), None)
        pick_names = itemgetter(*_names(entries, width))
        self._known[_key(whole)] = _Known(pick, told, pick_names, content)


def _key(whole: bytes) -> tuple[int, bytes]:
    """The size and the first entry's data: tells apart nearly all that are not alike."""
    names, extras = whole[26:28], whole[28:30]
    start = LOCAL.size + int.from_bytes(names, "little") + int.from_bytes(extras, "little")
    return len(whole), whole[start : whole.find(DESCRIPTOR, start)]


def _telling(size: int, entries: Mapping[str, ZipEntry], read: set[str], width: int) -> list[slice]:
    """All that a reader looks at but the archive's name, `width` bytes long everywhere, and the
    checksums of what it does not read."""
    lines = sorted(entry.line for entry in entries.values())
    ends = dict(zip(lines, [*lines[1:], size], strict=True))
    telling = [slice(0, 4)]
    for key, entry in entries.items():
        header, line, named = entry.header, entry.line, len(entry.name)
        after, behind = header + LOCAL.size, line + CENTRAL.size
        telling += [
            slice(header, header + 14),
            slice(header + 18, after),
            slice(after + width, after + named),
            slice(line, line + 16),
            slice(line + 20, behind),
            slice(behind + width, ends[line]),
        ]
        if key in read:
            telling += [slice(line + 16, line + 20), slice(entry.start, entry.start + entry.size)]
    return telling


def _names(entries: Mapping[str, ZipEntry], width: int) -> list[slice]:
    """Where the archive's name stands."""
    starts = [
        start
        for entry in entries.values()
        for start in (entry.header + LOCAL.size, entry.line + CENTRAL.size)
    ]
    return [slice(start, start + width) for start in starts]
