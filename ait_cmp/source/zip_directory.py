"""The directory of the zip files that `torch.save` and `np.savez` write, checked as a whole.

Entries lie one behind the other, and the directory follows them to the end of the file. Anything
else is refused, so that no two readers can see different contents.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ait_cmp.files import OpenFile
from ait_cmp.source.header import UnsupportedError

__all__ = [
    "CENTRAL",
    "DESCRIPTOR",
    "END",
    "END_MAGIC",
    "LOCAL",
    "ZIP_MAGIC",
    "ZipEntry",
    "read_directory",
]

ZIP_MAGIC = b"PK\x03\x04"
DESCRIPTOR = b"PK\x07\x08"  # stands behind the data of an entry
END_MAGIC = b"PK\x05\x06"
# The fields that are looked at; x is a byte of the others.
LOCAL = struct.Struct("<4s2x2H8x2I2H")
CENTRAL = struct.Struct("<4s4x2H4x3I3H8xI")
END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_ENTRY_LIMIT = 1 << 18
_DIRECTORY_LIMIT = 64 << 20  # bytes
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF  # "the number is in the zip64 part"
_ENCRYPTED, _SIZES_FOLLOW = 1, 8  # flags


class ZipEntry(NamedTuple):
    """One entry; its data lie at [start, start + size) of the file, as they are unless they are
    compressed. `crc` 0: not computed.

    `header` and `line` are where it is described, before its data and in the directory.
    """

    name: bytes
    header: int
    line: int
    start: int
    size: int
    crc: int
    compressed: bool


def read_directory(file: OpenFile) -> dict[str, ZipEntry]:
    """The entries of `file` by name. Raises ValueError, saying why, for any other layout."""
    count, start, end = _extent(file)
    entries: dict[str, ZipEntry] = {}
    bounds = []
    lines = list(_central(file.read(start, end - start), count))
    file.expect([(header, header + LOCAL.size + len(raw)) for raw, header, *_ in lines])
    for raw, header, line, size, crc, compressed in lines:
        name = _name(raw)
        if name in entries:
            raise ValueError(f"two entries named {name[:80]!r}")
        place = _place(file, raw, header, size, compressed)
        entries[name] = ZipEntry(raw, header, start + line, place, size, crc, compressed)
        bounds.append((header, place + size, name))
    bounds.sort()
    bounds.append((start, end, ""))
    for (_, stop, name), (following, _, _) in pairwise(bounds):
        if stop > following:
            raise ValueError(f"the entry {name[:80]!r} reaches into what follows it")
    return entries


def _extent(file: OpenFile) -> tuple[int, int, int]:
    """How many entries there are, and where the directory begins and ends."""
    end = file.size - END.size
    if end < 0:
        raise ValueError("no directory at its end")
    magic, disk, first, here, count, size, start, comment = END.unpack(file.read(end, END.size))
    if magic != END_MAGIC or comment or disk or first or here != count:
        raise ValueError("no directory at its end")
    big = end - _LOCATOR.size - _END64.size
    if big >= 0 and file.read(end - _LOCATOR.size, 4) == b"PK\x06\x07":
        _, _, at, _ = _LOCATOR.unpack(file.read(end - _LOCATOR.size, _LOCATOR.size))
        record = _END64.unpack(file.read(big, _END64.size))
        if at != big or record[0] != b"PK\x06\x06":
            raise ValueError("a zip64 record that is not where it should be")
        # A number that does not need the zip64 part stands in both.
        short, long = (count, size, start), record[-3:]
        for one, two, full in zip(short, long, (_FULL16, _FULL32, _FULL32), strict=True):
            if one not in (two, full):
                raise ValueError("two directories that differ")
        (count, size, start), end = long, big
    if start + size != end:
        raise ValueError("a directory whose size is not that of its entries")
    if count > _ENTRY_LIMIT or size > _DIRECTORY_LIMIT:
        raise UnsupportedError(
            f"it has {count} entries; save at most {_ENTRY_LIMIT} tensors a file"
        )
    return count, start, end


def _central(directory: bytes, count: int) -> Iterator[tuple[bytes, int, int, int, int, bool]]:
    """(name, place of the local header, of this line, size, checksum, whether it is compressed) of
    every entry."""
    position = 0
    for _ in range(count):
        if position + CENTRAL.size > len(directory):
            raise ValueError("a directory that ends early")
        magic, flags, method, crc, packed, size, names, extras, comments, header = (
            CENTRAL.unpack_from(directory, position)
        )
        line = position
        position += CENTRAL.size
        name = directory[position : position + names]
        extra = directory[position + names : position + names + extras]
        position += names + extras + comments
        if magic != b"PK\x01\x02" or position > len(directory):
            raise ValueError("a directory that is damaged")
        if flags & _ENCRYPTED:
            raise ValueError(f"the encrypted entry {_name(name)[:80]!r}")
        if _FULL32 in (packed, size, header):
            size, packed, header = _zip64(extra, size, packed, header)
        if packed != size and not method:
            raise ValueError(f"two sizes of the entry {_name(name)[:80]!r}")
        yield name, header, line, packed, crc, method != 0
    if position != len(directory):
        raise ValueError("a directory that is longer than its entries")


def _zip64(extra: bytes, *numbers: int) -> list[int]:
    """`numbers` with those that did not fit, in order, from the zip64 field of `extra`."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1 and length <= len(extra) - 4:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, 4))
            return [next(wide, number) if number == _FULL32 else number for number in numbers]
        extra = extra[4 + length :]
    raise ValueError("sizes that its directory does not hold")


def _place(file: OpenFile, name: bytes, header: int, size: int, compressed: bool) -> int:
    """Where the data of an entry begin, which only its local header tells."""
    named = header + LOCAL.size + len(name)
    if named > file.size:
        raise ValueError(f"no header of the entry {_name(name)[:80]!r}")
    local = file.read(header, LOCAL.size + len(name))
    magic, flags, method, packed, known, names, extras = LOCAL.unpack_from(local)
    start: int = header + LOCAL.size + names + extras
    if start + size > file.size:
        raise ValueError(f"an entry {_name(name)[:80]!r} that ends behind the file")
    same = magic == ZIP_MAGIC and (method != 0) == compressed and not flags & _ENCRYPTED
    same = same and names == len(name) and local.endswith(name)
    if not flags & _SIZES_FOLLOW:
        same = same and packed in (size, _FULL32) and (compressed or known in (size, _FULL32))
    if not same:
        raise ValueError(f"two descriptions of the entry {_name(name)[:80]!r}")
    return start


def _name(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
