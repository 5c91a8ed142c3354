"""The ATB `.bin` format: header codec, finder of the newest record, writer.

A record is text lines `name=value`, the last of them `$End=1`, then raw little-endian
bytes. The library appends, so a file may hold several records: the last is the newest.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ait_cmp.files import OpenFile
from ait_cmp.values.errors import PairError, Reason

if TYPE_CHECKING:
    import torch

__all__ = [
    "DTYPE_CODES",
    "FORMAT_NAMES",
    "FRACTAL_NZ",
    "Record",
    "encode_header",
    "find_alias",
    "newest_record",
    "write_bin",
    "write_description",
]

# Types without a torch dtype stand here too, so that an error can name them.
DTYPE_CODES: dict[int, str] = {
    0: "float32",
    1: "float16",
    2: "int8",
    3: "int32",
    4: "uint8",
    6: "int16",
    7: "uint16",
    8: "uint32",
    9: "int64",
    10: "uint64",
    11: "float64",
    12: "bool",
    13: "string",
    16: "complex64",
    17: "complex128",
    27: "bfloat16",
    29: "int4",
    30: "uint1",
    33: "complex32",
    34: "hifloat8",
    35: "float8_e5m2",
    36: "float8_e4m3fn",
    37: "float8_e8m0fnu",
    38: "float6_e3m2",
    39: "float6_e2m3",
    40: "float4_e2m1",
    41: "float4_e1m2",
}
FORMAT_NAMES: dict[int, str] = {
    0: "NCHW",
    1: "NHWC",
    2: "ND",
    3: "NC1HWC0",
    4: "FRACTAL_Z",
    12: "NC1HWC0_C04",
    16: "HWCN",
    27: "NDHWC",
    29: "FRACTAL_NZ",
    30: "NCDHW",
    32: "NDC1HWC0",
    33: "FRACTAL_Z_3D",
    35: "NC",
    47: "NCL",
    50: "NZ_C0_16",
    51: "NZ_C0_32",
}
ND = 2
FRACTAL_NZ = 29
_CODES = {name: code for code, name in DTYPE_CODES.items()}
_MAGIC = b"$Version="
_END = b"$End=1\n"
_HEADER_LIMIT = 64 * 1024  # bytes
_MOST_HEADERS = 1024  # bytes that hold nearly every header, so that few need a second read
_ATTRIBUTE_LIMIT = 64
_DIMS_LIMIT = 64  # as many as an array can have
_RECORD_LIMIT = 1024  # appended to one file; a run appends one
_ALIAS_OF_OPERATION = re.compile(
    r"(\d{1,9}(?:_\d{1,9}){0,15})_((?:in|out)tensor\d{1,9}\.bin)", re.ASCII
)
_INSIDE_DUMP = re.compile(r"before|after|\d.*", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded header; its data lie at [start, start + length) of the file, in bytes.

    `end` is where the record ends, and the next one begins if there is one.
    """

    dtype_code: int
    format_code: int
    shape: tuple[int, ...]
    start: int
    length: int
    end: int
    alias: str | None = None

    @property
    def dtype_name(self) -> str:
        """The torch name of the element type, or `dtype code N` where it is unknown."""
        return DTYPE_CODES.get(self.dtype_code, f"dtype code {self.dtype_code}")

    @property
    def format_name(self) -> str:
        """The name of the memory format, or `format code N` where it is unknown."""
        return FORMAT_NAMES.get(self.format_code, f"format code {self.format_code}")


def encode_header(dtype_name: str, shape: tuple[int, ...], length: int | None) -> bytes:
    """The header of an ND record of `length` data bytes, or (None) of one without data.

    Readers of the format take no empty `dims`, so a 0-d tensor is written as `dims=1`
    with an attribute of ours, `rank=0`, that others skip.
    """
    lines = [
        "$Version=1.0",
        f"$Object.Count={0 if length is None else 1}",
        f"$Object.Length={length or 0}",
        f"format={ND}",
        f"dtype={_CODES[dtype_name]}",
        f"dims={','.join(map(str, shape or (1,)))}",
        *([] if shape else ["rank=0"]),
        *([] if length is None else [f"$Object.data=0,{length}"]),
    ]
    return "".join(f"{line}\n" for line in lines).encode() + _END


