"""The file that packed rows lie in: a header, then batches of rows, each behind its checksum.

A batch begins with a mark, by which reading goes on behind one that is damaged: that costs the
rows of this batch, and no others.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

__all__ = [
    "BadHeaderError",
    "Batch",
    "header_bytes",
    "is_cut_short",
    "pack_batch",
    "read_header",
    "scan",
]

FORMAT = 3  # of header, batches and rows
_MAGIC = b"\x89AITSTAT"
_MARK = b"\xf5ROWS\r\n\x1a"
_HEADER = struct.Struct("<8sIII")  # magic, format, bytes of JSON, their checksum
_BATCH = struct.Struct("<8sIII")  # mark, rows, bytes of them, checksum
_ROW = struct.Struct("<I")  # bytes
_HEADER_LIMIT = 1 << 20  # bytes
_CHUNK = 1 << 20  # bytes of a damaged file that are searched at once


class BadHeaderError(Exception):
    """A file that does not begin as one of these; the message says how."""


class Batch(NamedTuple):
    """Where a whole batch begins and ends, and its rows, each behind its own place."""

    start: int
    end: int
    rows: list[tuple[int, bytes]]


def header_bytes(facts: Any) -> bytes:
    """The header, which says `facts` (plain values of JSON)."""
    text = json.dumps(facts, sort_keys=True).encode()
    return _HEADER.pack(_MAGIC, FORMAT, len(text), zlib.crc32(text)) + text


def read_header(file: int) -> tuple[Any, int]:
    """The facts in the header, and where the batches begin; (None, 0) for another format, and
    where writing the header was cut short. Raises BadHeaderError, OSError."""
    head = os.pread(file, _HEADER.size, 0)
    if not head.startswith(_MAGIC[: len(head)]):
        raise BadHeaderError("it is something else")
    if len(head) < _HEADER.size:
        return None, 0
    _, version, length, checksum = _HEADER.unpack(head)
    if version != FORMAT and version < 1 << 16:
        return None, 0
    text = os.pread(file, min(length, _HEADER_LIMIT), _HEADER.size)
    if length < _HEADER_LIMIT and len(text) < length:
        return None, 0
    if zlib.crc32(text) != checksum:
        raise BadHeaderError("its header is damaged")
    return json.loads(text), _HEADER.size + length


def is_cut_short(file: int) -> bool:
    """Whether it ends in the header of this format, or before. Raises OSError."""
    head = os.pread(file, _HEADER.size, 0)
    if len(head) < _HEADER.size:
        return True
    _, version, length, _ = _HEADER.unpack(head)
    return bool(version == FORMAT and os.fstat(file).st_size < _HEADER.size + length)


def pack_batch(rows: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """`rows` as one batch, and where in it each of them begins."""
    payload = b"".join([part for row in rows for part in (_ROW.pack(len(row)), row)])
    head = _BATCH.pack(_MARK, len(rows), len(payload), _checksum(payload, len(rows)))
    lengths = itertools.accumulate((_ROW.size + len(row) for row in rows[:-1]), initial=0)
    return head + payload, [_BATCH.size + _ROW.size + before for before in lengths]


def scan(file: int, start: int) -> Iterator[Batch]:
    """Every whole batch from `start` on. Raises OSError."""
    size = os.fstat(file).st_size
    while start + _BATCH.size <= size:
        payload = _payload(file, start, size)
        if payload is None:
            found = _next_mark(file, start + 1, size)
            if found is None:
                return
            start = found
            continue
        begin, end = start + _BATCH.size, start + _BATCH.size + len(payload)
        yield Batch(start, end, list(_rows(payload, begin)))
        start = end


def _payload(file: int, start: int, size: int) -> bytes | None:
    mark, rows, length, checksum = _BATCH.unpack(os.pread(file, _BATCH.size, start))
    if mark != _MARK or start + _BATCH.size + length > size:
        return None
    payload = os.pread(file, length, start + _BATCH.size)
    return payload if _checksum(payload, rows) == checksum else None


def _checksum(payload: bytes, rows: int) -> int:
    """Of the counts as well."""
    return zlib.crc32(payload, zlib.crc32(struct.pack("<II", rows, len(payload))))


def _rows(payload: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(payload):
        (length,) = _ROW.unpack_from(payload, place)
        place += _ROW.size
        yield offset + place, payload[place : place + length]
        place += length


def _next_mark(file: int, start: int, size: int) -> int | None:
    while start < size:
        chunk = os.pread(file, _CHUNK + len(_MARK) - 1, start)
        place = chunk.find(_MARK)
        if place >= 0:
            return start + place
        start += _CHUNK
    return None
