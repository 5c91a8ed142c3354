"""The names in the dynamic symbol table of an ELF file, which say how a library was built."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["dynamic_symbols"]

_DYNSYM = 11  # the type of the section .dynsym
# Of a 64-bit, little-endian file, which every machine with an NPU has.
_IDENTITY = b"\x7fELF\x02\x01"
_SECTIONS = struct.Struct("<40xQ10xHHH")  # file header: e_shoff, e_shentsize, e_shnum, e_shstrndx
_SECTION = struct.Struct("<4xI16xQQI12xQ")  # sh_type, sh_offset, sh_size, sh_link, sh_entsize
_SYMBOL = struct.Struct("<I20x")  # st_name


def dynamic_symbols(path: Path) -> frozenset[str]:
    """The names that the library at `path` exports or imports, mangled.

    Raises UsageError, naming `path`, for what is no 64-bit little-endian ELF file.
    """
    try:
        with open(path, "rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {os_reason(exc)}") from exc
    except ValueError as exc:
        raise UsageError(f"{path} is empty, so it is no library; install it again") from exc
    with content:
        if content[: len(_IDENTITY)] != _IDENTITY:
            raise UsageError(f"{path} is no 64-bit little-endian ELF library")
        try:
            return frozenset(_names(content))
        except (struct.error, IndexError) as exc:
            raise UsageError(f"{path} is damaged: its symbols lie outside the file") from exc


def _names(content: mmap.mmap) -> Iterator[str]:
    start, size, count, _ = _SECTIONS.unpack_from(content)
    sections = [_SECTION.unpack_from(content, start + index * size) for index in range(count)]
    for kind, offset, length, link, entry in sections:
        if kind != _DYNSYM:
            continue
        strings = sections[link][1]
        for position in range(offset, offset + length, entry or _SYMBOL.size):
            name = strings + _SYMBOL.unpack_from(content, position)[0]
            yield content[name : content.find(b"\0", name)].decode("latin-1")