def newest_record(file: OpenFile) -> Record:
    """The last whole record of `file`.

    Raises PairError: BIN_MALFORMED for a header that cannot be read, BIN_INCONSISTENT for one
    whose numbers disagree, BIN_TRUNCATED when data are shorter than the header says,
    BIN_TRAILING for what follows a record and is none.
    """
    *_, newest = _records(file)
    return newest


def _records(file: OpenFile) -> Iterator[Record]:
    position = 0
    for _ in range(_RECORD_LIMIT):
        record = _decode(_read_header(file, position), file.path)
        if record.end > file.size:
            raise PairError(
                Reason.BIN_TRUNCATED,
                f"{file.path} ends after {file.size} bytes, but its header promises data up to "
                f"byte {record.end}; dump it again (was the disk full, or the dump stopped?)",
            )
        yield record
        if record.end == file.size:
            return
        position = record.end
    raise _malformed(f"{file.path} has more than {_RECORD_LIMIT} records, one behind the other")


@dataclass(frozen=True, slots=True)
class _Header:
    attributes: Mapping[str, str]
    end: int


def _read_header(file: OpenFile, position: int) -> _Header:
    where = f"{file.path} at byte {position}" if position else f"{file.path}"
    for limit in (_MOST_HEADERS, _HEADER_LIMIT):
        head = file.read(position, min(limit, file.size - position))
        end = head.find(b"\n" + _END)
        if end >= 0 or len(head) < limit:
            break
    if not head.startswith(_MAGIC):
        raise _no_record(head, where, appended=position > 0)
    if end < 0:
        reason = Reason.BIN_MALFORMED if len(head) == _HEADER_LIMIT else Reason.BIN_TRUNCATED
        raise PairError(reason, f"{where} has no $End=1 line where its header should end")
    return _Header(_attributes(head[:end], where), position + end + 1 + len(_END))


def _no_record(head: bytes, where: str, *, appended: bool) -> PairError:
    sentence = f"{where} does not start with $Version=, so it is no ATB .bin record"
    if head and _MAGIC.startswith(head):
        return PairError(Reason.BIN_TRUNCATED, f"{where} ends in the middle of a record's start")
    if appended:
        return PairError(Reason.BIN_TRAILING, f"{sentence}, but follows one; dump it again")
    return _malformed(sentence)


def _attributes(head: bytes, where: str) -> dict[str, str]:
    lines = head.split(b"\n")
    if len(lines) > _ATTRIBUTE_LIMIT:
        raise _malformed(f"{where} has {len(lines)} header attributes; at most 64 are expected")
    attributes: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.decode("utf-8", "backslashreplace").partition("=")
        if not equals:
            raise _malformed(f"{where} has the header line {name[:80]!r}, which is not name=value")
        if name in attributes:
            raise _malformed(f"{where} has the header attribute {name[:80]!r} twice")
        attributes[name] = value
    return attributes


def _decode(header: _Header, path: str) -> Record:
    attributes = header.attributes
    dims = attributes.get("dims", "")
    shape = _numbers(dims, "dims", path) if dims and attributes.get("rank") != "0" else ()
    if len(shape) > _DIMS_LIMIT:
        raise _malformed(f"{path} says {len(shape)} dims, which no tensor has")
    total, alias = _number(attributes, "$Object.Length", path), attributes.get("data")
    offset, length = (0, 0) if alias else _extent(attributes, total, path)
    return Record(
        dtype_code=_number(attributes, "dtype", path),
        format_code=_number(attributes, "format", path),
        shape=shape,
        start=header.end + offset,
        length=length,
        end=header.end + total,
        alias=alias,
    )


def _extent(attributes: Mapping[str, str], total: int, path: str) -> tuple[int, int]:
    extent = _numbers(attributes.get("$Object.data", ""), "$Object.data", path)
    if len(extent) != 2:
        raise _malformed(f"{path} has no $Object.data=OFFSET,LENGTH in its header")
    if sum(extent) > total:
        raise PairError(
            Reason.BIN_INCONSISTENT,
            f"{path} says that its data are {extent[1]} bytes from byte {extent[0]} on, which is "
            f"not within its $Object.Length={total}; dump it again",
        )
    return extent[0], extent[1]


