"""ATB `.bin` files: the newest record of each, and the files that aliases lead to."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

from ait_cmp.atb import END, MAGIC, HeaderError, Record, decode_header
from ait_cmp.dump_tree import is_below_rank, operand_alias, operation_number
from ait_cmp.files import Entry, OpenFile, exists, is_file, list_folder, real_path, same_file
from ait_cmp.source.header import Elsewhere, Header, is_possible
from ait_cmp.values.dtypes import COMPLEX, DTYPES
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import absolute, is_below, parent

__all__ = ["read_atb"]

_HEADER_LIMIT = 64 * 1024  # bytes
_MOST_HEADERS = 1024  # bytes that hold nearly every header, so that few need a second read
_RECORD_LIMIT = 1024  # appended to one file; a run appends one


def read_atb(file: OpenFile, name: None) -> Header | Elsewhere:
    """The newest record of `file`, or the file that it says holds the data.

    Raises PairError: BIN_MALFORMED for a header that cannot be read, BIN_INCONSISTENT for one
    whose numbers disagree, BIN_TRUNCATED when data are shorter than the header says,
    BIN_TRAILING for what follows a record and is none, BIN_ALIAS for an alias to nothing.
    """
    del name
    record, start = _newest(file)
    dtype, shape = DTYPES.get(record.dtype_name), record.shape
    if record.dtype_name in COMPLEX and record.format_name != "FRACTAL_NZ":
        dtype, shape = COMPLEX[record.dtype_name], (*shape, 2)
    if record.alias is not None:
        return Elsewhere(_find_alias(file.path, record.alias), dtype, shape)
    if dtype is None:
        raise PairError(
            Reason.DTYPE_UNSUPPORTED,
            f"{file.path} holds {record.dtype_name}, which cannot be compared",
        )
    needed = math.prod(shape) * dtype.itemsize
    if needed != record.length:
        raise PairError(
            Reason.BIN_INCONSISTENT,
            f"{file.path} says dims {list(record.shape)} of {dtype.name}, which takes {needed} "
            f"bytes, but holds {record.length} (of a file of {file.size}); dump it again",
        )
    if not is_possible(shape, dtype.itemsize):
        raise _malformed(f"{file.path} says dims that no tensor has")
    return Header(dtype, shape, start + record.start, layout=record.format_name)


def _newest(file: OpenFile) -> tuple[Record, int]:
    """The last whole record, and where its header ends."""
    position = 0
    for _ in range(_RECORD_LIMIT):
        record, start = _record(file, position)
        end = start + record.total
        if end == file.size:
            return record, start
        if end > file.size:
            raise PairError(
                Reason.BIN_TRUNCATED,
                f"{file.path} ends after {file.size} bytes, but its header promises data up to "
                f"byte {end}; dump it again (was the disk full, or the dump stopped?)",
            )
        position = end
    raise _malformed(f"{file.path} has more than {_RECORD_LIMIT} records, one behind the other")


def _record(file: OpenFile, position: int) -> tuple[Record, int]:
    """The record whose header begins at `position`, and where that ends."""
    where = f"{file.path} at byte {position}" if position else file.path
    for limit in (_MOST_HEADERS, _HEADER_LIMIT):
        head = file.read(position, min(limit, file.size - position))
        end = head.find(b"\n" + END)
        if end >= 0 or len(head) < limit:
            break
    if not head.startswith(MAGIC):
        raise _no_record(head, where, appended=position > 0)
    if end < 0:
        reason = Reason.BIN_MALFORMED if len(head) == _HEADER_LIMIT else Reason.BIN_TRUNCATED
        raise PairError(reason, f"{where} has no $End=1 line where its header should end")
    try:
        return decode_header(head[:end]), position + end + 1 + len(END)
    except HeaderError as exc:
        raise PairError(exc.reason, f"{where} {exc}") from exc


def _no_record(head: bytes, where: str, *, appended: bool) -> PairError:
    sentence = f"{where} does not start with $Version=, so it is no ATB .bin record"
    if head and MAGIC.startswith(head):
        return PairError(Reason.BIN_TRUNCATED, f"{where} ends in the middle of a record's start")
    if appended:
        return PairError(Reason.BIN_TRAILING, f"{sentence}, but follows one; dump it again")
    return _malformed(sentence)


def _malformed(sentence: str) -> PairError:
    return PairError(Reason.BIN_MALFORMED, f"{sentence}; dump it again")


def _find_alias(path: str, name: str) -> str:
    """The file that `data=name` in `path` points to.

    It is a sibling, or `<opId>_{in|out}tensorN.bin` of another operation of the dump.
    Raises PairError BIN_ALIAS when there is none.
    """
    if os.path.basename(name) != name or name in ("", ".", ".."):
        raise PairError(Reason.BIN_ALIAS, f"{path} points to {name!r}, which is no plain file name")
    folders = _dump_folders(path)
    dump = real_path(folders[0])
    for candidate in _candidates(path, name, folders):
        # A link that leads out of the dump is not in it.
        if is_below(real_path(candidate), dump):
            return candidate
    raise PairError(
        Reason.BIN_ALIAS,
        f"{path} says that its data were saved as {name}, which is not in its dump; "
        "copy the whole dump",
    )


def _candidates(path: str, name: str, folders: Sequence[str]) -> Iterator[str]:
    sibling = os.path.join(os.path.dirname(path), name)
    if is_file(sibling) and not same_file(sibling, path):
        yield sibling
    alias = operand_alias(name)
    if alias:
        moment = os.path.basename(os.path.dirname(path))
        for folder in folders:
            yield from _in_operation(folder, *alias, moment)


def _dump_folders(path: str) -> list[str]:
    """The folders above `path` that can hold operations, outermost first.

    An opId counts from the round's folder down, so operations nested near `path` that happen
    to have the same numbers come last.
    """
    folders = [parent(absolute(path))]
    # {DEVICE}_{PID}/{ROUND}/{N}_{Operation}/…/{before,after}: no other name is in a dump.
    while is_below_rank(os.path.basename(folders[-1])):
        folders.append(parent(folders[-1]))
    return folders[::-1]


def _in_operation(folder: str, numbers: tuple[int, ...], name: str, moment: str) -> Iterator[str]:
    """`name` in the operation that `numbers` lead to; as near to `moment` (before, after) as can
    be, and nothing where it is not there."""
    operations = [folder]
    for number in numbers:
        operations = _operations(operations, number)
    found = [
        file
        for operation in operations
        for place in (operation, *_folders(operation))
        if exists(file := f"{place}/{name}")
    ]
    found.sort(
        key=lambda file: (os.path.basename(os.path.dirname(file)) != moment, file.split("/"))
    )
    yield from found[:1]


def _operations(folders: list[str], number: int) -> list[str]:
    """The `number`-th operations of `folders`, each once, however many links lead to it."""
    found = {
        entry.identity: entry.path
        for folder in reversed(folders)
        for entry in reversed(_entries(folder))
        if entry.is_folder and operation_number(entry.name) == number
    }
    return list(found.values())[::-1]


def _folders(folder: str) -> list[str]:
    return [entry.path for entry in _entries(folder) if entry.is_folder]


def _entries(folder: str) -> Sequence[Entry]:
    """What is in `folder`; nothing where it cannot be listed."""
    try:
        return list_folder(folder)
    except (PairError, FileNotFoundError):
        return []
