"""The codec of ATB `.bin` headers.

A record is text lines `name=value`, the last of them `$End=1`, then raw little-endian
bytes. The library appends, so a file may hold several records: the last is the newest.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from ait_cmp.values.errors import Reason

__all__ = [
    "DTYPE_CODES",
    "END",
    "FORMAT_NAMES",
    "MAGIC",
    "HeaderError",
    "Record",
    "decode_header",
    "encode_header",
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
ND = 2
MAGIC = b"$Version="
END = b"$End=1\n"
_CODES = {name: code for code, name in DTYPE_CODES.items()}
_ATTRIBUTE_LIMIT = 64
_DIMS_LIMIT = 64  # as many as an array can have


class HeaderError(ValueError):
    """A header that cannot be; `reason` is its code, the message says what the file does."""

    def __init__(self, reason: Reason, what: str) -> None:
        super().__init__(f"{what}; dump it again")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded header; the data lie at [start, start + length) of what follows it, in bytes.

    `total` bytes belong to the record; what follows them is the next one, if there is one.
    """

    dtype_code: int
    format_code: int
    shape: tuple[int, ...]
    start: int
    length: int
    total: int
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
    with an attribute of ours, `rank=0`, that others skip. Raises KeyError for a type that the
    format does not know.
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
    return "".join(f"{line}\n" for line in lines).encode() + END


_DATA = "$Object.data"


@functools.lru_cache(maxsize=256)  # tensors of one shape and type have one header
def decode_header(head: bytes) -> Record:
    """The record that `head` describes: its lines without the last. Raises HeaderError."""
    attributes = _attributes(head)
    dims = attributes.get("dims", "")
    shape = _numbers(dims, "dims") if dims and attributes.get("rank") != "0" else ()
    if len(shape) > _DIMS_LIMIT:
        raise _malformed(f"says {len(shape)} dims, which no tensor has")
    total, alias = _number(attributes, "$Object.Length"), attributes.get("data")
    if not alias and attributes.get("$Object.Count") == "0" and _DATA not in attributes:
        raise HeaderError(
            Reason.NO_TENSOR,
            f"says the type and the shape {list(shape)} of a tensor and holds no data, as "
            "ait llm dump leaves it with -sd; dump it without -sd",
        )
    start, length = (0, 0) if alias else _extent(attributes, total)
    return Record(
        dtype_code=_number(attributes, "dtype"),
        format_code=_number(attributes, "format"),
        shape=shape,
        start=start,
        length=length,
        total=total,
        alias=alias,
    )


def _attributes(head: bytes) -> dict[str, str]:
    lines = head.split(b"\n")
    if len(lines) > _ATTRIBUTE_LIMIT:
        raise _malformed(
            f"has {len(lines)} header attributes; at most {_ATTRIBUTE_LIMIT} are expected"
        )
    attributes: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.decode("utf-8", "backslashreplace").partition("=")
        if not equals:
            raise _malformed(f"has the header line {name[:80]!r}, which is not name=value")
        if name in attributes:
            raise _malformed(f"has the header attribute {name[:80]!r} twice")
        attributes[name] = value
    return attributes


def _extent(attributes: Mapping[str, str], total: int) -> tuple[int, int]:
    extent = _numbers(attributes.get(_DATA, ""), _DATA)
    if len(extent) != 2:
        raise _malformed("has no $Object.data=OFFSET,LENGTH in its header")
    if sum(extent) > total:
        raise HeaderError(
            Reason.BIN_INCONSISTENT,
            f"says that its data are {extent[1]} bytes from byte {extent[0]} on, which is "
            f"not within its $Object.Length={total}",
        )
    return extent[0], extent[1]


def _number(attributes: Mapping[str, str], name: str) -> int:
    if name not in attributes:
        raise _malformed(f"has no {name}= line in its header")
    return _numbers(attributes[name], name)[0]


def _numbers(text: str, name: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise _malformed(f"has {name}={text[:80]!r} where plain numbers are expected")
    return tuple(map(int, parts))


def _malformed(what: str) -> HeaderError:
    return HeaderError(Reason.BIN_MALFORMED, what)