def _number(attributes: Mapping[str, str], name: str, path: str) -> int:
    if name not in attributes:
        raise _malformed(f"{path} has no {name}= line in its header")
    return _numbers(attributes[name], name, path)[0]


def _numbers(text: str, name: str, path: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise _malformed(f"{path} has {name}={text[:80]!r} where plain numbers are expected")
    return tuple(map(int, parts))


def _malformed(sentence: str) -> PairError:
    return PairError(Reason.BIN_MALFORMED, f"{sentence}; dump it again")


def find_alias(path: str, name: str) -> str:
    """The file that `data=name` in `path` points to.

    It is a sibling, or `<opId>_{in|out}tensorN.bin` of another operation of the dump.
    Raises PairError BIN_ALIAS when there is none.
    """
    if Path(name).name != name or name in ("", ".", ".."):
        raise PairError(Reason.BIN_ALIAS, f"{path} points to {name!r}, which is no plain file name")
    folders = list(_dump_folders(Path(path)))
    for candidate in _candidates(Path(path), name, folders):
        # A link that leads out of the dump is not in it.
        if Path(os.path.realpath(candidate)).is_relative_to(os.path.realpath(folders[0])):
            return str(candidate)
    raise PairError(
        Reason.BIN_ALIAS,
        f"{path} says that its data were saved as {name}, which is not in its dump; "
        "copy the whole dump",
    )


def _candidates(path: Path, name: str, folders: Sequence[Path]) -> Iterator[Path]:
    sibling = path.with_name(name)
    # os.path, since Path.is_file raises for a name that is too long for the file system.
    if os.path.isfile(sibling) and not sibling.samefile(path):
        yield sibling
    operation = _ALIAS_OF_OPERATION.fullmatch(name)
    if operation:
        for folder in folders:
            found = _in_operation(folder, operation[1].split("_"), operation[2], path.parent.name)
            if found:
                yield found


def _dump_folders(path: Path) -> Iterator[Path]:
    """The folders above `path` that can hold operations, outermost first.

    An opId counts from the round's folder down, so operations nested near `path` that happen
    to have the same numbers come last.
    """
    folder = Path(os.path.abspath(path)).parent
    folders = [folder]
    # {DEVICE}_{PID}/{ROUND}/{N}_{Operation}/…/{before,after}: no other name is in a dump.
    while _INSIDE_DUMP.fullmatch(folder.name):
        folder = folder.parent
        folders.append(folder)
    return reversed(folders)


def _in_operation(folder: Path, ids: list[str], name: str, moment: str) -> Path | None:
    """`name` in the operation that `ids` lead to; as near to `moment` (before, after) as can be."""
    pattern = "/".join(f"{number}_*" for number in ids)
    found = sorted(
        candidate for each in (name, f"*/{name}") for candidate in folder.glob(f"{pattern}/{each}")
    )
    return min(found, key=lambda file: file.parent.name != moment, default=None)


def write_bin(path: str | os.PathLike[str], tensor: torch.Tensor) -> None:
    """Write `tensor` (any shape, strides, device) to `path` as one ATB `.bin` record.

    The file appears whole or not at all, and replaces one that is there. Raises TypeError
    for a type that the format does not know.
    """
    from ait_cmp.tensors import compact, raw_bytes

    dense = compact(tensor, argument="tensor")
    data = raw_bytes(dense)
    _write(Path(path), encode_header(_type_name(dense), tuple(dense.shape), len(data)), data)


def write_description(path: str | os.PathLike[str], tensor: torch.Tensor) -> None:
    """Write only the header of `tensor`, as the library does when it saves descriptions.

    Raises TypeError for a type that the format does not know.
    """
    _write(Path(path), encode_header(_type_name(tensor), tuple(tensor.shape), None))


def _type_name(tensor: torch.Tensor) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _CODES:
        raise TypeError(f"tensor has dtype {tensor.dtype}, which the ATB .bin format does not know")
    return name


def _write(target: Path, *parts: bytes | memoryview) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{threading.get_ident()}.bin.tmp")
    try:
        with open(temporary, "wb") as file:
            file.writelines(parts)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
